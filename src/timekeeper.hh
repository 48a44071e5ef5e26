// SPDX-License-Identifier: BSD-2-Clause
// The one thread that knows what time it is: fires timers, relieves stuck pools, never touches a file itself.
#ifndef EF_TIMEKEEPER_HH
#define EF_TIMEKEEPER_HH

#include "event_count.hh"
#include "take_all_list.h"
#include "worker_pool.hh"

#include <cstdint>

namespace ef {

// Embedded. Its owner adds it only when it is not in, sets deadline and fire before, and knows from fire() that it is
// out again.
struct timer {
  ef_list_node node;
  ef_list_node hurry_node;
  timer *next, **link;      // the timekeeper's: neighbours in the bucket; link null = not in
  std::int64_t deadline;    // ns of now_ns()
  void (*fire)(timer *);    // on the timekeeper's thread: short, no I/O
  void (*hurried)(timer *); // there, too: a hurry() was dealt with
  void *owner;
};

class timekeeper {
 public:
  // look(arg, now): called at each waking; answers when to call it again at the latest, or -1.
  void init(worker_pool *first, worker_pool *second, std::int64_t (*look)(void *, std::int64_t), void *arg) noexcept;
  [[nodiscard]] int start() noexcept; // once; 0 or a negated errno

  void add(timer *t) noexcept; // any thread, lock-free
  // Fires the timer soon if it is in, whatever its deadline. Then, in any case, hurried(t). Once at a time for a timer.
  void hurry(timer *t) noexcept; // any thread, lock-free
  void poke() noexcept;          // any thread: look at the pools and the rest now

 private:
  static constexpr unsigned buckets = 512; // ticks of a turn: about 2 s; later deadlines stay for more turns
  static void enter(void *self);
  void run() noexcept;
  void accept_new() noexcept;
  void accept_hurried() noexcept;
  void take_out(timer *t) noexcept;
  void put(timer *t) noexcept;
  void fire_due(std::int64_t now) noexcept;
  void fire_bucket(unsigned b, std::int64_t now) noexcept;
  std::int64_t next_deadline() const noexcept;
  void sleep_until(std::int64_t deadline) noexcept;

  ef_list incoming_{}, hurried_{};
  event_count<> wakeup_;
  std::atomic<bool> poked_{false};
  worker_pool *pools_[2] = {};
  std::int64_t (*look_)(void *, std::int64_t) = nullptr;
  void *look_arg_ = nullptr;
  timer *bucket_[buckets] = {};         // the thread's own, as below
  std::int64_t earliest_[buckets] = {}; // of each bucket; meaningless when it is empty
  unsigned timers_ = 0;
};

} // namespace ef
#endif
