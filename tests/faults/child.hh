// SPDX-License-Identifier: BSD-2-Clause
// Checks that spoil their process: each runs in a child of its own, with a watchdog. A failed one says where, and its
// process ends; no check is a cmocka test, whose assertions count on one thread only.
#ifndef EF_TESTS_FAULTS_CHILD_HH
#define EF_TESTS_FAULTS_CHILD_HH

#include "stress.hh"

#include <efio.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

namespace child {

inline std::string &place = *new std::string; // a directory; for threads that still run when the process ends, too

[[noreturn]] inline void wrong(const char *file, int line, const char *what) {
  // Standard output may be closed, and the library's threads go on: straight to where the parent listens.
  char text[300];
  const int n = std::snprintf(text, sizeof text, "  %s:%d: %s (errno %d)\n", file, line, what, errno);
  (void)!::write(1, text, static_cast<std::size_t>(n));
  ::_exit(1);
}
#define MUST(condition) ((condition) ? (void)0 : child::wrong(__FILE__, __LINE__, #condition))

// How a process ended that runs body, and is ended itself after so many seconds.
template<class Body> int status_of(Body body, unsigned watchdog_s = 30) {
  std::fflush(stdout);
  const pid_t pid = ::fork();
  stress::require(pid >= 0, "fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(watchdog_s);
    body();
    std::exit(0);
  }
  int status;
  while (::waitpid(pid, &status, 0) != pid) stress::require(errno == EINTR, "waitpid");
  return status;
}

inline std::string told(int status) {
  if (WIFEXITED(status)) return "code " + std::to_string(WEXITSTATUS(status));
  const std::string s = "signal " + std::to_string(WTERMSIG(status));
  return WTERMSIG(status) == SIGALRM ? s + ": it hangs" : s;
}

struct check {
  const char *name;
  void (*run)();
};

// Each of them; how many went wrong.
template<std::size_t N> int run_all(const check (&all)[N], unsigned watchdog_s = 30) {
  int bad = 0;
  for (const check &c : all) {
    const int status = status_of(c.run, watchdog_s);
    std::printf("%s %s%s\n", status ? "FAILED" : "good  ", c.name, status ? (": " + told(status)).c_str() : "");
    bad += status != 0;
  }
  std::fflush(stdout);
  return bad;
}

inline std::string path(const std::string &name) { return place + "/" + name; }

inline int open(const std::string &name, int flags, ef_file_options o = {}, ef_port *p = nullptr) {
  o.size = sizeof o;
  return ef_openat(p, AT_FDCWD, path(name).c_str(), flags, 0644, &o);
}

inline std::string contents(const std::string &name) {
  std::string s;
  const int fd = ::open(path(name).c_str(), O_RDONLY);
  if (fd < 0) return "(no file)";
  char b[65536];
  for (ssize_t n; (n = ::read(fd, b, sizeof b)) > 0;) s.append(b, static_cast<std::size_t>(n));
  ::close(fd);
  return s;
}
inline void put(const std::string &name, const std::string &s) {
  ::unlink(path(name).c_str()); // perhaps another user's
  const int fd = ::open(path(name).c_str(), O_WRONLY | O_CREAT, 0666);
  MUST(fd >= 0 && ::write(fd, s.data(), s.size()) == static_cast<ssize_t>(s.size()));
  ::close(fd);
}
inline std::string pattern(std::size_t n) {
  std::string s(n, 0);
  for (std::size_t i = 0; i < n; ++i) s[i] = static_cast<char>('!' + (i ^ i >> 7 ^ i >> 13) % 90);
  return s;
}

// All of it, waiting for room.
inline void write(int fd, const std::string &s) {
  for (std::size_t done = 0; done < s.size();) {
    const ssize_t r = ef_write(fd, s.data() + done, s.size() - done);
    if (r > 0) done += static_cast<std::size_t>(r);
    if (r < 0) {
      MUST(errno == EAGAIN);
      MUST(ef_wait(fd, EF_WRITE, 20000) > 0);
    }
  }
}
inline std::string read_all(int fd) {
  std::string s;
  static char b[30000];
  for (;;) {
    const ssize_t r = ef_read(fd, b, sizeof b);
    if (r == 0) return s;
    if (r > 0) s.append(b, static_cast<std::size_t>(r));
    if (r < 0) {
      MUST(errno == EAGAIN);
      MUST(ef_wait(fd, EF_READ, 20000) > 0);
    }
  }
}
inline void close(int fd, ef_port *p = nullptr) {
  MUST(ef_close(fd) == 0);
  MUST(ef_drain(p, 20000) == 0);
}
inline ef_file_counters stats(int fd) {
  ef_file_counters c{};
  c.size = sizeof c;
  MUST(ef_file_stats(fd, &c) == 0);
  return c;
}
inline ef_port *port_with(int engine) {
  ef_port_options o{};
  o.size = sizeof o;
  o.engine = engine;
  ef_port *p = ef_port_new(&o);
  MUST(p);
  return p;
}

// A descriptor of this process that is a link to something called so; -1: there is none.
inline int descriptor_of(const char *what) {
  DIR *d = ::opendir("/proc/self/fd");
  int found = -1;
  for (const dirent *e; d && found < 0 && (e = ::readdir(d));) {
    char to[300] = {};
    if (::readlinkat(::dirfd(d), e->d_name, to, sizeof to - 1) > 0 && std::strstr(to, what))
      found = std::atoi(e->d_name);
  }
  if (d) ::closedir(d);
  return found;
}

// Requests that go to the engine: the file is read past the cache where that works.
class requests {
 public:
  static constexpr int count = 32;
  static constexpr std::size_t size = 300000; // of the file "in", which it makes
  explicit requests(ef_port *p) : port_(p) {
    put("in", pattern(size));
    ef_file_options o{};
    o.cache = EF_CACHE_DIRECT;
    fd_ = child::open("in", O_RDONLY, o, p);
    MUST(fd_ >= 0);
    MUST(ef_wait(fd_, EF_OPEN, 20000) == EF_OPEN);
  }
  void begin() {
    for (int i = 0; i < count; ++i) {
      all_[i] = {};
      const ssize_t r = ef_pread(fd_, bytes_[i], sizeof bytes_[i], i * step, &all_[i]);
      MUST(r > 0 || errno == EINPROGRESS);
      left_ += r < 0;
    }
  }
  // Takes events until all are over; which of them ended well.
  int end(int patience_ms = 20000) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
    int good = count - left_;
    while (left_ > 0) {
      ef_event e[8];
      const int n = ef_port_next(port_, e, 8);
      MUST(n >= 0);
      for (int i = 0; i < n; ++i) {
        if (e[i].events != EF_REQUEST) continue;
        --left_;
        const auto *r = static_cast<const ef_request *>(e[i].data);
        if (r->result != static_cast<ssize_t>(sizeof bytes_[0])) continue;
        ++good;
        const std::string want = pattern(static_cast<std::size_t>(r->offset) + sizeof bytes_[0]).substr(r->offset);
        MUST(std::memcmp(r->buffer.iov_base, want.data(), want.size()) == 0);
      }
      if (n == 0) ::usleep(500);
      if (std::chrono::steady_clock::now() > until) return -1;
    }
    return good;
  }
  int fd() const { return fd_; }

 private:
  static constexpr off_t step = 8192;
  ef_port *port_;
  int fd_, left_ = 0;
  ef_request all_[count];
  alignas(4096) char bytes_[count][4096];
};

} // namespace child
#endif
