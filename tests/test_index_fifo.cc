// SPDX-License-Identifier: BSD-2-Clause
// The queue of free indices: its order, and all interleavings of small scenarios, also on weak memory.
#include "index_fifo.hh"
#include "interleave_history.hh"

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;

template<template<class> class Atom> struct links_of {
  Atom<std::uint64_t> words[8] = {};
  Atom<std::uint64_t> &link(std::uint32_t index) { return words[index]; }
};

void indices_come_out_in_order_but_the_last(void **) {
  links_of<std::atomic> links;
  ef::index_fifo<> q;
  assert_int_equal(q.take(links), q.none);
  q.put(links, 0);
  assert_int_equal(q.take(links), q.none);
  for (std::uint32_t i = 1; i < 8; ++i) q.put(links, i);
  for (int round = 0; round < 100; ++round)
    for (std::uint32_t i = 0; i < 8; ++i) {
      assert_int_equal(q.waiting(), 7);
      assert_int_equal(q.take(links), i);
      q.put(links, i);
    }
  for (std::uint32_t i = 0; i < 7; ++i) assert_int_equal(q.take(links), i);
  assert_int_equal(q.take(links), q.none);
  assert_int_equal(q.waiting(), 0);
}

// First in, first out; the last one stays.
struct all_but_one : fifo_model {
  all_but_one() : fifo_model(calls_max) {}
  bool apply(const history &h, int i) {
    if (h[i].kind == pop && !h[i].good) return last - first <= 1;
    return (h[i].kind == push || last - first > 1) && fifo_model::apply(h, i);
  }
};

// '-' takes, '+' puts back the oldest of its own, 'n' puts the thread's new one. 0 .. Before - 1 are there at first.
template<int Before, const char *const *Programs, int Threads> struct mix {
  static constexpr int threads = Threads;
  links_of<interleave::atomic> links;
  ef::index_fifo<interleave::atomic> q;
  history h;

  mix() {
    for (int i = 0; i < Before; ++i) put(i);
  }
  void thread(int me) {
    std::uint32_t mine[4];
    int first = 0, last = 0;
    for (const char *p = Programs[me]; *p; ++p) {
      if (*p == 'n')
        put(Before + me);
      else if (*p == '+')
        first != last ? put(mine[first++]) : void();
      else if (std::uint32_t i = take(); i != q.none)
        mine[last++] = i;
    }
    while (first != last) put(mine[first++]);
  }
  void finish() {
    while (take() != q.none) {}
    check(h.is_linearizable(all_but_one{}), "not linearizable");
  }

 private:
  void put(std::uint32_t i) {
    int c = h.begin(fifo_model::push, i);
    q.put(links, i);
    h.end(c, true);
  }
  std::uint32_t take() {
    int c = h.begin(fifo_model::pop);
    std::uint32_t i = q.take(links);
    h.end(c, i != q.none, i);
    return i;
  }
};

constexpr const char *putters[] = {"n", "n", "-"}, *turns[] = {"-+-+", "-+-+"}, *stale[] = {"n-", "-+-+"},
                     *takers[] = {"-", "-", "n"};

void every_mix_of_puts_and_takes_is_linearizable(void **) {
  holds<mix<0, putters, 3>>("putters", {.preemptions = 2});
  holds<mix<1, putters, 3>>("putters_one", {.preemptions = 2});
  holds<mix<2, takers, 3>>("takers", {.preemptions = 2});
  holds<mix<3, turns, 2>>("turns", {.preemptions = 3});
  holds<mix<2, stale, 2>>("stale", {.preemptions = 3});
}

void weak_memory_changes_no_answer(void **) {
  holds<mix<1, putters, 3>>("putters_weak", {.preemptions = 2, .stale = 1});
  holds<mix<2, turns, 2>>("turns_weak", {.preemptions = 2, .stale = 2});
  holds<mix<2, stale, 2>>("stale_weak", {.preemptions = 2, .stale = 2});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(indices_come_out_in_order_but_the_last),
      cmocka_unit_test(every_mix_of_puts_and_takes_is_linearizable),
      cmocka_unit_test(weak_memory_changes_no_answer),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
