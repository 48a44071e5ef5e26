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

int worker_pool::init(const char *name, int base, int most, int naps, void (*pressed)(void *), void *arg) noexcept {
  name_ = name;
  base_ = base;
  most_ = most;
  naps_ = naps;
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

// seq_cst, as the changes of both: who submits counts its job, then looks at the threads; who stops being idle says so,
// then looks for jobs. One of them sees the other.
bool worker_pool::short_of_threads() const noexcept {
  return waiting_.load(std::memory_order_seq_cst) > idle_.load(std::memory_order_seq_cst);
}

void worker_pool::submit(job *j, bool at_leisure) noexcept {
  waiting_.fetch_add(1, std::memory_order_seq_cst); // before it can be taken; pairs with short_of_threads
  if (!queue_.push(reinterpret_cast<std::uintptr_t>(j))) ef_list_push(&overflow_, &j->node);
  // A read-modify-write: in one order with the end of a nap, after which the thread looks.
  if (!at_leisure || napping_.fetch_add(0, std::memory_order_seq_cst) == 0) wakeup_.notify_one();
  press_if_short();
}

void worker_pool::hasten() noexcept {
  if (napping_.load(std::memory_order_relaxed) > 0) wakeup_.notify_one(); // none naps: then the job has its thread
}

// By whoever adds a job, and by a thread that stops being idle: otherwise nothing has become worse.
void worker_pool::press_if_short() noexcept {
  if (short_of_threads() && !pressed_.exchange(true, std::memory_order_seq_cst)) // pairs with relieve
    on_pressed_(on_pressed_arg_);
}

std::int64_t worker_pool::relieve(std::int64_t now) noexcept {
  if (look_at_ < 0 && !pressed_.load(std::memory_order_relaxed)) return -1; // whoever sets it pokes
  if (look_at_ >= 0 && now < look_at_) return look_at_;
  const bool first = look_at_ < 0;
  look_at_ = -1;
  if (!short_of_threads() || threads() >= most_) {       // the most: they take what waits as they come free
    pressed_.exchange(false, std::memory_order_seq_cst); // before the second look; pairs with submit
    if (!short_of_threads() || threads() >= most_) return -1;
    pressed_.store(true, std::memory_order_relaxed);
  }
  std::uint64_t begun = begun_.load(std::memory_order_relaxed);
  // Nothing begun in all that time: the threads are stuck in the kernel. Failing to start one leaves things as they
  // are, to be tried again.
  if (threads() < base_)
    (void)start_one(base_);
  else if (!first && begun == begun_seen_)
    (void)start_one(most_);
  begun_seen_ = begun;
  return look_at_ = now + limits::stuck_after_ns;
}

job *worker_pool::take() noexcept {
  std::uint64_t v;
  // Now and then the overflow first: jobs that always come again must not keep the others out.
  const bool overflow_first = begun_.load(std::memory_order_relaxed) % 64 == 63 && !ef_list_empty(&overflow_);
  if (!overflow_first && queue_.pop(&v)) {
    waiting_.fetch_sub(1, std::memory_order_relaxed); // too high for a moment is as good
    return reinterpret_cast<job *>(static_cast<std::uintptr_t>(v));
  }
  if (ef_list_empty(&overflow_)) return nullptr;
  ef_list_node *all = ef_list_take_all(&overflow_);
  if (!all) return nullptr;
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  job *first = job_of(all);
  for (ef_list_node *n = all->next, *next; n; n = next) { // back where every worker can take them
    next = n->next;
    if (!queue_.push(reinterpret_cast<std::uintptr_t>(job_of(n)))) ef_list_push(&overflow_, n);
    wakeup_.notify_one();
  }
  return first;
}

void worker_pool::enter(void *self) { static_cast<worker_pool *>(self)->work(); }

// A job, or null: woken for one that another thread took, or not woken for long. Not idle any more before the look:
// see short_of_threads.
job *worker_pool::sleep(int *naps, bool *woken) noexcept {
  const bool nap = *naps > 0;
  *naps -= nap;
  idle_.fetch_add(1, std::memory_order_seq_cst);
  if (nap) napping_.fetch_add(1, std::memory_order_seq_cst);
  std::uint32_t key = wakeup_.prepare_wait();
  job *j = take();
  *woken = true;
  if (j)
    wakeup_.cancel_wait();
  else if (nap)
    wakeup_.wait(key, limits::nap_ns);
  else
    *woken = wakeup_.wait(key, threads() > 1 ? limits::worker_idle_ns : -1);
  if (nap) napping_.fetch_sub(1, std::memory_order_seq_cst); // pairs with submit: what was left to us is seen now
  idle_.fetch_sub(1, std::memory_order_seq_cst);
  if (!j) j = take();
  if (j) press_if_short();
  return j;
}

void worker_pool::work() noexcept {
  int naps = 0;
  for (;;) {
    job *j = take();
    bool woken = true;
    if (!j) j = sleep(&naps, &woken);
    if (!j && !woken && leave()) return;
    if (!j) continue;
    // One that was left to a napping thread took the place of another one that this thread was woken for.
    if (naps_ && waiting_.load(std::memory_order_relaxed) > 0) wakeup_.notify_one(); // visible with what woke us
    begun_.fetch_add(1, std::memory_order_relaxed);
    naps = j->lively ? naps_ : 0;
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
