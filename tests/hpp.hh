// SPDX-License-Identifier: BSD-2-Clause
// What the tests of efio.hpp share: a directory, a pipe that is full, and turns of a port with a deadline.
#ifndef EF_TESTS_HPP_HH
#define EF_TESTS_HPP_HH

#include <efio.hpp>

#include "core.hh"

namespace hpp {

constexpr int engines[] = {EF_ENGINE_URING, EF_ENGINE_THREADS};

template<class Test> void on_each_engine(Test test) {
  for (int engine : engines) {
    std::printf("  %s\n", engine == EF_ENGINE_URING ? "io_uring" : "threads");
    ef::port p({.engine = engine});
    assert_true(static_cast<bool>(p));
    assert_true(static_cast<bool>(p.fd()));
    test(p);
    assert_true(static_cast<bool>(p.drain(core::patience_ms)));
  }
}

// Turns of the port's own loop.
template<class Condition> void until(ef::port &p, Condition c) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(core::patience_ms);
  while (!c()) {
    assert_true(static_cast<bool>(p.wait(100)));
    assert_true(std::chrono::steady_clock::now() < end);
  }
}

inline void nothing_more(ef::port &p) {
  for (int i = 0; i < 3; ++i) {
    auto ran = p.wait(10);
    assert_true(ran && *ran == 0);
  }
}

// A FIFO without room: what is written to it waits, and so does who wants room, a sync or the end.
class full_pipe {
 public:
  explicit full_pipe(const std::string &path) : path_(path) {
    assert_int_equal(::mkfifo(path.c_str(), 0600), 0);
    reader_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader_ >= 0);
  }
  ~full_pipe() { leave(); }
  full_pipe(const full_pipe &) = delete;
  full_pipe &operator=(const full_pipe &) = delete;

  ef::file open(ef::port &p) {
    ef::file f = std::move(*ef::file::open(p, path_.c_str(), O_WRONLY, {.write_buffer_max = 128 << 10}));
    assert_true(static_cast<bool>(f.wait(EF_OPEN, core::patience_ms)));
    fill(f);
    return f;
  }
  void fill(const ef::file &f) {
    for (int idle = 0; idle < 5;) { // until neither the pipe nor the budget takes any more
      const std::string piece = core::pattern(4096, ++seed_);
      const auto n = f.write(piece);
      if (n) {
        assert_int_equal(*n, piece.size());
        sent_ += piece;
        idle = 0;
      } else {
        assert_true(n.would_block());
        --seed_;
        ++idle;
        ::usleep(3000);
      }
    }
  }
  void drain() {
    char b[65536];
    for (ssize_t n; (n = ::read(reader_, b, sizeof b)) > 0;) got_.append(b, static_cast<std::size_t>(n));
  }
  void leave() {
    if (reader_ >= 0) ::close(reader_);
    reader_ = -1;
  }
  bool all_came() {
    drain();
    return got_ == sent_;
  }

 private:
  std::string path_, sent_, got_;
  int reader_ = -1;
  unsigned seed_ = 0;
};

} // namespace hpp

#define GOOD(call) assert_true(static_cast<bool>(call))
#define FAILED_WITH(call, code) assert_int_equal((call).error().value(), code)

#endif
