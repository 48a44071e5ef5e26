// SPDX-License-Identifier: BSD-2-Clause
// What the tests of the core share: a directory of their own, whole files, and waiting with a deadline.
#ifndef EF_TESTS_CORE_HH
#define EF_TESTS_CORE_HH

#include "child.h"

#include <efio.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

extern "C" {        // this version has no guard for C++
#include <cmocka.h> // last: it defines names the standard headers use
}

namespace core {

constexpr int patience_ms = 20000, most_patience_ms = 16 * patience_ms;

// A directory under $TMPDIR (or `under`), removed with what is in it when the program ends well.
inline std::string directory(const char *under = nullptr) {
  const char *t = under ? under : std::getenv("TMPDIR");
  std::string d = std::string(t ? t : "/tmp") + "/efio-core-XXXXXX";
  assert_non_null(::mkdtemp(d.data()));
  return d;
}
// On FUSE a file that is still open somewhere keeps its directory for a moment.
inline void remove(const std::string &d) {
  const std::string rm = "rm -rf " + d;
  assert_int_equal(std::system((rm + " 2>/dev/null || { sleep 1; " + rm + "; }").c_str()), 0);
}
inline ef_port *port_with(int engine) {
  ef_port_options o{};
  o.size = sizeof o;
  o.engine = engine;
  return ef_port_new(&o);
}
// A file system in user space, whose kernel side believes what it has heard before, and which may lack calls.
inline bool on_fuse(const std::string &d) {
  struct statfs s;
  return ::statfs(d.c_str(), &s) == 0 && s.f_type == 0x65735546;
}

inline std::string contents(const std::string &path) {
  std::string s;
  FILE *f = std::fopen(path.c_str(), "r");
  if (!f) return "(no file)";
  char b[65536];
  for (std::size_t n; (n = std::fread(b, 1, sizeof b, f)) > 0;) s.append(b, n);
  std::fclose(f);
  return s;
}
inline void put(const std::string &path, const std::string &s) {
  FILE *f = std::fopen(path.c_str(), "w");
  assert_non_null(f);
  assert_int_equal(std::fwrite(s.data(), 1, s.size(), f), s.size());
  assert_int_equal(std::fclose(f), 0);
}
inline std::string pattern(std::size_t n, unsigned seed = 1) {
  std::string s(n, 0);
  for (char &c : s) {
    seed = seed * 1664525 + 1013904223;
    c = static_cast<char>(seed >> 24);
  }
  return s;
}

inline int open(const std::string &path, int flags, ef_file_options o = {}, ef_port *p = nullptr) {
  o.size = sizeof o;
  int fd = ef_openat(p, AT_FDCWD, path.c_str(), flags, 0644, &o);
  assert_true(fd >= 0);
  return fd;
}

// Does a thread of ours wait in the kernel for a disk (state D)? Then it is not the library that keeps us waiting.
inline bool disk_keeps_us() {
  DIR *tasks = ::opendir("/proc/self/task");
  if (!tasks) return false;
  bool found = false;
  for (const dirent *d; !found && (d = ::readdir(tasks));) {
    const std::string stat = contents(std::string("/proc/self/task/") + d->d_name + "/stat");
    const std::size_t name_end = stat.rfind(')'); // a name may hold anything
    found = name_end != std::string::npos && stat.compare(name_end, 3, ") D") == 0;
  }
  ::closedir(tasks);
  return found;
}
// ef_wait, once more and longer while the disk is too busy to answer: a sync that is asked for anew is behind the one
// that is under way. At most seven minutes.
inline int wait_for(int fd, unsigned bits) {
  int r = ef_wait(fd, bits, patience_ms);
  for (int ms = 4 * patience_ms; r == 0 && ms <= most_patience_ms && disk_keeps_us(); ms *= 4)
    r = ef_wait(fd, bits, ms);
  return r;
}
inline void wait(int fd, unsigned bits) {
  const int r = wait_for(fd, bits);
  if (r < 0) fail_msg("ef_wait: errno %d", errno);
  assert_int_equal(r & bits, bits);
}
// ef_drain, alike.
inline int drain(ef_port *p) {
  int r = ef_drain(p, patience_ms);
  for (int ms = 4 * patience_ms; r < 0 && errno == ETIMEDOUT && ms <= most_patience_ms && disk_keeps_us(); ms *= 4)
    r = ef_drain(p, ms);
  return r;
}

// Runs f in a fork child, whose exit status is its result; what waitpid tells of it.
template<class F> int in_child(F f) {
  const int status = status_of_child([](void *arg) -> int { return (*static_cast<F *>(arg))(); }, &f);
  assert_int_not_equal(status, -1);
  return status;
}

inline void write(int fd, const std::string &s) {
  for (std::size_t done = 0; done < s.size();) {
    ssize_t r = ef_write(fd, s.data() + done, s.size() - done);
    if (r < 0) {
      assert_int_equal(errno, EAGAIN);
      wait(fd, EF_WRITE);
      continue;
    }
    done += static_cast<std::size_t>(r);
  }
}
// Up to the end of file, in pieces of n bytes.
inline std::string read_all(int fd, std::size_t n = 10000) {
  std::string s;
  std::vector<char> b(n);
  for (;;) {
    ssize_t r = ef_read(fd, b.data(), n);
    if (r == 0) return s;
    if (r < 0) {
      assert_int_equal(errno, EAGAIN);
      wait(fd, EF_READ);
      continue;
    }
    s.append(b.data(), static_cast<std::size_t>(r));
  }
}
inline void close(int fd, ef_port *p = nullptr) {
  assert_int_equal(ef_close(fd), 0);
  assert_int_equal(drain(p), 0);
}
inline ef_file_counters stats(int fd) {
  ef_file_counters c{};
  c.size = sizeof c;
  assert_int_equal(ef_file_stats(fd, &c), 0);
  return c;
}

// One test for each entry of a table, by its name; the entry is what the test's state points to.
template<class Entry, std::size_t count> int run_each(const Entry (&table)[count], CMUnitTestFunction test) {
  CMUnitTest tests[count] = {};
  for (std::size_t i = 0; i < count; ++i) {
    tests[i] = cmocka_unit_test(test);
    tests[i].name = table[i].name;
    tests[i].initial_state = const_cast<Entry *>(&table[i]);
  }
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}

// The next event of a port, within the deadline. All of zero: none came in `ms`.
inline ef_event next(ef_port *p, int ms = patience_ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  for (;;) {
    ef_event e{};
    int n = ef_port_next(p, &e, 1);
    assert_true(n >= 0);
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    if (n == 1 || left <= 0) return e;
    pollfd q{ef_port_fd(p), POLLIN, 0}; // it is readable as well when the engine alone has something to do
    ::poll(&q, 1, static_cast<int>(left));
  }
}
inline bool nothing_more(ef_port *p) { return next(p, 30).events == 0; }

} // namespace core

#define FAILS_WITH(call, error)                                                                                        \
  do {                                                                                                                 \
    errno = 0;                                                                                                         \
    assert_true((call) == -1);                                                                                         \
    assert_int_equal(errno, error);                                                                                    \
  } while (0)

#endif
