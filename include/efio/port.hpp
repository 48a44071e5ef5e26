// SPDX-License-Identifier: BSD-2-Clause
// ef::port: where a loop meets the library. dispatch() takes the events and resumes the coroutines that wait for them;
// any loop calls it when fd() is readable, and submit() before it polls.
#ifndef EFIO_PORT_HPP
#define EFIO_PORT_HPP

#include <efio.h>
#include "result.hpp"

#include <fcntl.h>
#include <poll.h>

#include <coroutine>
#include <cstdint>

namespace ef::inline v1 {

class port;
class file;

namespace detail {

// A member of a ring of links; alone it is its own neighbour. It leaves the ring when it dies.
struct link {
  link *next = this, *prev = this;
  link() noexcept = default;
  link(const link &) = delete;
  link &operator=(const link &) = delete;
  ~link() { leave(); }

  bool alone() const noexcept { return next == this; }
  void leave() noexcept {
    next->prev = prev;
    prev->next = next;
    next = prev = this;
  }
  // At the end of the ring whose head is given.
  void join(link &head) noexcept {
    leave();
    prev = head.prev;
    next = &head;
    prev->next = head.prev = this;
  }
};

// Somebody who waits: in the ring of a file, of nobody (a request), or of those whose turn has come.
struct waiter : link {
  std::coroutine_handle<> who{};
  unsigned bits = 0; // of a file: what it waits for
  int error = 0;
  bool had_bytes = false;   // sync: there was something that was not durable
  std::uint64_t target = 0; // sync: the bytes that have to be
  port *holds = nullptr;    // its loop goes on meanwhile

  ~waiter() { let_go(); }
  void hold(port &p) noexcept;
  void let_go() noexcept;
};

// What the events of a file lead to: their data. Made when the file is awaited first.
struct watched : link { // in the port's ring while it closes
  watched(int fd_, port &home_) noexcept : fd(fd_), home(&home_) {}
  int fd;
  port *home;
  link waiting;
  bool closing = false; // the file has gone: EF_CLOSE ends it
};

class event_wait;
class close_wait;
void request_over(ef_request *q) noexcept;
bool resumed_later(const ef_request *q) noexcept; // an ef::request on an ef::port

inline bool counters(int fd, ef_file_counters &c) noexcept {
  c.size = sizeof c;
  return ef_file_stats(fd, &c) == 0;
}

inline int open_error(int fd) noexcept {
  struct stat st;
  return ef_fstat(fd, &st) == 0 ? 0 : errno;
}

// Of an event with EF_OPEN. That of an ef_reopen is told by EF_ERROR as well, which mostly comes along.
inline int open_error(const ef_event &e) noexcept {
  const int error = open_error(e.fd);
  const bool told = e.events == EF_OPEN || ((e.events & EF_ERROR) && !(e.events & (EF_SYNC | EF_CLOSE)));
  return error || !told ? error : e.error;
}

// What keeps bytes from being written. With room a full disk does not count: the next write is taken all the same.
inline int writing_error(int fd, bool room) noexcept {
  ef_file_counters c{};
  if (!counters(fd, c)) return errno;
  return c.error || room ? c.error : c.write_trouble;
}

} // namespace detail

// See ef_port_options. A port that dispatches has no notify function.
struct port_options {
  int engine = EF_ENGINE_AUTO;
  ef_wake_fn *wake = nullptr; // instead of fd(): no io_uring then
  void *arg = nullptr;
};

// Neither copied nor moved: what waits knows its place. It outlives the files that are awaited on it, except those that
// were closed, and the requests. `data` of the files of this port belongs to these headers: files with data of the
// caller's own, by ef_watch or in ef_file_options, belong on another port.
//
// One thread, that of the loop, calls everything here, awaits, and ends those who wait.
class port {
 public:
  // Makes one. Never throws: error() tells how it went, and every call answers it.
  explicit port(const port_options &options = {}) noexcept {
    ef_port_options o{};
    o.size = sizeof o;
    o.engine = options.engine;
    o.wake = options.wake;
    o.arg = options.arg;
    port_ = ef_port_new(&o);
    error_ = port_ ? 0 : errno;
    level_ = !options.wake; // a wake is not repeated before the queue was empty
  }
  // Takes the events of a port that is somebody else's, such as ef_port_default(), and that nobody else drains.
  explicit port(ef_port *borrowed) noexcept : port_(borrowed), owned_(false), error_(borrowed ? 0 : EINVAL) {}
  port(const port &) = delete;
  port &operator=(const port &) = delete;
  // Waits for requests under way. Closed files go on to their end in the background. Coroutines that still wait are not
  // resumed any more. Not from within dispatch().
  ~port() {
    while (requests_ > 0 && wait_and_take()) {}
    dismiss(ready_);
    if (port_ && owned_) ef_port_abandon(port_);
    while (!closing_.alone()) {
      auto *s = static_cast<detail::watched *>(closing_.next);
      s->leave();
      dismiss(s->waiting);
      if (owned_) delete s; // otherwise its event comes to whoever takes them next
    }
  }

