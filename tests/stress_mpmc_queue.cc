// SPDX-License-Identifier: BSD-2-Clause
// The request queue under many threads that lose the processor inside its operations: nothing lost, nothing twice, each
// producer's order kept.
#include "mpmc_queue.hh"
#include "stress.hh"

namespace {

using namespace stress;

struct tally {
  std::uint64_t count = 0, sum = 0, last = 0;
};

template<template<class> class Atom> void run(const char *name, unsigned order, int producers, int consumers, int ms) {
  ef::mpmc_queue<Atom> q;
  require(q.init(order), "no memory");
  std::vector<tally> given(producers);
  std::vector<std::vector<tally>> taken(consumers, std::vector<tally>(producers));
  std::atomic<int> busy{producers};
  period time(ms);

  together(producers + consumers, [&](int me, stress::random &) {
    if (me < producers) {
      tally &mine = given[me];
      while (time()) {
        for (int i = 0; i < 100; ++i) {
          std::uint64_t n = mine.count + 1;
          while (!q.push(std::uint64_t(me) << 48 | n)) sched_yield();
          mine.count = n;
          mine.sum += n;
        }
      }
      busy.fetch_sub(1, std::memory_order_release);
      return;
    }
    std::uint64_t v;
    for (bool last = false;;) {
      if (q.pop(&v)) {
        tally &from = taken[me - producers][v >> 48];
        std::uint64_t n = v & 0xffffffffffff;
        require(n > from.last, "a producer's order is not kept");
        from = {from.count + 1, from.sum + n, n};
      } else if (last)
        return; // empty after all pushes were over: a promise
      else if (busy.load(std::memory_order_acquire) == 0)
        last = true;
      else
        sched_yield();
    }
  });

  std::uint64_t all = 0;
  for (int p = 0; p < producers; ++p) {
    tally sum;
    for (auto &row : taken) sum = {sum.count + row[p].count, sum.sum + row[p].sum, 0};
    require(sum.count == given[p].count && sum.sum == given[p].sum, "lost or doubled");
    all += sum.count;
  }
  std::printf("%s, 2^%u cells, %d producers, %d consumers: %llu values\n", name, order, producers, consumers,
              static_cast<unsigned long long>(all));
}

} // namespace

int main() {
  int n = threads();
  unsigned small = 2; // as many cells as threads: full and empty all the time
  while (1 << small < n) ++small;
  run<shaken>("shaken", small, n / 2, n - n / 2, 400);
  run<shaken>("shaken", small, 1, n - 1, 300);
  run<shaken>("shaken", small, n - 1, 1, 300);
  run<std::atomic>("plain", small, n / 2, n - n / 2, 300);
  run<std::atomic>("plain", 10, n / 2, n - n / 2, 300);
  return 0;
}
