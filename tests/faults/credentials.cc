// SPDX-License-Identifier: BSD-2-Clause
// A server that opens its files as root and then becomes somebody else: credentials DIRECTORY TRIALS. What is open goes
// on, by the ring and the threads made before as by those made after; what is opened from then on is opened with the
// new credentials. The control: a thread that changes its own alone, behind the C library's back, which the library's
// threads do not follow.
#include "child.hh"

#include <grp.h>
#include <sys/syscall.h>

#include <memory>

namespace {

using child::path;
using child::pattern;

constexpr uid_t nobody = 65534;
constexpr std::size_t secret_size = 700000;
int engine = EF_ENGINE_AUTO;

void become_nobody() {
  MUST(::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0);
  MUST(::setresuid(nobody, nobody, nobody) == 0);
}

// Files of root alone, and a directory for everybody.
void prepare() {
  for (const char *name : {"secret", "log", "log.old", "open/new", "open/after"}) ::unlink(path(name).c_str());
  MUST(::mkdir(path("open").c_str(), 0777) == 0 || errno == EEXIST);
  MUST(::chmod(path("open").c_str(), 01777) == 0);
  child::put("secret", pattern(secret_size));
  MUST(::chmod(path("secret").c_str(), 0600) == 0);
}

// 0, or why the open failed, as the first call says it.
int open_error(int fd) {
  MUST(ef_wait(fd, EF_OPEN, 20000) == EF_OPEN);
  return ef_seek(fd, 0, SEEK_CUR) < 0 ? errno : 0;
}
int reopen_error(int fd, ef_port *p) {
  MUST(ef_reopen(fd) == 0 && ef_wait(fd, EF_OPEN, 20000) == EF_OPEN);
  ef_event e;
  while (ef_port_next(p, &e, 1) == 1)
    if (e.events & EF_ERROR) return e.error;
  return 0;
}
void opening_is_refused(const std::string &name, int flags, ef_port *p) {
  const int fd = child::open(name, flags, {}, p);
  MUST(fd >= 0 && open_error(fd) == EACCES);
  MUST(ef_close(fd) < 0 && errno == EACCES);
}
void opening_works(const std::string &name, const std::string &text, ef_port *p) {
  const int fd = child::open(name, O_WRONLY | O_CREAT, {}, p);
  MUST(fd >= 0);
  child::write(fd, text);
  MUST(ef_wait(fd, EF_SYNC, 20000) == EF_SYNC && ef_close(fd) == 0);
}

void what_is_open_goes_on() {
  prepare();
  ef_port *p = child::port_with(engine);
  MUST(ef_port_fd(p) >= 0);
  const int log = child::open("log", O_WRONLY | O_CREAT, {}, p);
  const int in = child::open("secret", O_RDONLY, {}, p);
  MUST(open_error(log) == 0 && open_error(in) == 0);
  auto r = std::make_unique<child::requests>(p);
  const std::string text = pattern(300000);
  child::write(log, text);
  r->begin(); // under way, or not, while it happens
  become_nobody();
  MUST(r->end() == child::requests::count);
  child::write(log, text);
  MUST(child::read_all(in) == pattern(secret_size));
  r->begin();
  MUST(r->end() == child::requests::count);
  opening_is_refused("secret", O_RDONLY, p);
  opening_is_refused("log2", O_WRONLY | O_CREAT, p);
  opening_works("open/new", "text", p);
  MUST(ef_wait(log, EF_SYNC, 20000) == EF_SYNC);
  for (const int fd : {log, in, r->fd()}) MUST(ef_close(fd) == 0);
  MUST(ef_drain(p, 20000) == 0 && ef_port_free(p) == 0);
  struct stat s;
  MUST(::stat(path("open/new").c_str(), &s) == 0 && s.st_uid == nobody && s.st_size == 4);
  MUST(::stat(path("log").c_str(), &s) == 0 && s.st_uid == 0 && s.st_size == static_cast<off_t>(2 * text.size()));
}

// The log that root opened can no longer be made anew: it is told, and the old one goes on.
void a_log_that_is_reopened_in_vain_goes_on() {
  prepare();
  ef_port *p = child::port_with(engine);
  const int log = child::open("log", O_WRONLY | O_CREAT, {}, p);
  MUST(open_error(log) == 0);
  child::write(log, "before ");
  MUST(::rename(path("log").c_str(), path("log.old").c_str()) == 0);
  become_nobody();
  MUST(reopen_error(log, p) == EACCES);
  child::write(log, "after");
  MUST(ef_wait(log, EF_SYNC, 20000) == EF_SYNC);
  struct stat s;
  MUST(::stat(path("log.old").c_str(), &s) == 0 && s.st_size == 12);
  child::close(log, p);
}

void opens_under_way_have_one_answer_each() {
  prepare();
  constexpr int many = 400;
  int fds[many], good = 0;
  for (int &fd : fds) MUST((fd = child::open("secret", O_RDONLY)) >= 0);
  become_nobody();
  for (const int fd : fds) {
    const int e = open_error(fd);
    MUST(e == 0 || e == EACCES);
    good += e == 0;
    char b[100];
    ssize_t n;
    while ((n = ef_read(fd, b, sizeof b)) < 0 && errno == EAGAIN) MUST(ef_wait(fd, EF_READ, 20000) > 0);
    MUST(e ? n < 0 && errno == EACCES : n == sizeof b);
    MUST(ef_close(fd) == (e ? -1 : 0));
  }
  MUST(ef_drain(nullptr, 20000) == 0);
  std::printf("  %d of %d opens were before the change\n", good, many);
}

// The effective user alone, there and back.
void a_change_for_a_while_is_one_for_all_threads() {
  prepare();
  ef_port *p = child::port_with(engine);
  for (int k = 0; k < 20; ++k) {
    const int fd = child::open("secret", O_RDONLY, {}, p);
    MUST(open_error(fd) == 0 && ef_close(fd) == 0);
    MUST(::seteuid(nobody) == 0);
    opening_is_refused("secret", O_RDONLY, p);
    MUST(::seteuid(0) == 0);
  }
  MUST(ef_drain(p, 20000) == 0 && ef_port_free(p) == 0);
}

// No thread and no ring before.
void everything_begins_afterwards() {
  prepare();
  MUST(::chmod(path("secret").c_str(), 0644) == 0 && ::chmod(path("in").c_str(), 0644) == 0);
  child::put("open/after", "");
  MUST(::chmod(path("open/after").c_str(), 0666) == 0);
  become_nobody();
  ef_port *p = child::port_with(engine);
  MUST(ef_port_fd(p) >= 0);
  const int in = child::open("secret", O_RDONLY, {}, p);
  MUST(child::read_all(in) == pattern(secret_size) && ef_close(in) == 0);
  opening_works("open/after", "text", p);
  opening_is_refused("log", O_WRONLY | O_CREAT, p);
  MUST(ef_drain(p, 20000) == 0 && ef_port_free(p) == 0);
}

void control_one_thread_alone() {
  prepare();
  opening_works("open/new", "text", nullptr); // our threads are there, or they would be made with the new ones
  MUST(::syscall(SYS_setresuid, nobody, nobody, nobody) == 0);
  opening_is_refused("secret", O_RDONLY, nullptr);
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  child::place = argv[1];
  stress::seed();
  ::umask(022);
  const child::check all[] = {
      {"what_is_open_goes_on", what_is_open_goes_on},
      {"a_log_that_is_reopened_in_vain_goes_on", a_log_that_is_reopened_in_vain_goes_on},
      {"opens_under_way_have_one_answer_each", opens_under_way_have_one_answer_each},
      {"a_change_for_a_while_is_one_for_all_threads", a_change_for_a_while_is_one_for_all_threads},
      {"everything_begins_afterwards", everything_begins_afterwards},
  };
  const child::check controls[] = {{"control_one_thread_alone", control_one_thread_alone}};
  std::printf("control, which must fail:\n");
  bool good = child::run_all(controls) == 1;
  for (int k = std::atoi(argv[2]); k > 0; --k)
    for (const int e : {EF_ENGINE_AUTO, EF_ENGINE_THREADS}) {
      engine = e;
      std::printf("%s:\n", e == EF_ENGINE_AUTO ? "the best engine" : "threads");
      good &= child::run_all(all) == 0;
    }
  return good ? 0 : 1;
}
