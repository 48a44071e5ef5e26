// SPDX-License-Identifier: BSD-2-Clause
// The life of a worker: take, run, sleep, leave.
#include "worker_pool.hh"

#include "clock.hh"
#include "limits.hh"
#include "thread.hh"

#include <cerrno>
#include <cstddef>

namespace ef {
namespace {

job *job_of(ef_list_node *n) noexcept {
  static_assert(offsetof(job, node) == 0);
  return reinterpret_cast<job *>(n);
}

} // namespace

int worker_pool::init(const char *name, int base, int most, void (*pressed)(void *), void *arg) noexcept {
  name_ = name;
  base_ = base;
  most_ = most;
  on_pressed_ = pressed;
  on_pressed_arg_ = arg;
  return queue_.init(limits::queue_order) ? 0 : -ENOMEM;
}

int worker_pool::ensure_started() noexcept {
  if (threads_.load(std::memory_order_relaxed) > 0) return 0;
  return start_one(1);
}

int worker_pool::start_one(int limit) noexcept {
  int n = threads_.load(std::memory_order_relaxed);
  do {
    if (n >= limit) return 0;
  } while (!threads_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed)); // a count; the queue orders the work
  int error = start_thread(name_, enter, this);
  if (error) threads_.fetch_sub(1, std::memory_order_relaxed);
  return error;
}

void worker_pool::submit(job *j) noexcept {
  if (!queue_.push(reinterpret_cast<std::uintptr_t>(j))) ef_list_push(&overflow_, &j->node);
  wakeup_.notify_one();
  if (idle_.load(std::memory_order_relaxed) > 0) return; // a hint: a wrong one is mended by relieve()
  if (threads_.load(std::memory_order_relaxed) < base_ && start_one(base_) == 0) return;
  if (!pressed_.load(std::memory_order_relaxed) && !pressed_.exchange(true, std::memory_order_relaxed))
    on_pressed_(on_pressed_arg_);
}

std::int64_t worker_pool::relieve(std::int64_t now) noexcept {
  if (look_at_ < 0) {
    if (!pressed_.load(std::memory_order_relaxed)) return -1;
    begun_seen_ = begun_.load(std::memory_order_relaxed);
    return look_at_ = now + limits::stuck_after_ns;
  }
  if (now < look_at_) return look_at_;
  look_at_ = -1;
  pressed_.store(false, std::memory_order_relaxed); // the next submit that finds all busy sets it again
  if (idle_.load(std::memory_order_relaxed) > 0) return -1;
  if (begun_.load(std::memory_order_relaxed) != begun_seen_) return -1;
  // Nothing begun in all that time: the threads are stuck in the kernel. Failing to start one leaves things as they
  // are.
  if (start_one(most_) != 0) return -1;
  pressed_.store(true, std::memory_order_relaxed); // one may not be enough
  begun_seen_ = begun_.load(std::memory_order_relaxed);
  return look_at_ = now + limits::stuck_after_ns;
}

job *worker_pool::take() noexcept {
  std::uint64_t v;
  if (queue_.pop(&v)) return reinterpret_cast<job *>(static_cast<std::uintptr_t>(v));
  if (ef_list_empty(&overflow_)) return nullptr;
  ef_list_node *all = ef_list_take_all(&overflow_);
  if (!all) return nullptr;
  job *first = job_of(all);
  for (ef_list_node *n = all->next, *next; n; n = next) { // back where every worker can take them
    next = n->next;
    if (!queue_.push(reinterpret_cast<std::uintptr_t>(job_of(n)))) ef_list_push(&overflow_, n);
    wakeup_.notify_one();
  }
  return first;
}

void worker_pool::enter(void *self) { static_cast<worker_pool *>(self)->work(); }

void worker_pool::work() noexcept {
  for (;;) {
    job *j = take();
    if (!j) {
      idle_.fetch_add(1, std::memory_order_relaxed);
      std::uint32_t key = wakeup_.prepare_wait();
      j = take();
      bool woken = true;
      if (j)
        wakeup_.cancel_wait();
      else
        woken = wakeup_.wait(key, threads() > 1 ? limits::worker_idle_ns : -1);
      idle_.fetch_sub(1, std::memory_order_relaxed);
      if (!j && (j = take()) == nullptr) {
        if (!woken && leave()) return;
        continue;
      }
    }
    begun_.fetch_add(1, std::memory_order_relaxed);
    j->run(j);
  }
}

// The last one stays: it wakes for work alone. Nothing is lost by leaving: a job pushed after our last look was pushed
// by somebody who did not count us among the sleepers.
bool worker_pool::leave() noexcept {
  int n = threads_.load(std::memory_order_relaxed);
  do {
    if (n <= 1) return false;
  } while (!threads_.compare_exchange_weak(n, n - 1, std::memory_order_relaxed));
  return true;
}

} // namespace ef
