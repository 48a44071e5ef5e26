// SPDX-License-Identifier: BSD-2-Clause
// ef::request: a read or write at an offset that does not die while it is under way.
#ifndef EFIO_REQUEST_HPP
#define EFIO_REQUEST_HPP

#include "port.hpp"

#include <cstdio>
#include <cstdlib>

namespace ef::inline v1 {

class request;

namespace detail {

// A coroutine that waits for a request; may die before it.
class request_wait : public waiter {
 public:
  explicit request_wait(request &r) noexcept : request_(r) {}
  ~request_wait();
  bool await_ready() const noexcept;
  void await_suspend(std::coroutine_handle<> w) noexcept;
  result<std::size_t> await_resume() const noexcept;

 private:
  request &request_;
};

} // namespace detail

// Given to file::pread and file::pwrite; may be used again when it is over. While it is under way the buffers belong to
// the library. It is over when the port's events have been taken: by port::dispatch, or by the adapter whose port it
// is.
//
// co_await r answers outcome() when it is over; one coroutine at a time, a second one is answered EINPROGRESS at once.
//
// Destroyed while it is under way it asks for its end and waits for that, on the thread of the port; it blocks for as
// long as the kernel has the buffers. Others whose events come meanwhile are resumed by the next dispatch() or
// submit(). Where there is no ef::port, as on that of an adapter, it cannot wait, since the loop takes the events: it
// says so on standard error and aborts. There, cancel() and see it over before.
class request {
 public:
  request() noexcept {
    q_.data = this;
    q_.done = detail::request_over;
  }
  request(const request &) = delete;
  request &operator=(const request &) = delete;
  ~request() {
    if (!under_way_) return;
    if (waits_) waits_->leave();
    waits_ = nullptr;
    ef_cancel(&q_);
    while (home_ && under_way_ && home_->wait_and_take()) {}
    if (!under_way_) return;
    if (!home_ || !home_->inherited()) { // in a fork child nobody uses our memory
      std::fputs("efio: an ef::request was destroyed while it was under way\n", stderr);
      std::abort();
    }
    --home_->requests_;
  }

  bool in_progress() const noexcept { return under_way_; }
  // ef_cancel: it ends all the same, with ECANCELED or with what became of it. ENOENT it is not under way.
  result<void> cancel() noexcept {
    if (!under_way_) return failure{ENOENT};
    return detail::done(ef_cancel(&q_));
  }
  // What became of it: the count, or the error; EINPROGRESS while it is under way.
  result<std::size_t> outcome() const noexcept {
    if (under_way_) return failure{EINPROGRESS};
    if (q_.error) return failure{q_.error};
    return static_cast<std::size_t>(q_.result);
  }
  detail::request_wait operator co_await() noexcept { return detail::request_wait(*this); }

 private:
  friend class file;
  friend class detail::request_wait;
  friend void detail::request_over(ef_request *q) noexcept;
  friend bool detail::resumed_later(const ef_request *q) noexcept;

  // The answer of the C call that was given q_.
  result<std::size_t> begun(ssize_t n, port *home) noexcept {
    q_.result = n;
    q_.error = n < 0 ? errno : 0;
    if (q_.error != EINPROGRESS) return outcome();
    under_way_ = true;
    home_ = home;
    if (home) ++home->requests_;
    return failure{EINPROGRESS};
  }

  ef_request q_{};
  detail::waiter *waits_ = nullptr;
  port *home_ = nullptr;
  bool under_way_ = false;
};

namespace detail {

inline request_wait::~request_wait() {
  if (request_.waits_ == this) request_.waits_ = nullptr;
}
inline bool request_wait::await_ready() const noexcept { return !request_.under_way_ || request_.waits_; }
inline void request_wait::await_suspend(std::coroutine_handle<> w) noexcept {
  who = w;
  request_.waits_ = this;
}
inline result<std::size_t> request_wait::await_resume() const noexcept { return request_.outcome(); }

inline bool resumed_later(const ef_request *q) noexcept {
  return q->done == request_over && static_cast<const request *>(q->data)->home_;
}

inline void request_over(ef_request *q) noexcept {
  auto &r = *static_cast<request *>(q->data);
  r.under_way_ = false;
  if (r.home_) --r.home_->requests_;
  waiter *w = std::exchange(r.waits_, nullptr);
  if (!w) return;
  if (r.home_) return r.home_->ready(*w, 0);
  w->who.resume(); // the loop called us
}

} // namespace detail
} // namespace ef::inline v1
#endif
