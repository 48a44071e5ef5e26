// SPDX-License-Identifier: BSD-2-Clause
// An event count: threads sleep until somebody tells that their condition may hold, and telling nobody costs no system
// call.
#ifndef EF_LOCKFREE_EVENT_COUNT_HH
#define EF_LOCKFREE_EVENT_COUNT_HH

#include <atomic>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ef {

// How to sleep on the epoch half of the word (its upper 32 bits): the kernel's way.
struct futex_park {
  static std::int64_t now_ns() noexcept {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
  }
  // Sleeps while the epoch is the given one; -1: without a deadline. False: the deadline has passed. May return early.
  static bool wait(const std::atomic<std::uint64_t> &word, std::uint32_t epoch, std::int64_t deadline_ns) noexcept {
    timespec t{static_cast<time_t>(deadline_ns / 1'000'000'000), static_cast<long>(deadline_ns % 1'000'000'000)};
    long r = syscall(SYS_futex, epoch_of(word), FUTEX_WAIT_BITSET_PRIVATE, epoch, deadline_ns < 0 ? nullptr : &t,
                     nullptr, FUTEX_BITSET_MATCH_ANY);
    return r == 0 || errno != ETIMEDOUT; // EAGAIN, EINTR: the caller looks at the epoch again
  }
  static void wake(const std::atomic<std::uint64_t> &word, int count) noexcept {
    syscall(SYS_futex, epoch_of(word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
  }

 private:
  static const char *epoch_of(const std::atomic<std::uint64_t> &word) noexcept {
    return reinterpret_cast<const char *>(&word) + (std::endian::native == std::endian::little ? 4 : 0);
  }
};

// Contract.
//   The sleeper: key = prepare_wait(); look at the condition again; true: cancel_wait(), false: wait(key). The other
//   side: make the condition true, then notify. Then no wake-up is lost: either the second look sees the condition, or
//   wait() returns. What was done before a notify is visible to a sleeper it woke. A woken sleeper may find that
//   another thread was faster, so it looks again. Any thread; notify_one(), notify_all() and cancel_wait() are
//   lock-free, wait() blocks, by nature. A notify makes a system call only if somebody is registered whom no earlier
//   notify has signalled: without that count every notify would wake again until the sleeper has run.
//   At most 65535 threads registered at a time. The epoch wraps after 2^32 effective notifies, all of which would have
//   to fall between one thread's prepare_wait() and wait() to do harm.
//   All-zero memory is a valid event count.
// Idea: eventcounts (D. Reed, R. Kanodia 1979); the word {epoch, signals, waiters} and its rules are our own.
template<template<class> class Atom = std::atomic, class Park = futex_park> class event_count {
 public:
  // Registers the calling thread. Follow it by a look at the condition, then by wait() or cancel_wait().
  // seq_cst: its acquire half pairs with the release in notify (who comes second sees the first); the total order
  // is for those who ask has_waiters() instead.
  [[nodiscard]] std::uint32_t prepare_wait() noexcept {
    return epoch_of(word_.fetch_add(waiter, std::memory_order_seq_cst));
  }

  // The condition was true after all.
  void cancel_wait() noexcept { leave(); }

  // Sleeps until a notify that came after the prepare_wait() which gave this key. timeout_ns -1: for ever. False: timed
  // out. Registered no more either way.
  bool wait(std::uint32_t key, std::int64_t timeout_ns) noexcept {
    std::int64_t deadline = timeout_ns < 0 ? -1 : Park::now_ns() + timeout_ns;
    // relaxed: leave() is what acquires.
    while (epoch_of(word_.load(std::memory_order_relaxed)) == key)
      if (!Park::wait(word_, key, deadline)) break;
    return leave() != key;
  }

  // Wakes one registered thread that was not signalled yet, if there is one; or all of them.
  void notify_one() noexcept { notify(false); }
  void notify_all() noexcept { notify(true); }

  // A notify now would have somebody to signal. To be asked in place of a notify after a seq_cst read-modify-write that
  // makes the condition true, when the sleeper's second look is a seq_cst load of the same object.
  // seq_cst: pairs with prepare_wait().
  bool has_waiters() const noexcept { return is_unsignalled(word_.load(std::memory_order_seq_cst)); }

  // A hint: how many are registered.
  std::uint64_t waiters() const noexcept { return waiters_of(word_.load(std::memory_order_relaxed)); }

 private:
  static constexpr std::uint64_t waiter = 1, signal = 1u << 16, epoch = std::uint64_t{1} << 32;

  static std::uint32_t epoch_of(std::uint64_t w) noexcept { return static_cast<std::uint32_t>(w >> 32); }
  static std::uint64_t waiters_of(std::uint64_t w) noexcept { return w & 0xffff; }
  static std::uint64_t signals_of(std::uint64_t w) noexcept { return w >> 16 & 0xffff; }
  static bool is_unsignalled(std::uint64_t w) noexcept { return waiters_of(w) > signals_of(w); }

  // There are never more signals than registered threads of an older epoch: each such thread takes one along. One of
  // the present epoch may take one that was not meant for it: a wake too many later, never one too few.
  std::uint32_t leave() noexcept {
    std::uint64_t w = word_.load(std::memory_order_relaxed);
    // acquire: pairs with the release in notify.
    while (!word_.compare_exchange_weak(w, w - waiter - (signals_of(w) ? signal : 0), std::memory_order_acquire,
                                        std::memory_order_relaxed)) {}
    return epoch_of(w);
  }

  void notify(bool all) noexcept {
    // A read-modify-write, though it changes nothing: it and the one in prepare_wait() are in one order whatever the
    // processor does with loads. release: pairs with the acquire there and in leave().
    std::uint64_t w = word_.fetch_add(0, std::memory_order_release);
    while (is_unsignalled(w)) {
      std::uint64_t signals = all ? (waiters_of(w) - signals_of(w)) * signal : signal;
      // relaxed: continues the release sequence that the fetch_add began.
      if (!word_.compare_exchange_weak(w, w + epoch + signals, std::memory_order_relaxed, std::memory_order_relaxed))
        continue;
      Park::wake(word_, all ? INT_MAX : 1);
      return;
    }
  }

  Atom<std::uint64_t> word_{0};
};

} // namespace ef
#endif
