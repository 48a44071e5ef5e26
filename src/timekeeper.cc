// SPDX-License-Identifier: BSD-2-Clause
// A timing wheel with one thread: adding is a push, the earliest deadline decides how long it sleeps.
#include "timekeeper.hh"

#include "clock.hh"
#include "limits.hh"
#include "thread.hh"

#include <cstddef>

namespace ef {

void timekeeper::init(worker_pool *first, worker_pool *second, void (*idle)(void *), void *arg) noexcept {
  pools_[0] = first;
  pools_[1] = second;
  idle_ = idle;
  idle_arg_ = arg;
}

int timekeeper::start() noexcept { return start_thread("efio-time", enter, this); }

void timekeeper::add(timer *t) noexcept {
  if (ef_list_push(&incoming_, &t->node)) wakeup_.notify_one();
}

void timekeeper::poke() noexcept {
  poked_.store(true, std::memory_order_release); // pairs with the exchange in run()
  wakeup_.notify_one();
}

void timekeeper::enter(void *self) { static_cast<timekeeper *>(self)->run(); }

void timekeeper::run() noexcept {
  for (;;) {
    accept_new();
    poked_.exchange(false, std::memory_order_acquire); // pairs with poke()
    std::int64_t now = now_ns();
    fire_due(now);
    std::int64_t wait_for = next_deadline();
    for (worker_pool *p : pools_) {
      std::int64_t look = p->relieve(now);
      if (look >= 0 && (wait_for < 0 || look < wait_for)) wait_for = look;
    }
    if (timers_ == 0) idle_(idle_arg_);
    sleep_until(wait_for);
  }
}

bool timekeeper::accept_new() noexcept {
  static_assert(offsetof(timer, node) == 0);
  ef_list_node *n = ef_list_take_all(&incoming_);
  bool any = n;
  while (n) {
    ef_list_node *next = n->next;
    put(reinterpret_cast<timer *>(n));
    n = next;
  }
  return any;
}

void timekeeper::put(timer *t) noexcept {
  unsigned b = static_cast<std::uint64_t>(t->deadline) / limits::tick_ns % buckets;
  if (!bucket_[b] || t->deadline < earliest_[b]) earliest_[b] = t->deadline;
  t->next_in_bucket = bucket_[b];
  bucket_[b] = t;
  ++timers_;
}

void timekeeper::fire_due(std::int64_t now) noexcept {
  if (timers_ == 0) return;
  for (unsigned b = 0; b < buckets; ++b)
    if (bucket_[b] && earliest_[b] <= now) fire_bucket(b, now);
}

void timekeeper::fire_bucket(unsigned b, std::int64_t now) noexcept {
  timer *t = bucket_[b];
  bucket_[b] = nullptr;
  while (t) {
    timer *next = t->next_in_bucket;
    --timers_;
    if (t->deadline <= now)
      t->fire(t);
    else
      put(t);
    t = next;
  }
}

std::int64_t timekeeper::next_deadline() const noexcept {
  if (timers_ == 0) return -1;
  std::int64_t least = INT64_MAX;
  for (unsigned b = 0; b < buckets; ++b)
    if (bucket_[b] && earliest_[b] < least) least = earliest_[b];
  return least;
}

void timekeeper::sleep_until(std::int64_t deadline) noexcept {
  std::uint32_t key = wakeup_.prepare_wait();
  if (!ef_list_empty(&incoming_) || poked_.load(std::memory_order_acquire)) { // pairs with poke(), add()
    wakeup_.cancel_wait();
    return;
  }
  // Late by up to a tick, so that neighbours fire together; never early.
  wakeup_.wait(key, deadline < 0 ? -1 : left_ns(deadline + limits::tick_ns / 2));
}

} // namespace ef
