// SPDX-License-Identifier: BSD-2-Clause
// Workers that sleep on an event count while many producers hand them work, all losing the processor on the way: every
// piece is done in time, so no wake-up was lost.
#include "event_count.hh"
#include "mpmc_queue.hh"
#include "stress.hh"

namespace {

using namespace stress;

// Losing the processor between the look at the epoch and the sleep is what this is about.
struct shaken_park {
  static std::int64_t now_ns() noexcept { return ef::futex_park::now_ns(); }
  static bool wait(const shaken<std::uint64_t> &word, std::uint32_t epoch, std::int64_t deadline_ns) noexcept {
    shake();
    return ef::futex_park::wait(word.plain(), epoch, deadline_ns);
  }
  static void wake(const shaken<std::uint64_t> &word, int count) noexcept {
    shake();
    ef::futex_park::wake(word.plain(), count);
  }
};

constexpr std::uint64_t no_more = ~std::uint64_t{0};

template<template<class> class Atom, class Park>
void run(const char *name, int producers, int workers, bool timed, int ms) {
  ef::mpmc_queue<Atom> queue;
  ef::event_count<Atom, Park> idle;
  require(queue.init(8), "no memory");
  std::vector<std::atomic<std::uint64_t>> done(producers);
  std::atomic<int> busy{producers};
  std::atomic<std::uint64_t> sleeps{0};
  period time(ms);

  auto give = [&](std::uint64_t v) {
    while (!queue.push(v)) sched_yield();
    idle.notify_one();
  };
  together(producers + workers, [&](int me, stress::random &dice) {
    if (me < producers) {
      std::uint64_t given = 0;
      while (time()) {
        for (std::uint64_t burst = dice.below(4) + 1; burst > 0; --burst, ++given) give(me);
        await([&] { return done[me].load(std::memory_order_acquire) == given; }, "a wake-up was lost");
      }
      if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) // the last one sends everybody home
        for (int w = 0; w < workers; ++w) give(no_more);
      return;
    }
    for (std::uint64_t v;;) {
      while (!queue.pop(&v)) {
        std::uint32_t key = idle.prepare_wait();
        if (queue.pop(&v)) {
          idle.cancel_wait();
          break;
        }
        idle.wait(key, timed && dice.below(4) == 0 ? 20'000 : -1);
        sleeps.fetch_add(1, std::memory_order_relaxed);
      }
      if (v == no_more) return;
      done[v].fetch_add(1, std::memory_order_release);
    }
  });

  std::uint64_t all = 0;
  for (auto &d : done) all += d.load();
  require(!idle.has_waiters(), "somebody is still registered");
  std::printf("%s, %d producers, %d workers%s: %llu pieces, %llu sleeps\n", name, producers, workers,
              timed ? ", some with deadlines" : "", static_cast<unsigned long long>(all),
              static_cast<unsigned long long>(sleeps.load()));
}

} // namespace

int main() {
  if (cores() == 1) {
    std::printf("on one core a waker hardly ever meets a sleeper on its way: no test of wake-ups\n");
    return 77;
  }
  int n = threads();
  run<shaken, shaken_park>("shaken", n / 2, n - n / 2, false, 400);
  run<shaken, shaken_park>("shaken", 1, 1, false, 300);
  run<shaken, shaken_park>("shaken", n / 2, n - n / 2, true, 300);
  run<std::atomic, ef::futex_park>("plain", n / 2, n - n / 2, false, 300);
  run<std::atomic, ef::futex_park>("plain", 1, n - 1, true, 300);
  return 0;
}
