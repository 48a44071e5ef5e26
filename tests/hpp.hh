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

#define GOOD(call) assert_true(static_cast<bool>(call))
#define FAILED_WITH(call, code) assert_int_equal((call).error().value(), code)

// Waits for bytes, room, a sync and two ends.
inline ef::job copy(ef::port &p, std::string from, std::string to, bool &over) {
  auto in = ef::file::open(p, from.c_str(), O_RDONLY, {.cache = EF_CACHE_STREAMING});
  auto out = ef::file::open(p, to.c_str(), O_WRONLY | O_CREAT, {.write_buffer_max = 128 << 10});
  GOOD(co_await in->opened());
  char some[EF_ATOMIC];
  for (;;) {
    const auto n = in->read(some);
    if (n.would_block()) {
      GOOD(co_await in->readable());
      continue;
    }
    GOOD(n);
    if (*n == 0) break;
    while (out->write(std::string_view(some, *n)).would_block()) GOOD(co_await out->writable());
  }
  GOOD(co_await out->synced());
  GOOD(co_await out->closed());
  GOOD(co_await in->closed());
  over = true;
}

// Reads there, and writes the same behind the end of `all`.
inline ef::job copy_at(ef::file &f, const std::string &all, std::size_t at, int &over) {
  std::string got(10000, 0);
  const auto n = co_await f.read_at(std::span(got), static_cast<off_t>(at));
  assert_true(*n == got.size() && all.compare(at, got.size(), got) == 0);
  const auto written = co_await f.write_at(std::string_view(got), static_cast<off_t>(all.size() + at));
  assert_int_equal(*written, got.size());
  ++over;
}

inline ef::job read_into(ef::file &f, std::string &to, std::size_t at, int &over) {
  const auto n = co_await f.read_at(std::span(to), static_cast<off_t>(at));
  assert_int_equal(*n, to.size());
  ++over;
}
inline ef::job write_from(ef::file &f, const std::string &from, std::size_t at, int &over) {
  const auto n = co_await f.write_at(std::string_view(from), static_cast<off_t>(at));
  assert_int_equal(*n, from.size());
  ++over;
}
inline ef::job write_and_destroy(ef::file &f, const std::string &from, std::vector<ef::job> &others, int &over) {
  GOOD(co_await f.write_at(std::string_view(from), 0));
  others.clear();
  ++over;
}

// On a port whose loop takes the events, in `turn`: requests that are destroyed while they are under way, and while the
// loop has their events in hand already. Their bytes are freed, others go on. `f` is opened for both.
template<class Turn> void requests_that_die(ef::file &f, const std::string &all, Turn turn) {
  for (int round = 0; round < 40; ++round) {
    std::string stays(50000, 0);
    const std::string written(20000, 'w');
    int over = 0, never = 0;
    const ef::job reads = read_into(f, stays, 1000, over), writes = write_from(f, written, all.size(), over);
    {
      std::vector<std::string> goes(20, std::string(30000, 'g'));
      std::vector<ef::job> jobs;
      for (std::size_t i = 0; i < goes.size(); ++i)
        jobs.push_back(i % 2 ? write_from(f, goes[i], all.size() + 30000 * i, never)
                             : read_into(f, goes[i], 2000 * i, never));
      if (round % 4 == 1) turn();
      if (round % 4 == 2) ::usleep(300);
    }
    never = 0;
    while (over < 2) turn();
    assert_true(stays == all.substr(1000, stays.size()));
    assert_int_equal(never, 0);
  }
  for (int round = 0; round < 10; ++round) {
    const std::string same = all.substr(0, 1000);
    std::vector<ef::job> others;
    int over = 0, first = 0;
    const ef::job destroys = write_and_destroy(f, same, others, first);
    for (int i = 0; i < 30; ++i) others.push_back(write_from(f, same, 0, over));
    assert_int_equal(ef_drain(ef_port_of(f.number()), core::patience_ms), 0); // all of them are told in one turn
    while (first == 0) turn();
    assert_true(others.empty() && over <= 30);
  }
}

// By an adapter for a path: an object with file and turn().
template<class Adapter> void requests_that_die(const std::string &path) {
  const std::string all = core::pattern(500000);
  core::put(path, all);
  Adapter a(path);
  requests_that_die(a.file, all, [&] { a.turn(); });
}
template<class Adapter> void fifty_copies(const std::string &path) {
  const std::string all = core::pattern(500000);
  core::put(path, all);
  {
    Adapter a(path);
    int over = 0;
    std::vector<ef::job> jobs;
    for (std::size_t i = 0; i < 50; ++i) jobs.push_back(copy_at(a.file, all, i * 10000, over));
    while (over < 50) a.turn();
  }
  assert_true(core::contents(path) == all + all);
}

inline ef::job wait_for_room(ef::file &f, std::error_code &end, int &over) {
  end = (co_await f.writable()).error();
  ++over;
}

// A port that is part of a loop; run() comes back when the loop has nothing to wait for. That it does shows that the
// port holds the loop for as long as somebody waits, and no longer.
template<class Guest> void coroutines_run_in_a_loop(const std::string &dir) {
  const std::string all = core::pattern(3000000), path = dir + "/from";
  core::put(path, all);
  Guest g;
  g.run(); // nobody waits
  bool over = false;
  const ef::job j = copy(g.port, path, dir + "/to", over);
  assert_false(over);
  g.run();
  assert_true(over && j.done());
  assert_true(core::contents(dir + "/to") == all);

  auto f = ef::file::open(g.port, path.c_str(), O_RDWR);
  int count = 0;
  std::vector<ef::job> jobs;
  for (std::size_t i = 0; i < 50; ++i) jobs.push_back(copy_at(*f, all, i * 10000, count));
  g.run();
  assert_int_equal(count, 50);
  assert_true(core::contents(path) == all + all.substr(0, 500000));
  requests_that_die(*f, all, [&] { g.run(); });
  GOOD(f->close());
  g.run();
  GOOD(g.port.drain(core::patience_ms));
  assert_int_equal(g.port.stats()->files, 0);
}

template<class Guest> void a_loop_is_held_by_those_who_wait(const std::string &dir) {
  full_pipe pipe(dir + "/held");
  Guest g;
  int over = 0;
  std::error_code end;
  ef::file f = pipe.open(g.port);
  GOOD(g.port.dispatch()); // of room that there was meanwhile
  ef::job a = wait_for_room(f, end, over), b = wait_for_room(f, end, over);
  assert_true(g.alive());
  a.cancel();
  assert_true(g.alive());
  b.cancel();
  assert_false(g.alive());
  g.run();
  a = wait_for_room(f, end, over);
  GOOD(f.close()); // outside of the loop: it resumes whom that has told
  g.run();
  assert_int_equal(over, 1);
  assert_int_equal(end.value(), ECANCELED);
  assert_false(g.alive());
  {
    pipe.drain();
    ef::file other = pipe.open(g.port);
    a = wait_for_room(other, end, over);
    assert_int_equal(core::in_child([&] { // there nobody will come
                       g.forked();
                       g.run();
                       return over == 1 ? 0 : 1;
                     }),
                     0);
    a.cancel();
  }
  pipe.leave();
  ::unlink((dir + "/held").c_str());
}

} // namespace hpp

#endif
