// SPDX-License-Identifier: BSD-2-Clause
// Limits of the process, closed standard descriptors, and a host that closes the library's own: limits DIRECTORY.
// Errors have names, nothing accepted is lost, nothing hangs. The controls must be found.
#include "child.hh"

#include <sys/resource.h>

namespace {

using child::path;
using child::pattern;

void limit(int what, rlim_t soft) {
  rlimit l;
  MUST(::getrlimit(static_cast<__rlimit_resource>(what), &l) == 0);
  l.rlim_cur = std::min(soft, l.rlim_max);
  MUST(::setrlimit(static_cast<__rlimit_resource>(what), &l) == 0);
}

// ---- Descriptors

void no_descriptor_is_left_for_a_file() {
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  constexpr int many = 60;
  int fds[many], opened = 0;
  limit(RLIMIT_NOFILE, 40);
  for (int i = 0; i < many; ++i) {
    MUST((fds[i] = child::open("f" + std::to_string(i), O_WRONLY | O_CREAT, {}, p)) >= 0);
    ef_write(fds[i], "text", 4); // or the errno of the open
  }
  MUST(ef_port_fd(p) < 0 ? errno == EMFILE : true);
  for (int fd : fds) MUST(ef_wait(fd, EF_OPEN, 20000) == EF_OPEN);
  for (int i = 0; i < many; ++i) {
    const bool good = ef_write(fds[i], "text", 4) == 4;
    MUST(good || errno == EMFILE);
    opened += good;
    const int closed = ef_close(fds[i]);
    MUST(good ? closed == 0 : closed < 0 && errno == EMFILE);
  }
  MUST(ef_drain(p, 20000) == 0);
  MUST(opened > 0 && opened < many);
  limit(RLIMIT_NOFILE, 1000);
  const int fd = child::open("later", O_WRONLY | O_CREAT, {}, p);
  child::write(fd, "text");
  child::close(fd, p);
  MUST(child::contents("later") == "text" && child::contents("f0") == "texttext");
  MUST(ef_port_free(p) == 0);
}

void no_descriptor_is_left_for_a_ring() {
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  MUST(ef_port_fd(p) >= 0);
  child::requests r(p);
  limit(RLIMIT_NOFILE, 3);
  r.begin();
  MUST(r.end() == child::requests::count);
  limit(RLIMIT_NOFILE, 1000);
  child::close(r.fd(), p);
  MUST(ef_port_free(p) == 0);
}

// ---- Length of files: SIGXFSZ would end the process, and is not handled here

void a_file_too_long(ef_file_options o, int flags) {
  o.write_buffer_max = 4 << 20;
  o.flush_interval_ms = 10;
  const std::string all = pattern(400000), one(100, 'x');
  ::unlink(path("long").c_str());
  const int fd = child::open("long", flags, o);
  limit(RLIMIT_FSIZE, 100000);
  child::write(fd, all.substr(0, 65000));
  for (std::size_t at = 65000; at < all.size(); at += 50000) child::write(fd, all.substr(at, 50000));
  MUST(ef_flush(fd) == 0);
  for (int i = 0; i < 2000 && child::stats(fd).write_trouble == 0; ++i) ::usleep(1000);
  MUST(child::stats(fd).write_trouble == EFBIG && child::stats(fd).error == 0);
  MUST(ef_wait(fd, EF_SYNC, 20000) < 0 && errno == EFBIG);
  limit(RLIMIT_FSIZE, RLIM_INFINITY);
  child::close(fd);
  MUST(child::contents("long") == all);
}
void a_file_too_long_is_an_errno() { a_file_too_long({}, O_WRONLY | O_CREAT); }
void a_file_too_long_is_an_errno_with_append() { a_file_too_long({}, O_WRONLY | O_CREAT | O_APPEND); }
void a_file_too_long_is_an_errno_with_lanes() {
  ef_file_options o{};
  o.order = EF_ORDER_THREAD;
  a_file_too_long(o, O_WRONLY | O_CREAT);
}
void a_file_too_long_is_an_errno_with_space_ahead() {
  ef_file_options o{};
  o.preallocate_bytes = 1 << 20;
  a_file_too_long(o, O_WRONLY | O_CREAT);
}

void a_request_too_far_is_an_errno() {
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  const int fd = child::open("far", O_RDWR | O_CREAT, {}, p);
  limit(RLIMIT_FSIZE, 100000);
  static char b[1000];
  ef_request r{};
  MUST(ef_pwrite(fd, b, sizeof b, 200000, &r) < 0 && errno == EINPROGRESS);
  ef_event e{};
  for (int i = 0; i < 20000 && ef_port_next(p, &e, 1) == 0; ++i) ::usleep(1000);
  MUST(e.events == EF_REQUEST && r.result == -1 && r.error == EFBIG);
  child::close(fd, p);
}

// ---- Memory and threads

// Whatever fails says why; what was accepted is there.
void in_so_much_memory(long more_kb) {
  long pages = 0;
  FILE *f = std::fopen("/proc/self/statm", "r");
  MUST(f && std::fscanf(f, "%ld", &pages) == 1);
  std::fclose(f);
  const std::string name = "as" + std::to_string(more_kb);
  static char all[200000], b[30000];
  pattern(sizeof all).copy(all, sizeof all);
  limit(RLIMIT_AS, static_cast<rlim_t>(pages) * 4096 + static_cast<rlim_t>(more_kb) * 1024);
  const int fd = ef_open(path(name).c_str(), O_RDWR | O_CREAT, 0644);
  if (fd < 0) {
    MUST(errno == ENOMEM || errno == EAGAIN);
    return limit(RLIMIT_AS, RLIM_INFINITY);
  }
  std::size_t accepted = 0;
  for (int i = 0; i < 20 && accepted < sizeof all; ++i) {
    const ssize_t r = ef_write(fd, all + accepted, sizeof all - accepted);
    MUST(r >= 0 || errno == ENOMEM || errno == EAGAIN);
    if (r > 0) accepted += static_cast<std::size_t>(r);
    if (r < 0) ef_wait(fd, EF_WRITE, 10);
  }
  for (int i = 0; i < 20; ++i) {
    const ssize_t r = ef_read(fd, b, sizeof b);
    MUST(r >= 0 || errno == ENOMEM || errno == EAGAIN);
    if (r < 0) ef_wait(fd, EF_READ, 10);
  }
  ef_wait(fd, EF_OPEN, 20000);
  child::close(fd);
  limit(RLIMIT_AS, RLIM_INFINITY);
  MUST(child::contents(name) == std::string(all, accepted));
}
void address_space_is_tight() {
  for (long kb = 0; kb <= 300000; kb = kb ? kb * 5 / 4 + 16 : 16)
    MUST(child::status_of([=] { in_so_much_memory(kb); }) == 0);
}

void threads_are_refused_at(rlim_t count) {
  MUST(::chmod(child::place.c_str(), 0777) == 0);
  limit(RLIMIT_NPROC, count);
  MUST(::setgid(54321) == 0 && ::setuid(54321) == 0);
  const std::string name = "nproc" + std::to_string(count), all = pattern(300000);
  int fd = ef_open(path(name).c_str(), O_RDWR | O_CREAT, 0644);
  MUST(fd >= 0 || errno == EAGAIN);
  MUST(count > 1 || fd < 0); // or the limit is none
  if (fd < 0) {
    limit(RLIMIT_NPROC, RLIM_INFINITY);
    fd = ef_open(path(name).c_str(), O_RDWR | O_CREAT, 0644);
  }
  MUST(fd >= 0);
  child::write(fd, all);
  MUST(child::read_all(fd) == "" || true); // at the end already, or it waits for the bytes
  MUST(ef_wait(fd, EF_SYNC, 20000) == EF_SYNC);
  child::close(fd);
  MUST(child::contents(name) == all);
}
void threads_are_refused() {
  for (rlim_t n : {1, 2, 3, 4, 5, 8}) MUST(child::status_of([=] { threads_are_refused_at(n); }) == 0);
}

void no_locked_memory() {
  limit(RLIMIT_MEMLOCK, 0);
  MUST(::chmod(child::place.c_str(), 0777) == 0 && ::setgid(54321) == 0 && ::setuid(54321) == 0);
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  MUST(ef_port_fd(p) >= 0);
  child::requests r(p);
  r.begin();
  MUST(r.end() == child::requests::count);
  child::close(r.fd(), p);
  MUST(ef_port_free(p) == 0);
}

// ---- Descriptors that the host closes

void standard_descriptors_are_closed() {
  const int report = ::fcntl(1, F_DUPFD_CLOEXEC, 100);
  for (int fd : {0, 1, 2}) ::close(fd);
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  const bool pollable = ef_port_fd(p) > 2;
  const std::string all = pattern(300000);
  ef_file_options o{};
  o.rotate_bytes = 100000;
  const int fd = child::open("std", O_WRONLY | O_CREAT, {}, p), log = child::open("log", O_WRONLY | O_CREAT, o, p);
  child::write(fd, all);
  for (int i = 0; i < 30; ++i) child::write(log, std::string(9999, 'l') + "\n");
  const bool reopened = ef_wait(fd, EF_OPEN, 20000) == EF_OPEN && ef_reopen(fd) == 0;
  auto none = [] { return ::fcntl(0, F_GETFD) < 0 && ::fcntl(1, F_GETFD) < 0 && ::fcntl(2, F_GETFD) < 0; };
  bool free = true; // what was just opened is moved away in a moment
  for (int i = 0, tries = 0; i < 50 && free; ++i, tries = 0)
    while (::usleep(500), !none() && (free = ++tries < 1000)) {}
  const bool closed = ef_close(fd) == 0 && ef_close(log) == 0 && ef_drain(p, 20000) == 0;
  MUST(::dup2(report, 1) == 1);
  MUST(pollable && reopened && free && closed);
  MUST(child::contents("std") == all);
}

// Its work is done all the same; only the loop sleeps too long.
void the_host_closes_the_eventfd() {
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  const int event = ef_port_fd(p);
  child::requests r(p);
  const int fd = child::open("e", O_WRONLY | O_CREAT, {}, p);
  MUST(ef_wait(fd, EF_OPEN, 20000) == EF_OPEN);
  MUST(::close(event) == 0); // what is opened now may get its number, and be written to: nobody can help that
  r.begin();
  child::write(fd, "text");
  MUST(ef_sync(fd) == 0);
  MUST(r.end() == child::requests::count);
  child::close(fd, p);
  child::close(r.fd(), p);
  MUST(ef_port_free(p) == 0 && child::contents("e") == "text");
}

void the_ring_is_closed(bool under_way, bool by_thread_end) {
  auto work = [=] {
    ef_port *p = child::port_with(EF_ENGINE_AUTO);
    MUST(ef_port_fd(p) >= 0);
    ef_event e;
    MUST(ef_port_next(p, &e, 1) >= 0); // its owner
    auto *r = new child::requests(p);
    r->begin();
    if (!under_way) MUST(r->end() == child::requests::count);
    const int ring = child::descriptor_of("[io_uring]");
    ring >= 0 ? MUST(::close(ring) == 0) : static_cast<void>(std::printf("  void: no ring was made here\n"));
    if (by_thread_end) return;
    if (!under_way) r->begin();
    MUST(r->end() == child::requests::count);
    r->begin();
    MUST(r->end() == child::requests::count);
    child::close(r->fd(), p);
    MUST(ef_port_free(p) == 0);
  };
  by_thread_end ? std::thread(work).join() : work();
  const int fd = child::open("after", O_WRONLY | O_CREAT);
  child::write(fd, "text");
  child::close(fd);
  MUST(ef_drain(nullptr, 20000) == 0);
}
void the_host_closes_the_ring() { the_ring_is_closed(false, false); }
void the_host_closes_the_ring_with_reads_under_way() { the_ring_is_closed(true, false); }
void a_thread_ends_whose_ring_was_closed() { the_ring_is_closed(false, true); }
void a_thread_ends_whose_ring_was_closed_with_reads_under_way() { the_ring_is_closed(true, true); }

// ---- Controls

void control_signal() {
  limit(RLIMIT_FSIZE, 1000);
  const std::string all = pattern(2000);
  const int fd = ::open(path("control").c_str(), O_WRONLY | O_CREAT, 0644);
  for (int i = 0; i < 3; ++i) (void)!::write(fd, all.data(), all.size()); // SIGXFSZ ends it
}
void control_hang() {
  for (;;) ::pause();
}
void control_contents() {
  child::put("control", "some");
  MUST(child::contents("control") == "other");
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  child::place = argv[1];
  stress::seed();
  const child::check all[] = {
      {"no_descriptor_is_left_for_a_file", no_descriptor_is_left_for_a_file},
      {"no_descriptor_is_left_for_a_ring", no_descriptor_is_left_for_a_ring},
      {"a_file_too_long_is_an_errno", a_file_too_long_is_an_errno},
      {"a_file_too_long_is_an_errno_with_append", a_file_too_long_is_an_errno_with_append},
      {"a_file_too_long_is_an_errno_with_lanes", a_file_too_long_is_an_errno_with_lanes},
      {"a_file_too_long_is_an_errno_with_space_ahead", a_file_too_long_is_an_errno_with_space_ahead},
      {"a_request_too_far_is_an_errno", a_request_too_far_is_an_errno},
      {"address_space_is_tight", address_space_is_tight},
      {"threads_are_refused", threads_are_refused},
      {"no_locked_memory", no_locked_memory},
      {"standard_descriptors_are_closed", standard_descriptors_are_closed},
      {"the_host_closes_the_eventfd", the_host_closes_the_eventfd},
      {"the_host_closes_the_ring", the_host_closes_the_ring},
      {"the_host_closes_the_ring_with_reads_under_way", the_host_closes_the_ring_with_reads_under_way},
      {"a_thread_ends_whose_ring_was_closed", a_thread_ends_whose_ring_was_closed},
      {"a_thread_ends_whose_ring_was_closed_with_reads_under_way",
       a_thread_ends_whose_ring_was_closed_with_reads_under_way},
  };
  const child::check controls[] = {
      {"control_signal", control_signal}, {"control_hang", control_hang}, {"control_contents", control_contents}};
  std::printf("controls, which must fail:\n");
  const bool caught = child::run_all(controls, 1) == 3;
  std::printf("limits:\n");
  return child::run_all(all) == 0 && caught ? 0 : 1;
}
