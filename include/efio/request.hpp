// SPDX-License-Identifier: BSD-2-Clause
// ef::request: a read or write at an offset that does not die while it is under way.
#ifndef EFIO_REQUEST_HPP
#define EFIO_REQUEST_HPP

#include "port.hpp"

#include <new>

namespace ef::inline v1 {

class request;

namespace detail {

// What the library writes into. It stays when its request has gone: the loop may have taken the event together with
// others, one of which is what destroyed the request, and calls `done` of it when their turn is over.
struct flight {
  explicit flight(request &r) noexcept : owner(&r) {
    q.data = this;
    q.done = request_over;
  }
  ef_request q{};
  request *owner;
};

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
// Destroyed while it is under way, on whatever port, it is taken back by ef_cancel_wait: it asks for its end and blocks
// for as long as the kernel has the buffers. Only on the thread of the port.
class request {
 public:
  request() noexcept = default;
  request(const request &) = delete;
  request &operator=(const request &) = delete;
  ~request() {
    if (waits_) waits_->leave();
    if (under_way_ && home_) home_->under_way(false);
    if (under_way_ && !taken_back())
      flight_->owner = nullptr; // the loop has its event in hand, and tells us next
    else
      delete flight_;
  }

  bool in_progress() const noexcept { return under_way_; }
  // ef_cancel: it ends all the same, with ECANCELED or with what became of it. ENOENT it is not under way.
  result<void> cancel() noexcept {
    if (!under_way_) return failure{ENOENT};
    return detail::done(ef_cancel(&flight_->q));
  }
  // What became of it: the count, or the error; EINPROGRESS while it is under way.
  result<std::size_t> outcome() const noexcept {
    if (under_way_) return failure{EINPROGRESS};
    if (!flight_) return std::size_t{0};
    if (flight_->q.error) return failure{flight_->q.error};
    return static_cast<std::size_t>(flight_->q.result);
  }
  detail::request_wait operator co_await() noexcept { return detail::request_wait(*this); }

 private:
  friend class file;
  friend class detail::request_wait;
  friend void detail::request_over(ef_request *q) noexcept;
  friend bool detail::resumed_later(const ef_request *q) noexcept;

  // For a C call. Null: errno.
  ef_request *idle() noexcept {
    errno = under_way_ ? EBUSY : ENOMEM;
    if (under_way_) return nullptr;
    if (!flight_) flight_ = new (std::nothrow) detail::flight(*this);
    return flight_ ? &flight_->q : nullptr;
  }
  // The answer of the C call.
  result<std::size_t> begun(ssize_t n, port *home) noexcept {
    flight_->q.result = n;
    flight_->q.error = n < 0 ? errno : 0;
    if (flight_->q.error != EINPROGRESS) return outcome();
    under_way_ = true;
    home_ = home;
    if (home) home->under_way(true);
    return failure{EINPROGRESS};
  }
  // Nobody uses its memory any more; in a fork child nobody did.
  bool taken_back() noexcept { return ef_cancel_wait(&flight_->q) == 0 || errno == ECHILD; }

  detail::flight *flight_ = nullptr; // made when it is first begun
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
  if (request_.home_) hold(*request_.home_);
}
inline result<std::size_t> request_wait::await_resume() const noexcept { return request_.outcome(); }

inline bool resumed_later(const ef_request *q) noexcept {
  if (q->done != request_over) return false;
  const request *r = static_cast<const flight *>(q->data)->owner;
  return r && r->home_;
}

inline void request_over(ef_request *q) noexcept {
  auto *f = static_cast<flight *>(q->data);
  if (!f->owner) return delete f;
  request &r = *f->owner;
  r.under_way_ = false;
  waiter *w = std::exchange(r.waits_, nullptr);
  if (r.home_) r.home_->under_way(false);
  if (!w) return;
  if (r.home_) return r.home_->ready(*w, 0);
  w->who.resume(); // the loop called us
}

} // namespace detail
} // namespace ef::inline v1
#endif