  explicit operator bool() const noexcept { return port_ != nullptr; }
  std::error_code error() const noexcept { return {error_, std::generic_category()}; }
  ef_port *get() const noexcept { return port_; }

  // ef_port_fd: let the loop watch it for reading, level-triggered, and call dispatch(). With it comes io_uring.
  result<int> fd() noexcept { return port_ ? detail::answered<int>(ef_port_fd(port_)) : failure{error_}; }

  // Takes the events that are there and resumes who waits for them; never blocks. The answer is how many were resumed.
  // `done` of requests of the caller's own (ef_request) is called, from here. Those who are resumed may do anything but
  // destroy the port. Errors of ef_port_next.
  result<int> dispatch() {
    int ran = run_ready();
    for (int round = 0; round < rounds || !level_; ++round) {
      const int n = take();
      if (n < 0) return last_failure();
      ran += run_ready();
      if (n < batch) break;
    }
    return ran;
  }

  // ef_port_submit, just before the loop polls. It also resumes who was told of an end outside of dispatch(), because a
  // file was closed under him.
  result<int> submit() {
    run_ready();
    return port_ ? detail::answered<int>(ef_port_submit(port_)) : failure{error_};
  }

  // A loop for those who have none: waits for events, at most so long (-1: for ever), and dispatches them.
  result<int> wait(int timeout_ms) {
    const int ran = run_ready(); // perhaps what the caller waits for
    const auto submitted = submit();
    if (!submitted) return submitted;
    const auto bell = fd();
    if (!bell) return bell;
    pollfd p{*bell, POLLIN, 0};
    if (::poll(&p, 1, ran > 0 ? 0 : timeout_ms) < 0 && errno != EINTR) return last_failure();
    const auto more = dispatch();
    if (!more) return more;
    return ran + *more;
  }

  // ef_drain: until nothing that was accepted is unwritten. Blocks.
  result<void> drain(int timeout_ms) noexcept {
    return port_ ? detail::done(ef_drain(port_, timeout_ms)) : failure{error_};
  }

  result<ef_port_counters> stats() const noexcept {
    if (!port_) return failure{error_};
    ef_port_counters c{};
    c.size = sizeof c;
    if (ef_port_stats(port_, &c) < 0) return last_failure();
    return c;
  }

 protected:
  // For a port that is part of a loop: told when the first begins to wait, or to be under way, and when the last is
  // over.
  using hold_fn = void(port &, bool) noexcept;
  void on_hold(hold_fn *f) noexcept { on_hold_ = f; }
  // Nothing was opened yet: every call answers the error from now on.
  void give_up(int error) noexcept {
    if (port_) ef_port_abandon(port_);
    port_ = nullptr;
    error_ = error;
  }

 private:
  friend class file;
  friend class request;
  friend struct detail::waiter;
  friend class detail::event_wait;
  friend class detail::close_wait;
  friend void detail::request_over(ef_request *q) noexcept;

  static constexpr int batch = 64;
  static constexpr int rounds = 16; // then the loop has its turn, and comes back

  int run_ready() {
    int ran = 0;
    for (; !ready_.alone(); ++ran) {
      auto *w = static_cast<detail::waiter *>(ready_.next);
      w->leave();
      w->let_go();
      w->who.resume();
    }
    return ran;
  }

