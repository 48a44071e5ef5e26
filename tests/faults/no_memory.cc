// SPDX-License-Identifier: BSD-2-Clause
// Memory, threads and descriptors are refused at every place where the library asks for them, in everything that it
// does: no_memory DIRECTORY [SCENARIO]. See sweep.hh for what must hold. The controls are scenarios with a fault of
// their own, which must be found.
#include "sweep.hh"

#include <poll.h>

namespace {

using sweep::byte_at;
using sweep::check_file;
using sweep::faulty;
using sweep::fine;
using sweep::path;
using sweep::require;
using sweep::write_pattern;

// Closes it and waits for that; false: an error was told, and bytes may be missing.
bool close_and_drain(int fd) {
  ef_wait(fd, EF_OPEN, 20000);
  const bool good = fine(ef_close(fd), "ef_close");
  require(ef_drain(ef_port_default(), 20000) == 0, "ef_drain");
  return good;
}
bool close_and_check(int fd, const char *name, std::size_t from, std::size_t accepted) {
  if (!close_and_drain(fd)) return false;
  require(check_file(name, from) == accepted, "accepted bytes are missing, or there are more");
  return true;
}

int open_with(const char *name, int flags, ef_file_options o = {}, ef_port *p = nullptr) {
  o.size = sizeof o;
  const int fd = ef_openat(p, AT_FDCWD, path(name), flags, 0644, &o);
  fine(fd, "ef_openat");
  return fd;
}

// ---- Writing

bool writes() {
  const int fd = ef_open(path("w"), O_WRONLY | O_CREAT, 0644);
  if (!fine(fd, "ef_open")) return false;
  std::size_t at = 0;
  const bool good = write_pattern(fd, 300000, &at);
  return close_and_check(fd, "w", 0, at) && good;
}

bool writes_much() {
  ef_file_options o{};
  o.write_buffer_max = 13 << 20;
  o.flush_interval_ms = 3600000;
  const int fd = open_with("much", O_WRONLY | O_CREAT, o);
  if (fd < 0) return false;
  std::size_t at = 0;
  const bool good = write_pattern(fd, 3 << 20, &at);
  return close_and_check(fd, "much", 0, at) && good;
}

// Lanes: three threads, the bytes of each in a part of the line's beginning.
struct lane_writer {
  int fd, number;
  long lines;
};
void *write_lane(void *arg) {
  auto *w = static_cast<lane_writer *>(arg);
  for (long n = 0; n < 3000; ++n) {
    char line[64];
    const int length = std::snprintf(line, sizeof line, "%d %ld\n", w->number, w->lines);
    if (ef_write(w->fd, line, static_cast<std::size_t>(length)) > 0)
      ++w->lines;
    else if (!fine(-1, "ef_write of a lane") && errno == EAGAIN)
      ef_wait(w->fd, EF_WRITE, 1);
  }
  return nullptr;
}
void check_lanes(const lane_writer *all, int count) {
  refuse::excuse mine;
  FILE *f = std::fopen(path("lanes"), "r");
  require(f, "the file of lanes");
  long next[3] = {};
  int number;
  for (long n; std::fscanf(f, "%d %ld\n", &number, &n) == 2;)
    require(number >= 0 && number < count && next[number]++ == n, "lines of a lane");
  std::fclose(f);
  for (int i = 0; i < count; ++i) require(next[i] == all[i].lines, "accepted lines of a lane are missing");
}
bool lanes() {
  ef_file_options o{};
  o.order = EF_ORDER_THREAD;
  const int fd = open_with("lanes", O_WRONLY | O_CREAT, o);
  if (fd < 0) return false;
  lane_writer all[3];
  pthread_t ids[3];
  for (int i = 0; i < 3; ++i) {
    refuse::excuse mine;
    all[i] = {fd, i, 0};
    require(pthread_create(&ids[i], nullptr, write_lane, &all[i]) == 0, "a thread of the test");
  }
  for (pthread_t id : ids) pthread_join(id, nullptr);
  if (!close_and_drain(fd)) return false;
  check_lanes(all, 3);
  return all[0].lines + all[1].lines + all[2].lines == 9000;
}

bool syncs() {
  ef_file_options o{};
  o.durable_interval_ms = 5;
  const int fd = open_with("s", O_WRONLY | O_CREAT, o);
  if (fd < 0) return false;
  std::size_t at = 0;
  bool good = write_pattern(fd, 100000, &at);
  for (int i = 0; i < 3; ++i) {
    good = fine(ef_sync(fd), "ef_sync") && good;
    const int r = ef_wait(fd, EF_SYNC, 20000);
    require(r != 0, "ef_wait EF_SYNC waits in vain");
    good = fine(r, "ef_wait EF_SYNC") && good;
    good = write_pattern(fd, 1000, &at) && good;
  }
  return close_and_check(fd, "s", 0, at) && good;
}

bool rotates() {
  ef_file_options o{};
  o.rotate_bytes = 20000;
  o.rotate_keep = 50;
  const int fd = open_with("r", O_WRONLY | O_CREAT, o);
  if (fd < 0) return false;
  std::size_t at = 0;
  bool good = true;
  for (int i = 0; i < 10; ++i) {
    good = write_pattern(fd, 9000, &at) && good;
    ef_flush(fd);
  }
  if (!close_and_drain(fd)) return false;
  std::size_t end = 0;
  for (int i = 50; i >= 0; --i) {
    char part[16];
    std::snprintf(part, sizeof part, i ? "r.%d" : "r", i);
    end = check_file(part, end);
  }
  require(end == at, "accepted bytes of a rotated file are missing");
  return good;
}

bool reopens() {
  const int fd = open_with("new", O_WRONLY | O_CREAT);
  if (fd < 0) return false;
  std::size_t at = 0;
  bool good = write_pattern(fd, 50000, &at);
  ef_wait(fd, EF_OPEN, 20000);
  ::rename(path("new"), path("old"));
  good = fine(ef_reopen(fd), "ef_reopen") && good;
  good = write_pattern(fd, 50000, &at) && good;
  if (!close_and_drain(fd)) return false;
  require(check_file("new", check_file("old", 0)) == at, "accepted bytes of a file that was opened anew are missing");
  return good;
}

bool marks_what_it_drops() {
  ef_file_options o{};
  o.when_full = EF_FULL_DROP;
  o.write_buffer_max = 128 << 10;
  o.drop_mark = [](void *, std::uint64_t, std::uint64_t, char *, std::size_t) -> std::size_t { return 0; };
  const int fd = open_with("d", O_WRONLY | O_CREAT, o);
  if (fd < 0) return false;
  static char b[1000];
  bool good = true;
  for (int i = 0; i < 1000; ++i) good = fine(ef_write(fd, b, sizeof b), "ef_write that drops") && good;
  ef_file_counters c{};
  c.size = sizeof c;
  require(ef_file_stats(fd, &c) == 0, "ef_file_stats");
  if (!close_and_drain(fd)) return false;
  struct stat st;
  require(::stat(path("d"), &st) == 0 && static_cast<std::uint64_t>(st.st_size) == c.accepted,
          "of what was not dropped");
  return good;
}

// ---- Reading

bool read_to_the_end(int fd, std::size_t size) {
  static char b[20000];
  for (std::size_t at = 0;;) {
    const ssize_t r = ef_read(fd, b, sizeof b);
    if (r == 0) return require(at == size, "the end of a file comes early"), true;
    if (r < 0 && errno == EAGAIN && ef_wait(fd, EF_READ, 20000) > 0) continue;
    if (r < 0) return fine(-1, "ef_read");
    for (ssize_t i = 0; i < r; ++i) require(b[i] == byte_at(at++), "a wrong byte was read");
  }
}

bool reads_with(ef_file_options o) {
  constexpr std::size_t size = 3000000;
  sweep::make_file("in", size);
  const int fd = open_with("in", O_RDONLY, o);
  if (fd < 0) return false;
  ef_advise(fd, 0, 100000, EF_WILL_NEED);
  const int os = ::open(path("in"), O_RDONLY);
  ::posix_fadvise(os, 0, 0, POSIX_FADV_DONTNEED); // so that something is fetched
  ::close(os);
  const bool good = read_to_the_end(fd, size);
  return close_and_drain(fd) && good;
}
bool reads() { return reads_with({}); }
bool reads_past_the_cache() {
  ef_file_options o{};
  o.cache = EF_CACHE_DIRECT;
  return reads_with(o);
}

// ---- Ports, requests and rings

constexpr int requests_most = 40;

// Waits for those that are in progress; all must end, with bytes or a told error.
bool take_requests(ef_port *p, int left) {
  bool good = true;
  for (int turns = 0; left > 0; ++turns) {
    require(turns < 20000, "a request does not end");
    ef_event e[16];
    const int n = ef_port_next(p, e, 16);
    require(n >= 0, "ef_port_next");
    for (int i = 0; i < n; ++i) {
      if (e[i].events != EF_REQUEST) continue;
      const auto *r = static_cast<const ef_request *>(e[i].data);
      errno = r->error;
      good = fine(r->result, "a request") && good;
      if (r->result > 0)
        require(*static_cast<char *>(r->buffer.iov_base) == byte_at(static_cast<std::size_t>(r->offset)), "its bytes");
      --left;
    }
    if (n == 0) ::usleep(1000);
  }
  return good;
}

bool requests_of(ef_port *p) {
  sweep::make_file("in", 1 << 20);
  ef_file_options o{};
  o.cache = EF_CACHE_DIRECT; // never in memory: each goes to the engine
  const int fd = open_with("in", O_RDONLY, o, p);
  if (fd < 0) return false;
  require(ef_wait(fd, EF_OPEN, 20000) == EF_OPEN, "ef_wait EF_OPEN");
  static ef_request all[requests_most];
  alignas(4096) static char b[requests_most][4096];
  int left = 0;
  bool good = true;
  for (int i = 0; i < requests_most; ++i) {
    all[i] = {};
    const ssize_t r = ef_pread(fd, b[i], sizeof b[i], i * 20480L, &all[i]);
    if (r < 0 && errno == EINPROGRESS)
      ++left;
    else
      good = fine(r, "ef_pread") && good;
  }
  good = take_requests(p, left) && good;
  good = fine(ef_close(fd), "ef_close") && good;
  require(ef_drain(p, 20000) == 0, "ef_drain");
  return good;
}

bool with_a_port(bool pollable, int engine) {
  ef_port_options o{};
  o.size = sizeof o;
  o.engine = engine;
  ef_port *p = ef_port_new(&o);
  if (!fine(p ? 0 : -1, "ef_port_new")) return false;
  bool good = !pollable || fine(ef_port_fd(p), "ef_port_fd");
  good = requests_of(p) && good;
  require(ef_port_free(p) == 0, "ef_port_free");
  return good;
}
bool requests_in_a_ring() { return with_a_port(true, EF_ENGINE_AUTO); }
bool requests_on_threads() { return with_a_port(false, EF_ENGINE_THREADS); }

bool many_files() {
  constexpr int many = 70;
  static int fds[many];
  static std::size_t at[many];
  int opened = 0;
  bool good = true;
  for (int i = 0; i < many; ++i) {
    char name[16];
    std::snprintf(name, sizeof name, "m%d", i);
    at[i] = 0;
    fds[i] = open_with(name, O_WRONLY | O_CREAT);
    good = fds[i] >= 0 && write_pattern(fds[i], 700, &at[i]) && good;
    opened += fds[i] >= 0;
  }
  if (opened == 0) return false; // there may be no port to drain
  for (int i = 0; i < many; ++i) {
    if (fds[i] < 0) continue;
    ef_wait(fds[i], EF_OPEN, 20000);
    if (!fine(ef_close(fds[i]), "ef_close")) at[i] = SIZE_MAX, good = false;
  }
  require(ef_drain(ef_port_default(), 20000) == 0, "ef_drain");
  for (int i = 0; i < many; ++i) {
    char name[16];
    std::snprintf(name, sizeof name, "m%d", i);
    if (fds[i] >= 0 && at[i] != SIZE_MAX) require(check_file(name, 0) == at[i], "accepted bytes of many files");
  }
  return good;
}

bool forks() {
  const int fd = open_with("parent", O_WRONLY | O_CREAT);
  if (fd < 0) return false;
  std::size_t at = 0;
  bool good = write_pattern(fd, 5000, &at);
  const pid_t child = ::fork();
  require(child >= 0, "fork");
  if (child == 0) {
    ::alarm(20);
    require(ef_write(fd, "x", 1) < 0 && errno == ECHILD, "a file of the parent in the child");
    const int own = open_with("child", O_WRONLY | O_CREAT);
    std::size_t n = 0;
    const bool well = own >= 0 && write_pattern(own, 5000, &n) && close_and_check(own, "child", 0, n);
    ::_exit(well ? 0 : 2);
  }
  int status;
  require(::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 1, "the child");
  good = WEXITSTATUS(status) == 0 && good;
  return close_and_check(fd, "parent", 0, at) && good;
}

// ---- Controls

bool forgets_to_look() {
  auto *p = static_cast<volatile char *>(std::malloc(10));
  *p = 1;
  std::free(const_cast<char *>(p));
  return true;
}
bool leaks() {
  void *a = std::malloc(10), *b = std::malloc(10);
  if (b) std::free(a);
  std::free(b);
  return a && b;
}
bool hangs() {
  void *a = std::malloc(10);
  while (!a) ::usleep(1000);
  std::free(a);
  return true;
}

bool controls_are_caught() {
  const sweep::scenario controls[] = {{"forgets_to_look", forgets_to_look}, {"leaks", leaks}, {"hangs", hangs}};
  bool good = true;
  sweep::watchdog_s = 1;
  for (const auto &c : controls) {
    const long before = sweep::bad;
    sweep::all_sites(c);
    if (sweep::bad == before) good = false, std::printf("FAILED: the control %s was not caught\n", c.name);
  }
  sweep::watchdog_s = 30;
  sweep::bad = sweep::trials = sweep::fruitless = 0;
  return good;
}

} // namespace

int main(int argc, char **argv) {
  const sweep::scenario all[] = {
      {"writes", writes},
      {"writes_much", writes_much},
      {"lanes", lanes},
      {"syncs", syncs},
      {"rotates", rotates},
      {"reopens", reopens},
      {"marks_what_it_drops", marks_what_it_drops},
      {"reads", reads},
      {"reads_past_the_cache", reads_past_the_cache},
      {"requests_in_a_ring", requests_in_a_ring},
      {"requests_on_threads", requests_on_threads},
      {"many_files", many_files},
      {"forks", forks},
  };
  if (!sweep::begin(argc, argv)) return 2;
  const bool caught = controls_are_caught();
  return sweep::run_all(argc, argv, all) && caught ? 0 : 1;
}
