// SPDX-License-Identifier: BSD-2-Clause
// A timing wheel with one thread: adding is a push, the earliest deadline decides how long it sleeps.
#include "timekeeper.hh"

#include "clock.hh"
#include "limits.hh"
#include "thread.hh"

#include <cstddef>

namespace ef {

void timekeeper::init(worker_pool *first, worker_pool *second, std::int64_t (*look)(void *, std::int64_t),
                      void *arg) noexcept {
  pools_[0] = first;
  pools_[1] = second;
  look_ = look;
  look_arg_ = arg;
}

int timekeeper::start() noexcept { return start_thread("efio-time", enter, this); }

void timekeeper::add(timer *t) noexcept {
  if (ef_list_push(&incoming_, &t->node)) wakeup_.notify_one();
}

void timekeeper::hurry(timer *t) noexcept {
  if (ef_list_push(&hurried_, &t->hurry_node)) wakeup_.notify_one();
}

void timekeeper::poke() noexcept {
  poked_.store(true, std::memory_order_release); // pairs with the exchange in run()
  wakeup_.notify_one();
}

void timekeeper::enter(void *self) { static_cast<timekeeper *>(self)->run(); }

void timekeeper::run() noexcept {
  for (;;) {
    accept_hurried();
    poked_.exchange(false, std::memory_order_acquire); // pairs with poke()
    std::int64_t now = now_ns();
    fire_due(now);
    std::int64_t wait_for = next_deadline();
    for (worker_pool *p : pools_) {
      std::int64_t look = p->relieve(now);
      if (look >= 0 && (wait_for < 0 || look < wait_for)) wait_for = look;
    }
    std::int64_t look = look_(look_arg_, now);
    if (look >= 0 && (wait_for < 0 || look < wait_for)) wait_for = look;
    sleep_until(wait_for);
  }
}

void timekeeper::accept_new() noexcept {
  static_assert(offsetof(timer, node) == 0);
  ef_list_node *n = ef_list_take_all(&incoming_);
  while (n) {
    ef_list_node *next = n->next;
    put(reinterpret_cast<timer *>(n));
    n = next;
  }
}

// A timer that was added before it was hurried is in one of the two lists taken here, or in the wheel.
void timekeeper::accept_hurried() noexcept {
  ef_list_node *n = ef_list_take_all(&hurried_);
  accept_new();
  while (n) {
    ef_list_node *next = n->next;
    auto *t = reinterpret_cast<timer *>(reinterpret_cast<char *>(n) - offsetof(timer, hurry_node));
    if (t->link) {
      take_out(t);
      t->fire(t);
    }
    t->hurried(t);
    n = next;
  }
}

void timekeeper::put(timer *t) noexcept {
  unsigned b = static_cast<std::uint64_t>(t->deadline) / limits::tick_ns % buckets;
  if (!bucket_[b] || t->deadline < earliest_[b]) earliest_[b] = t->deadline;
  t->next = bucket_[b];
  t->link = &bucket_[b];
  if (t->next) t->next->link = &t->next;
  bucket_[b] = t;
  ++timers_;
}

void timekeeper::take_out(timer *t) noexcept {
  *t->link = t->next;
  if (t->next) t->next->link = t->link;
  t->link = nullptr;
  --timers_;
}

void timekeeper::fire_due(std::int64_t now) noexcept {
  if (timers_ == 0) return;
  for (unsigned b = 0; b < buckets; ++b)
    if (bucket_[b] && earliest_[b] <= now) fire_bucket(b, now);
}

void timekeeper::fire_bucket(unsigned b, std::int64_t now) noexcept {
  std::int64_t earliest = INT64_MAX;
  for (timer *t = bucket_[b], *next; t; t = next) {
    next = t->next;
    if (t->deadline <= now) {
      take_out(t);
      t->fire(t);
    } else if (t->deadline < earliest) {
      earliest = t->deadline;
    }
  }
  earliest_[b] = earliest;
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
  if (!ef_list_empty(&incoming_) || !ef_list_empty(&hurried_) ||
      poked_.load(std::memory_order_acquire)) { // pairs with poke(), add(), hurry()
    wakeup_.cancel_wait();
    return;
  }
  // Late by up to a tick, so that neighbours fire together; never early.
  wakeup_.wait(key, deadline < 0 ? -1 : left_ns(deadline + limits::tick_ns / 2));
}

} // namespace ef
