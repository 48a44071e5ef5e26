// SPDX-License-Identifier: BSD-2-Clause
// The sweep of refusals over scenarios, each trial in a process of its own: no crash, no hang, errors told by name,
// accepted bytes in their files, and afterwards everything works and nothing has leaked.
#ifndef EF_TESTS_FAULTS_SWEEP_HH
#define EF_TESTS_FAULTS_SWEEP_HH

#include "refusals.hh"
#include "stress.hh"

#include <efio.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace sweep {

// With everything healthy it must answer true; with something refused false if it met that.
struct scenario {
  const char *name;
  bool (*run)();
};

inline const char *place;                       // a directory
inline bool faulty;                             // something may be refused now
inline int watchdog_s = 30;                     // of one trial
inline long trials = 0, bad = 0, fruitless = 0; // fruitless: nothing was refused

[[noreturn]] inline void wrong(const char *what) {
  std::printf("  %s (errno %d)\n", what, errno);
  std::fflush(stdout);
  ::_exit(1);
}
inline void require(bool good, const char *what) {
  if (!good) wrong(what);
}

// The errors that a lack of something may have.
inline bool lack(int error) { return error == ENOMEM || error == EAGAIN || error == EMFILE; }

// True: the call went well. Otherwise it must have said what is lacking, and something must be.
inline bool fine(long result, const char *call) {
  if (result >= 0) return true;
  if (!faulty || !lack(errno)) wrong(call);
  return false;
}

inline const char *path(const char *name) {
  static thread_local char all[4][300];
  static thread_local int turn = 0;
  char *p = all[turn++ % 4];
  std::snprintf(p, sizeof all[0], "%s/%s", place, name);
  return p;
}

// Byte `at` of every file.
inline char byte_at(std::size_t at) { return static_cast<char>('!' + (at ^ at >> 7 ^ at >> 13) % 90); }

inline void make_file(const char *name, std::size_t bytes) {
  refuse::excuse mine;
  static char b[4096];
  const int fd = ::open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  for (std::size_t at = 0; at < bytes; at += sizeof b) {
    for (std::size_t i = 0; i < sizeof b; ++i) b[i] = byte_at(at + i);
    require(::write(fd, b, std::min(sizeof b, bytes - at)) > 0, "write");
  }
  ::close(fd);
}
// The file holds bytes [from, ..) of the pattern; where they end.
inline std::size_t check_file(const char *name, std::size_t from) {
  refuse::excuse mine;
  static char b[65536];
  const int fd = ::open(path(name), O_RDONLY);
  if (fd < 0) return from;
  for (ssize_t n; (n = ::read(fd, b, sizeof b)) > 0; from += static_cast<std::size_t>(n))
    for (ssize_t i = 0; i < n; ++i)
      if (b[i] != byte_at(from + static_cast<std::size_t>(i))) wrong("a wrong byte in a file");
  ::close(fd);
  return from;
}

inline void empty_place() {
  refuse::excuse mine;
  DIR *d = ::opendir(place);
  for (const dirent *e; d && (e = ::readdir(d));)
    if (e->d_name[0] != '.') ::unlinkat(::dirfd(d), e->d_name, 0);
  if (d) ::closedir(d);
}

// A piece of at most n bytes of the pattern from *at on; what was not taken is tried again for a while.
inline bool write_pattern(int fd, std::size_t n, std::size_t *at) {
  static thread_local char b[32768];
  for (std::size_t end = *at + n; *at < end;) {
    const std::size_t some = std::min(sizeof b, end - *at);
    for (std::size_t i = 0; i < some; ++i) b[i] = byte_at(*at + i);
    const ssize_t r = ef_write(fd, b, some);
    if (r > 0) *at += static_cast<std::size_t>(r);
    if (r > 0) continue;
    const int error = errno;
    if (error == EAGAIN && ef_wait(fd, EF_WRITE, faulty ? 10 : 20000) > 0) continue;
    errno = error;
    return fine(-1, "ef_write");
  }
  return true;
}

inline char descriptors[1000]; // that were open when they were counted: what they are

inline int count_descriptors() {
  refuse::excuse mine;
  int n = 0;
  std::size_t used = 0;
  DIR *d = ::opendir("/proc/self/fd");
  for (const dirent *e; d && (e = ::readdir(d)); ++n) {
    char to[200] = {};
    if (::readlinkat(::dirfd(d), e->d_name, to, sizeof to - 1) <= 0 || used > sizeof descriptors - 220) continue;
    used += static_cast<std::size_t>(std::snprintf(descriptors + used, 210, "%s ", to));
  }
  if (d) ::closedir(d);
  return n;
}
inline void require_no_more_descriptors(int than) {
  // The last who was busy with a port closes what it had, a moment after the port was freed.
  for (int i = 0; i < 2000; ++i, ::usleep(1000))
    if (count_descriptors() <= than) return;
  std::printf("  %s\n", descriptors);
  wrong("descriptors leak");
}
inline int threads_called(const char *name) {
  refuse::excuse mine;
  int found = 0;
  DIR *d = ::opendir("/proc/self/task");
  for (const dirent *e; d && (e = ::readdir(d));) {
    char p[300], text[32] = {};
    std::snprintf(p, sizeof p, "/proc/self/task/%s/comm", e->d_name);
    const int fd = ::open(p, O_RDONLY);
    if (fd >= 0 && ::read(fd, text, sizeof text - 1) > 0) found += std::strncmp(text, name, std::strlen(name)) == 0;
    if (fd >= 0) ::close(fd);
  }
  if (d) ::closedir(d);
  return found;
}

