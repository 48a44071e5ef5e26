// SPDX-License-Identifier: BSD-2-Clause
// How a request becomes its caller's again: over and told, over and unheard, cancelled, or taken back.
#include "flusher.hh"
#include "port.hh"
#include "process.hh"
#include "request_state.hh"
#include "requester.hh"

#include <sched.h>

#include <algorithm>
#include <cerrno>

namespace ef {
namespace {

// Not before it is over and off the queue: whoever begins several sees by this which of them are in progress.
void tell_caller(const request_state &s) noexcept {
  s.user->result = std::max<ssize_t>(s.io.result, -1);
  s.user->error = s.io.result < 0 ? static_cast<int>(-s.io.result) : 0;
}

// The last look at it. False: it was revoked, and whoever did that waits for this.
bool hand_back(request_state &s, progress how) noexcept {
  file &f = *s.f;
  f.untaken.fetch_sub(1, std::memory_order_relaxed);
  tell_caller(s);
  progress over = progress::over;
  if (!s.state.compare_exchange_strong(over, how, std::memory_order_acq_rel)) { // pairs with in_progress
    s.state.store(progress::unheard, std::memory_order_release);                // pairs with take_from_queue
    return false;
  }
  unpin(f);
  return true;
}

void withdraw(request_state &s) noexcept {
  file &f = *s.f;
  s.io.unwanted.store(true, std::memory_order_seq_cst); // pairs with go_round
  f.cancels.fetch_add(1, std::memory_order_seq_cst);
  tell_parked(f);
  // It may be kept there.
  if (device_gates *gates = f.gates.load(std::memory_order_relaxed)) gates->of(s.io.write).call();
  const engine &e = *f.home->engine_used;
  if (e.withdraw && e.withdraw(here()->engines, f.home->at, &s.io))
    end_request(s, s.io.write && s.did ? static_cast<ssize_t>(s.did) : -ECANCELED);
}

void await_end(request_state &s) noexcept {
  file &f = *s.f;
  for (;;) {
    const std::uint32_t key = f.changed.prepare_wait();
    if (s.state.load(std::memory_order_seq_cst) == progress::over) return f.changed.cancel_wait(); // see end_request
    if (engines_turn_own(limits::ring_wait_ns)) // of what this thread has under way nobody else hears
      f.changed.cancel_wait();
    else
      f.changed.wait(key, -1);
  }
}

// Somebody else may be at the queue, and takes it off then. It may not be there yet.
void take_from_queue(request_state &s) noexcept {
  while (s.state.load(std::memory_order_acquire) == progress::revoked) { // pairs with hand_back
    if (take_back(*s.f->home, s.news)) {
      s.f->untaken.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
    ::sched_yield();
  }
}

bool inherited(const request_state &s) noexcept {
  return s.f->home->epoch != fork_epoch.load(std::memory_order_relaxed);
}

} // namespace

void end_request(request_state &s, ssize_t result) noexcept {
  file &f = *s.f;
  port &p = *f.home;
  s.io.result = result;
  if (s.io.write) f.writing_at.fetch_sub(1, std::memory_order_seq_cst); // after written_at; pairs with change_to
  if (!s.io.write && result > 0) f.bytes_at.fetch_add(static_cast<std::uint64_t>(result), std::memory_order_relaxed);
  port_reference(p); // the request may be taken in a moment, and the file's slot be free
  pin(f);            // until then
  if (s.state.exchange(progress::over, std::memory_order_seq_cst) == progress::revoked) { // pairs with await_end
    f.changed.notify_all();
  } else {
    f.untaken.fetch_add(1, std::memory_order_relaxed);
    post_request(p, s.news);
  }
  // Only now: EF_CLOSE comes later, see take_event.
  put_reference(f);
  port_not_busy(p);
  port_release(p);
}

bool in_progress(const ef_request &q) noexcept {
  return reinterpret_cast<const request_state *>(q.reserved)->state.load(std::memory_order_acquire) >
         progress::unheard; // pairs with hand_back
}

int cancel_request(ef_request &q) noexcept {
  if (!in_progress(q)) return -ENOENT;
  request_state &s = state_in(q);
  if (inherited(s)) return -ECHILD;
  withdraw(s);
  return 0;
}

// Before its end: no event is made. After it the event is on the queue, or will be in a moment, and is taken from
// there.
int cancel_and_wait(ef_request &q) noexcept {
  request_state &s = state_in(q);
  for (;;) {
    progress now = s.state.load(std::memory_order_acquire); // pairs with hand_back
    if (now == progress::none || now == progress::revoked) return -ENOENT;
    if (now == progress::unheard) {
      s.state.store(progress::none, std::memory_order_relaxed);
      return 0;
    }
    if (inherited(s)) return -ECHILD;
    // From here on the pin of its end is ours. Pairs with end_request and hand_back.
    if (!s.state.compare_exchange_strong(now, progress::revoked, std::memory_order_seq_cst)) continue;
    if (now == progress::going) {
      withdraw(s);
      await_end(s);
    } else {
      take_from_queue(s);
    }
    file &f = *s.f;
    tell_caller(s);
    s.state.store(progress::none, std::memory_order_relaxed);
    unpin(f);
    return 0;
  }
}

bool take_request(file_node &n, ef_event *out) noexcept {
  request_state &s = state_of_news(n);
  *out = {s.f->handle, EF_REQUEST, s.io.result < 0 ? static_cast<int>(-s.io.result) : 0, s.user};
  return hand_back(s, progress::none);
}

void drop_request(file_node &n) noexcept { (void)hand_back(state_of_news(n), progress::unheard); }

} // namespace ef
