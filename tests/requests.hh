// SPDX-License-Identifier: BSD-2-Clause
// What the tests of reads and writes at an offset share: a loop that looks at its port only when it was told to, and
// requests that are over once.
#ifndef EF_TESTS_REQUESTS_HH
#define EF_TESTS_REQUESTS_HH

#include "faulty.hh"
#include "stress.hh"

#include "core.hh"

#include <algorithm>
#include <memory>

namespace requests {

constexpr int engines[] = {EF_ENGINE_URING, EF_ENGINE_THREADS};

// A request with a buffer of its own, and how often it was over.
struct one {
  ef_request q{};
  std::string bytes;
  int events = 0;

  explicit one(std::size_t n = 0) : bytes(n, '-') { q.data = this; }
  one(const one &) = delete;
  one &operator=(const one &) = delete;

  ssize_t pread(int fd, off_t at) { return ef_pread(fd, bytes.data(), bytes.size(), at, &q); }
  ssize_t pwrite(int fd, off_t at) { return ef_pwrite(fd, bytes.data(), bytes.size(), at, &q); }
  // For ef_submit.
  ef_request *to_do(int op, int fd, off_t at) {
    q.op = op;
    q.fd = fd;
    q.iovcnt = 0;
    q.buffer = {bytes.data(), bytes.size()};
    q.offset = at;
    return &q;
  }
};

// The thread that makes it is the owner of its port.
class loop {
 public:
  explicit loop(int engine, ef_wake_fn *wake = nullptr, ef_notify_fn *notify = nullptr, void *arg = nullptr) {
    ef_port_options o{};
    o.size = sizeof o;
    o.engine = engine;
    o.wake = wake;
    o.notify = notify;
    o.arg = arg;
    port = ef_port_new(&o);
    assert_non_null(port);
    if (wake || notify) return;
    bell = ef_port_fd(port);
    assert_true(bell >= 0);
    drain(); // from now on this thread is the owner
  }
  loop(const loop &) = delete;
  loop &operator=(const loop &) = delete;

  int open(const std::string &path, int flags, ef_file_options o = {}) {
    const int fd = core::open(path, flags, o, port);
    core::wait(fd, EF_OPEN);
    return fd;
  }

  // What is there now. Each request has one event, and its file's number is in it.
  int drain() {
    constexpr int most = 256;
    int all = 0, n;
    do {
      ef_event e[most];
      n = ef_port_next(port, e, most);
      assert_true(n >= 0);
      all += n;
      for (int i = 0; i < n; ++i) hear(e[i]);
    } while (n == most);
    return all;
  }

  // Events are looked for when the descriptor says so, and only then.
  void turn() {
    pollfd p{bell, POLLIN, 0};
    assert_int_equal(::poll(&p, 1, core::patience_ms), 1);
    drain();
  }
  template<class Condition> void until(Condition c) {
    while (!c()) turn();
  }
  void until_over(const one &r, int times = 1) {
    until([&] { return r.events >= times; });
    assert_int_equal(r.events, times);
  }
  template<class Many> void until_all_over(const Many &all, int times = 1) {
    for (auto &r : all) until_over(*r, times);
  }
  void nothing_more() {
    for (;;) {
      pollfd p{bell, POLLIN, 0};
      if (::poll(&p, 1, 10) == 0) return;
      assert_int_equal(drain(), 0);
    }
  }
  void close(int fd) {
    closed.push_back(fd);
    assert_int_equal(ef_watch(fd, EF_CLOSE, nullptr), 0);
    assert_int_equal(ef_close(fd), 0);
    until([&] { return std::find(closed.begin(), closed.end(), fd) == closed.end(); });
  }
  void end() {
    assert_int_equal(ef_drain(port, core::patience_ms), 0);
    assert_int_equal(ef_port_free(port), 0);
  }

  ef_port *port;
  int bell = -1;
  std::vector<int> closed;      // EF_CLOSE is expected
  std::vector<ef_event> others; // events of files

 private:
  void hear(const ef_event &e) {
    if (!(e.events & EF_REQUEST)) {
      others.push_back(e);
      if (e.events & EF_CLOSE) std::erase(closed, e.fd);
      return;
    }
    assert_int_equal(e.events, EF_REQUEST);
    auto *q = static_cast<ef_request *>(e.data);
    assert_int_equal(e.fd, q->fd);
    assert_int_equal(e.error, q->error);
    assert_true(q->error == 0 ? q->result >= 0 : q->result == -1);
    ++static_cast<one *>(q->data)->events;
  }
};

template<class Test> void on_each_engine(Test test) {
  for (int e : engines) {
    faulty::heal();
    std::printf("  %s\n", e == EF_ENGINE_URING ? "io_uring" : "threads");
    loop l(e);
    test(l);
    faulty::heal();
    l.end();
  }
}

// Can the file system say what is in memory? Else a ring would wait while it is handed a read: readers read instead.
inline bool reads_without_waiting(const std::string &path) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  char byte;
  const iovec to{&byte, 1};
  const bool yes = ::preadv2(fd, &to, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN;
  ::close(fd);
  return yes;
}

inline bool uring_works() {
  ef_port_counters c{};
  c.size = sizeof c;
  loop l(EF_ENGINE_URING);
  assert_int_equal(ef_port_stats(l.port, &c), 0);
  l.end();
  return c.engine == EF_ENGINE_URING;
}

#define IN_PROGRESS(call) FAILS_WITH(call, EINPROGRESS)

// 0 or a count at once, or EINPROGRESS and then it is over: what became of it.
inline ssize_t outcome(loop &l, one &r, ssize_t answer) {
  if (answer >= 0) return answer;
  assert_int_equal(errno, EINPROGRESS);
  l.until_over(r, r.events + 1);
  return r.q.result;
}

} // namespace requests
#endif