inline void run_well(const scenario &s) {
  faulty = false;
  refuse::heal();
  empty_place();
  require(s.run(), "it does not work afterwards");
}
inline void run_refused(const scenario &s, int what, long at, long count) {
  faulty = true;
  empty_place();
  refuse::begin(what, at, count);
  s.run();
}

// In the child of a fork: 0 good, 2 nothing was refused.
[[noreturn]] inline void one_trial(const scenario &s, int what, long at, long count) {
  ::alarm(static_cast<unsigned>(watchdog_s));
  run_refused(s, what, at, count);
  const bool refused = refuse::now.refused.load(std::memory_order_relaxed) > 0;
  run_well(s);
  const int open = count_descriptors();
  run_well(s);
  require_no_more_descriptors(open);
  // A thread that it starts is called so, too, until it has its own name.
  for (int i = 0; i < 2000 && threads_called("efio-time") > 1; ++i) ::usleep(1000);
  require(threads_called("efio-time") <= 1, "two timekeepers");
  std::exit(refused ? 0 : 2); // as programs end
}

inline long kept_by_good_runs(const scenario &s, int times) {
  const long blocks = refuse::now.blocks.load(std::memory_order_relaxed);
  for (int i = 0; i < times; ++i) run_well(s);
  return refuse::now.blocks.load(std::memory_order_relaxed) - blocks;
}

// Warm: each refusal ten times over.
[[noreturn]] inline void leaks(const scenario &s, int what) {
  constexpr int times = 10;
  ::alarm(static_cast<unsigned>(watchdog_s < 5 ? 2 : 10 * watchdog_s)); // a control need not last
  run_well(s);
  refuse::begin(what, 0, 0);
  run_well(s);
  const long sites = refuse::now.seen[what].load(std::memory_order_relaxed);
  for (long n = 1; n <= std::min(sites, 8L); ++n) {
    run_refused(s, what, n, 1); // what it makes and keeps is there from now on
    run_well(s);
    const long blocks = refuse::now.blocks.load(std::memory_order_relaxed);
    const int open = count_descriptors();
    for (int i = 0; i < times; ++i) run_refused(s, what, n, 1);
    run_well(s);
    long more = refuse::now.blocks.load(std::memory_order_relaxed) - blocks;
    if (more >= times) more -= kept_by_good_runs(s, times); // slots keep what they have, and come one after the other
    if (more >= times) std::printf("  site %ld: %ld blocks more after %d refusals\n", n, more, times);
    require(more < times, "memory leaks");
    require_no_more_descriptors(open + times - 1);
  }
  std::exit(0);
}

template<class Body> int in_child(Body body) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  stress::require(child >= 0, "fork");
  if (child == 0) body();
  int status;
  stress::require(::waitpid(child, &status, 0) == child, "waitpid");
  return status;
}

inline bool judge(const scenario &s, const char *how, int what, long at, int status) {
  ++trials;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2) ++fruitless;
  if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 2)) return true;
  ++bad;
  std::printf("%s: %s, %s %s %ld: ended with %s %d%s\n", watchdog_s < 5 ? "control" : "FAILED", s.name,
              refuse::names[what], how, at, WIFSIGNALED(status) ? "signal" : "code",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
              WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": it hangs" : "");
  return false;
}

// Sites of a kind in a first run, written through a pipe by the child that counts them.
inline long sites_of(const scenario &s, int what) {
  int ends[2];
  stress::require(::pipe(ends) == 0, "pipe");
  const int status = in_child([&] {
    ::alarm(static_cast<unsigned>(watchdog_s));
    faulty = false;
    empty_place();
    refuse::begin(what, 0, 0);
    require(s.run(), "it does not work");
    const long n = refuse::now.seen[what].load(std::memory_order_relaxed);
    require(::write(ends[1], &n, sizeof n) == sizeof n, "pipe");
    ::_exit(0);
  });
  long n = 0;
  stress::require(status == 0 && ::read(ends[0], &n, sizeof n) == sizeof n, s.name);
  ::close(ends[0]);
  ::close(ends[1]);
  return n;
}

inline void all_sites(const scenario &s) {
  for (int what = 0; what < refuse::kinds; ++what) {
    const auto began = std::chrono::steady_clock::now();
    const long sites = sites_of(s, what), before = bad;
    const long step = std::getenv("EFIO_LONG") ? 1 : std::max(1L, sites / 20); // of what comes again and again, some
    for (long n = 1; n <= sites; n += n < 30 ? 1 : step) {
      judge(s, "once, at", what, n, in_child([&] { one_trial(s, what, n, 1); }));
      judge(s, "for good, from", what, n, in_child([&] { one_trial(s, what, n, 1L << 40); }));
    }
    judge(s, "again and again, of", what, sites, in_child([&] { leaks(s, what); }));
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
    std::printf("%s: %ld sites of %s, %ld ms%s\n", s.name, sites, refuse::names[what], static_cast<long>(ms),
                bad > before ? ", FAILED" : "");
  }
}

// A program of sweeps: arguments are a directory and, if wanted, the one scenario to run.
inline bool begin(int argc, char **argv) {
  static char made[256];
  if (argc < 2) return false;
  std::snprintf(made, sizeof made, "%s/efio-refused", argv[1]);
  ::mkdir(made, 0755);
  place = made;
  refuse::install();
  return true;
}
template<std::size_t N> bool run_all(int argc, char **argv, const scenario (&all)[N]) {
  for (const scenario &s : all)
    if (argc < 3 || std::strcmp(argv[2], s.name) == 0) all_sites(s);
  empty_place();
  ::rmdir(place);
  std::printf("%ld trials, %ld wrong, %ld in which nothing was refused\n", trials, bad, fruitless);
  return bad == 0 && fruitless * 4 < trials;
}

} // namespace sweep
#endif
