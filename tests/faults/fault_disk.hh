// SPDX-License-Identifier: BSD-2-Clause
// What the programs that use efio on faultfs share: its control file, the port of a test, and what a test has written.
#ifndef EF_TESTS_FAULT_DISK_HH
#define EF_TESTS_FAULT_DISK_HH

#include "core.hh"
#include "stress.hh"

#include <csignal>
#include <string_view>

namespace disk {

inline std::string at, back, healthy; // the mount point, the directory below, and a directory on a disk that is well
inline pid_t server;                  // of faultfs

// PROGRAM MOUNT-POINT DIRECTORY HEALTHY-DIRECTORY PROCESS [PATTERN-OF-TESTS]
inline bool arguments(int argc, char **argv) {
  if (argc < 5) return std::fprintf(stderr, "usage: %s MOUNT BACK HEALTHY PID\n", argv[0]), false;
  at = argv[1], back = argv[2], healthy = argv[3];
  server = static_cast<pid_t>(std::atoi(argv[4]));
  if (argc > 5) cmocka_set_test_filter(argv[5]);
  return stress::seed(), true;
}

inline void rule(const std::string &line) {
  const int fd = ::open((at + "/.ctl").c_str(), O_WRONLY);
  assert_true(fd >= 0);
  assert_int_equal(::write(fd, line.data(), line.size()), line.size());
  ::close(fd);
}
inline void heal() { rule("heal"); }
inline long counted(const char *operation, const char *what) { // what: calls, hits, hanging
  const std::string all = "\n" + core::contents(at + "/.ctl");
  const std::size_t line = all.find(std::string("\n") + operation + " calls ");
  assert_true(line != std::string::npos);
  return std::atol(all.c_str() + all.find(std::string(" ") + what + " ", line) + std::strlen(what) + 2);
}

inline ef_port *port; // of the test that runs
inline int open_port(void **) { return (port = ef_port_new(nullptr)) ? 0 : -1; }
inline int close_port(void **) {
  assert_int_equal(core::drain(port), 0);
  return ef_port_free(port);
}
inline int start_test(void **state) { return heal(), open_port(state); }
inline int end_test(void **state) { return heal(), close_port(state); }

// Waits for a condition with a deadline; false: it is over.
template<class Condition> bool eventually(Condition c, int ms = core::patience_ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (!c()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::usleep(30);
  }
  return true;
}

// A file that is written on, and what it has accepted.
struct written_file {
  std::string name, accepted;
  int fd = -1;

  written_file(const std::string &directory, const std::string &n, ef_file_options o = {}) : name(n) {
    if (!o.flush_interval_ms) o.flush_interval_ms = 10;
    fd = core::open(directory + "/" + n, O_WRONLY | O_CREAT | O_TRUNC, o, port);
  }
  // The answer of ef_write.
  ssize_t put(std::size_t n) {
    const std::string piece = core::pattern(n, static_cast<unsigned>(accepted.size()) + 7);
    const ssize_t r = ef_write(fd, piece.data(), n);
    if (r > 0) accepted.append(piece, 0, static_cast<std::size_t>(r));
    return r;
  }
  ef_file_counters counters() const { return core::stats(fd); }
  bool settled() const {
    const ef_file_counters c = counters();
    return c.error || c.written == c.accepted;
  }
};

// Events of the port, in their order, as long as they are wanted.
class news {
 public:
  void take() {
    ef_event e;
    while (ef_port_next(port, &e, 1) == 1) all_.push_back(e);
  }
  // The first with these bits for the file; none within the deadline: of zero.
  ef_event expect(int fd, unsigned bits) {
    ef_event found{};
    eventually([&] {
      take();
      for (const ef_event &e : all_)
        if (!found.events && e.fd == fd && (e.events & bits)) found = e;
      return found.events != 0;
    });
    assert_int_not_equal(found.events, 0);
    return found;
  }
  int count(int fd, unsigned bits) {
    take();
    int n = 0;
    for (const ef_event &e : all_) n += e.fd == fd && (e.events & bits);
    return n;
  }

 private:
  std::vector<ef_event> all_;
};

// Ends a file that is well: all of it is there.
inline void close_whole(const written_file &f, const std::string &directory) {
  core::wait(f.fd, EF_SYNC);
  core::close(f.fd, port);
  assert_true(core::contents(directory + "/" + f.name) == f.accepted);
}
inline bool is_prefix(std::string_view some, std::string_view all) { return all.substr(0, some.size()) == some; }

} // namespace disk
#endif
