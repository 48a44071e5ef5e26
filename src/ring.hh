// SPDX-License-Identifier: BSD-2-Clause
// One io_uring and what is in it: requests that wait to be handed over, requests that the kernel has, and those that
// are over. One thread at a time; all but the setting up and the taking down is for the thread that made it.
#ifndef EF_RING_HH
#define EF_RING_HH

#include "engine.hh"

#if EF_HAVE_URING
#include <liburing.h>
#endif

namespace ef {

// First in, first out, linked by io_request.next.
class request_list {
 public:
  bool empty() const noexcept { return !first_; }
  io_request *first() const noexcept { return first_; }
  void append(io_request *r) noexcept {
    r->next = nullptr;
    *(first_ ? &last_->next : &first_) = r;
    last_ = r;
  }
  io_request *take() noexcept {
    io_request *r = first_;
    if (r) first_ = r->next;
    return r;
  }
  bool remove(io_request *r) noexcept; // false: not in here

 private:
  io_request *first_ = nullptr, *last_ = nullptr;
};

#if EF_HAVE_URING

struct ring {
  io_uring kernel;
  ring *next; // of all
  engine_port *home;
  engine_context *context;
  std::uint64_t thread; // whose it is
  bool registered;      // with that thread, as the kernel knows it: deleted by that one
  request_list waiting; // not in the submission queue yet
  int waiting_count;
  int in_flight;                             // completions that are due
  int unsubmitted;                           // entries of the submission queue that the kernel has not taken
  bool broken;                               // the kernel refuses to be entered: no new requests
  io_request *entries[limits::ring_entries]; // of the unsubmitted entries, by their place in the queue; null: a cancel
  unsigned entries_first;
  iovec spans[limits::ring_spans]; // of entries with several buffers, until they are submitted
  int spans_used;
};

// A ring that works here, with its completions told to event_fd, or null and *error (negated errno), *reason (static).
ring *ring_make(int event_fd, int *error, const char **reason) noexcept;
void ring_delete(ring *r) noexcept; // nothing in flight. Any thread, but see ring::registered

// Is there something that only an enter brings on?
bool ring_needs_enter(const ring &r) noexcept;
// Hands over what waits, as far as it fits, runs what the kernel deferred, and moves what is over to `done`. Requests
// that the kernel does not take go to `declined`.
void ring_enter(ring &r, request_list &done, request_list &declined) noexcept;
// The same without a signal of the event_fd for what ends meanwhile; wait_ns > 0: waits so long for the first one. The
// answer: is there more to end at once? Nobody will say so again.
[[nodiscard]] bool ring_turn(ring &r, std::int64_t wait_ns, request_list &done, request_list &declined) noexcept;
// Nothing is with the kernel that could signal the event_fd, and yet something waits to be handed over: all ended at
// once, or the kernel took nothing for the moment.
bool ring_stands_still(const ring &r) noexcept;
// Asks the kernel to end a request that it has.
void ring_cancel(ring &r, io_request *which) noexcept;
bool ring_has_ended(const ring &r) noexcept; // completions lie there, or the kernel has some to make

#endif

} // namespace ef
#endif
