// SPDX-License-Identifier: BSD-2-Clause
// Threads that run jobs from a lock-free queue: started when there is work, more of them when one is stuck, gone when
// idle.
#ifndef EF_WORKER_POOL_HH
#define EF_WORKER_POOL_HH

#include "event_count.hh"
#include "mpmc_queue.hh"
#include "take_all_list.h"

#include <atomic>
#include <cstdint>

namespace ef {

// Embedded in whatever the work is about; at most once in a queue at a time, which its owner sees to. Not touched after
// run().
struct job {
  ef_list_node node;
  void (*run)(job *);
  void *owner;
  bool lively = false; // its owner's, before submit(): more of it may come soon, so its thread naps before it sleeps
};

class worker_pool {
 public:
  // name: at most 15 bytes, static. base: threads started on demand at once; most: with those that replace stuck ones.
  // pressed(arg): called from submit() when more jobs wait than threads; it should see to it that relieve() is called
  // soon. Threads are started there and in ensure_started(): it may take the caller of submit() too long.
  // naps: how often a thread that ran out of work after a lively job looks again by itself before it sleeps in earnest.
  [[nodiscard]] int init(const char *name, int base, int most, int naps, void (*pressed)(void *), void *arg) noexcept;

  // Makes sure that a first thread runs: 0 or a negated errno. Any thread.
  [[nodiscard]] int ensure_started() noexcept;

  // Any thread; never refuses: jobs are embedded in files, so their number is bounded. Lock-free. at_leisure: a thread
  // that naps may take it when it wakes by itself; the caller saves the system call that wakes it.
  void submit(job *j, bool at_leisure = false) noexcept;
  // A job submitted at leisure is wanted now.
  void hasten() noexcept;

  // Timekeeper only: while more jobs wait than threads, threads up to `base` at once, one more up to `most` each time
  // that no job was begun since the last look. Next look, or -1.
  std::int64_t relieve(std::int64_t now) noexcept;

  // Hints: a job submitted now has its thread; there are jobs nobody has taken yet.
  bool has_idle() const noexcept {
    return idle_.load(std::memory_order_relaxed) > waiting_.load(std::memory_order_relaxed);
  }
  bool jobs_wait() const noexcept { return waiting_.load(std::memory_order_relaxed) > 0; }

  int threads() const noexcept { return threads_.load(std::memory_order_relaxed); }

 private:
  static void enter(void *self);
  void work() noexcept;
  job *take() noexcept;
  job *sleep(int *naps, bool *woken) noexcept;
  int start_one(int limit) noexcept;
  bool leave() noexcept;
  bool short_of_threads() const noexcept;
  void press_if_short() noexcept;

  mpmc_queue<> queue_;
  ef_list overflow_{}; // when the queue is full; order between the two is not kept
  event_count<> wakeup_;
  std::atomic<int> threads_{0};
  // Jobs submitted and not yet taken; threads that sleep or are about to. A job must not wait for a thread that has
  // been woken for another one, so one is compared with the other.
  std::atomic<int> waiting_{0}, idle_{0};
  std::atomic<int> napping_{0}; // threads of idle_ that will look by themselves soon
  std::atomic<std::uint64_t> begun_{0};
  std::atomic<bool> pressed_{false};
  std::uint64_t begun_seen_ = 0; // timekeeper's, as below
  std::int64_t look_at_ = -1;
  const char *name_ = nullptr;
  int base_ = 0, most_ = 0, naps_ = 0;
  void (*on_pressed_)(void *) = nullptr;
  void *on_pressed_arg_ = nullptr;
};

} // namespace ef
#endif