  // Nobody of ours is resumed in here, so that what the events point to stays while they are looked at. `done` of
  // others comes last: what is left then are requests that were not told yet, and those stay by contract.
  int take() {
    ef_event events[batch];
    const int n = port_ ? ef_port_next(port_, events, batch) : (errno = error_, -1);
    for (int i = 0; i < n; ++i) {
      ef_event &e = events[i];
      if (!(e.events & EF_REQUEST))
        deliver(e);
      else if (auto *q = static_cast<ef_request *>(e.data); detail::resumed_later(q))
        q->done(q);
      else
        continue;
      e.data = nullptr;
    }
    for (int i = 0; i < n; ++i)
      if (auto *q = static_cast<ef_request *>(events[i].data); q && q->done) q->done(q);
    return n;
  }

  // Takes events until there were some, without resuming. False: none will come any more.
  bool wait_and_take() noexcept {
    for (;;) {
      const int n = take();
      if (n != 0 && (n > 0 || errno != EBUSY)) return n > 0;
      pollfd p{n == 0 ? ef_port_fd(port_) : -1, POLLIN, 0};
      ::poll(&p, 1, p.fd < 0 ? 1 : -1); // EBUSY: until another thread has let go of the port
    }
  }

  void ready(detail::waiter &w, int error) noexcept {
    w.error = error;
    w.join(ready_);
  }

  void deliver(const ef_event &e) noexcept {
    auto *s = static_cast<detail::watched *>(e.data);
    if (!s) return;
    for (detail::link *l = s->waiting.next, *next; l != &s->waiting; l = next) {
      next = l->next;
      auto &w = *static_cast<detail::waiter *>(l);
      const unsigned hit = w.bits & e.events;
      if (!hit || (hit & EF_SYNC)) continue;
      if ((hit & EF_OPEN) && ef_watch(e.fd, EF_OPEN, s) == 0) continue; // told of an open before that which goes on
      if (w.bits & EF_ERROR) {
        const int error = detail::writing_error(e.fd, hit & EF_WRITE);
        if (error || (hit & EF_WRITE)) ready(w, error); // other trouble, of a rotation, or one that has passed
        continue;
      }
      ready(w, hit & EF_CLOSE ? e.error : hit & EF_OPEN ? detail::open_error(e) : 0);
    }
    if (e.events & EF_SYNC) synced(*s, e.error);
    if (s->closing && (e.events & EF_CLOSE)) forget(s);
  }

  // Syncs that overlap share events. One with an error may be of a later one: who had bytes to make durable that are
  // durable now has succeeded. Who is too early for this event asks for another, and looks again, for it may be now.
  void synced(detail::watched &s, int error) noexcept {
    if (fulfil(s, error)) return;
    ef_watch(s.fd, EF_SYNC, &s);
    fulfil(s, 0);
  }

  bool fulfil(detail::watched &s, int error) noexcept { // true: nobody waits for a sync any more
    ef_file_counters c{};
    if (!detail::counters(s.fd, c)) return true;
    bool all = true;
    for (detail::link *l = s.waiting.next, *next; l != &s.waiting; l = next) {
      next = l->next;
      auto &w = *static_cast<detail::waiter *>(l);
      if (w.bits != EF_SYNC) continue;
      if (w.target <= c.synced && (!error || w.had_bytes))
        ready(w, 0);
      else if (error)
        ready(w, error);
      else
        all = false;
    }
    return all;
  }

  void hold(bool on) noexcept {
    holds_ += on ? 1 : -1;
    if (on_hold_ && holds_ == (on ? 1 : 0)) on_hold_(*this, on);
  }
  void under_way(bool on) noexcept {
    requests_ += on ? 1 : -1;
    hold(on);
  }

  // They are not resumed any more.
  static void dismiss(detail::link &waiting) noexcept {
    while (!waiting.alone()) {
      static_cast<detail::waiter *>(waiting.next)->let_go();
      waiting.next->leave();
    }
  }

  void forget(detail::watched *s) noexcept {
    dismiss(s->waiting);
    delete s;
  }

  ef_port *port_ = nullptr;
  bool owned_ = true, level_ = false;
  int error_ = 0;
  hold_fn *on_hold_ = nullptr;
  int holds_ = 0;        // who waits, and requests
  int requests_ = 0;     // under way
  detail::link ready_;   // to be resumed
  detail::link closing_; // files that end
};

namespace detail {

inline void waiter::hold(port &p) noexcept {
  holds = &p;
  p.hold(true);
}
inline void waiter::let_go() noexcept {
  if (port *p = std::exchange(holds, nullptr)) p->hold(false);
}

} // namespace detail
} // namespace ef::inline v1
#endif
