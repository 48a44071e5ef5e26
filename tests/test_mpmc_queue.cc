// SPDX-License-Identifier: BSD-2-Clause
// The request queue: its answers one after the other, and all interleavings of small scenarios, also on weak memory.
#include "interleave_history.hh"
#include "mpmc_queue.hh"

#include <memory>

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;
using queue = ef::mpmc_queue<interleave::atomic>;

// ---- One thread

void values_come_out_in_the_order_of_the_pushes(void **) {
  ef::mpmc_queue<> q;
  assert_true(q.init(3));
  std::uint64_t in = 0, out = 0;
  for (int round = 0; round < 1000; ++round) {
    for (int n = round % 8 + 1; n > 0; --n) assert_true(q.push(~in++));
    for (std::uint64_t v; out != in; ++out) {
      assert_true(q.pop(&v));
      assert_true(v == ~out);
    }
  }
}

void full_is_an_answer_and_takes_nothing(void **) {
  for (unsigned order = 1; order < 11; ++order) {
    ef::mpmc_queue<> q;
    assert_true(q.init(order));
    for (int round = 0; round < 3; ++round) {
      std::uint64_t v = 0, n = std::uint64_t{1} << order;
      for (std::uint64_t i = 0; i < n; ++i) assert_true(q.push(i));
      for (int i = 0; i < 100; ++i) assert_false(q.push(99));
      for (std::uint64_t i = 0; i < n; ++i) assert_true(q.pop(&v) && v == i);
      for (int i = 0; i < 100; ++i) assert_false(q.pop(&v));
    }
  }
}

void empty_leaves_the_result_alone(void **) {
  ef::mpmc_queue<> q;
  assert_true(q.init(1));
  std::uint64_t v = 77;
  assert_false(q.pop(&v));
  assert_true(v == 77);
}

// ---- All interleavings

// A queue of two cells, `Before` of them filled, and what each of up to four threads does: '+' pushes, '-' pops.
template<int Before, const char *const *Programs, int Threads, class Queue = queue> struct mix {
  static constexpr int threads = Threads;
  Queue q;
  history h;

  mix() {
    check(q.init(1), "memory");
    for (int i = 0; i < Before; ++i) push(90 + i);
  }
  void thread(int me) {
    int n = 0;
    for (const char *p = Programs[me]; *p; ++p) *p == '+' ? push(10 * me + ++n) : pop();
  }
  void finish() {
    for (int i = 0; i < 3; ++i) pop(); // nothing is lost
    check(h.is_linearizable(fifo_model(2)), "not linearizable");
  }

 private:
  void push(std::uint64_t v) {
    int c = h.begin(fifo_model::push, v);
    h.end(c, q.push(v));
  }
  void pop() {
    std::uint64_t v = 0;
    int c = h.begin(fifo_model::pop);
    bool good = q.pop(&v);
    h.end(c, good, v);
  }
};

constexpr const char *one_one[] = {"++", "--"}, *back_forth[] = {"+-", "+-"}, *two_one[] = {"+", "+", "--"},
                     *one_two[] = {"++", "-", "-"}, *two_two[] = {"+", "+", "-", "-"}, *turns[] = {"+-+", "-+-"},
                     *two_pushers[] = {"+", "+-"};

void every_mix_of_producers_and_consumers_is_linearizable(void **) {
  holds<mix<0, one_one, 2>>("one_one", {.preemptions = 4});
  holds<mix<0, back_forth, 2>>("back_forth", {.preemptions = 3});
  holds<mix<0, turns, 2>>("turns", {.preemptions = 3});
  holds<mix<0, two_one, 3>>("two_one", {.preemptions = 3});
  holds<mix<0, one_two, 3>>("one_two", {.preemptions = 3});
  holds<mix<0, two_two, 4>>("two_two", {.preemptions = 2});
}

void a_full_queue_is_linearizable_up_to_calls_under_way(void **) {
  holds<mix<2, one_one, 2>>("one_one_full", {.preemptions = 4});
  holds<mix<2, turns, 2>>("turns_full", {.preemptions = 3});
  holds<mix<1, two_one, 3>>("two_one_half", {.preemptions = 2});
}

void weak_memory_changes_no_answer(void **) {
  holds<mix<0, one_one, 2>>("one_one_weak", {.preemptions = 3, .stale = 2});
  holds<mix<2, one_one, 2>>("one_one_full_weak", {.preemptions = 2, .stale = 2});
  holds<mix<1, turns, 2>>("turns_weak", {.preemptions = 2, .stale = 2});
  holds<mix<0, two_one, 3>>("two_one_weak", {.preemptions = 2, .stale = 2});
}

// A control for the checker itself: a ring whose consumers look at one cell, in the order of the tickets. Behind a
// producer that was stopped with its ticket it says "empty" though a later push is over.
class ticket_ring {
 public:
  bool push(std::uint64_t v) {
    std::uint64_t t = tail_.fetch_add(1, std::memory_order_acq_rel);
    cells_[t % 4].store(v, std::memory_order_release);
    return true;
  }
  bool pop(std::uint64_t *v) {
    std::uint64_t h = head_.load(std::memory_order_acquire);
    *v = cells_[h % 4].load(std::memory_order_acquire);
    if (*v == 0) return false;
    head_.store(h + 1, std::memory_order_release);
    return true;
  }
  bool init(unsigned) { return true; }

 private:
  interleave::atomic<std::uint64_t> head_, tail_, cells_[4];
};

void a_queue_with_a_false_empty_is_found(void **) {
  breaks<mix<0, two_pushers, 2, ticket_ring>>("false_empty", {.preemptions = 1});
}

// Fruitless looks lower the threshold below zero; a put that trusts an old threshold hides its index. One taker makes
// the looks that the putter could hear of, another the ones by which it hears of them.
struct patience {
  static constexpr int threads = 3;
  ef::index_ring<interleave::atomic> ring;
  std::uint64_t got = 0;

  patience() {
    std::uint64_t i;
    check(ring.init(2, false), "memory");
    ring.put(0);
    check(ring.take(&i), "just put");
  }
  void thread(int me) {
    std::uint64_t i;
    if (me == 2) return ring.put(1);
    for (int looks = me == 0 ? 4 : 8; looks > 0; --looks) got += ring.take(&i);
  }
  void finish() {
    for (std::uint64_t i; ring.take(&i);) ++got;
    check(got == 1, "an index is lost");
  }
};

// A taker is stopped before it empties its cell; another runs once around the ring and marks the cell unsafe; a putter
// that holds the position of the mark must not use it.
struct overtaken {
  static constexpr int threads = 3;
  ef::index_ring<interleave::atomic> ring;
  std::uint64_t got = 0;

  overtaken() {
    check(ring.init(1, false), "memory");
    ring.put(0);
  }
  void thread(int me) {
    std::uint64_t i;
    if (me == 1) return ring.put(1);
    got += ring.take(&i);
    if (me == 0) return;
    for (int looks = 0; looks < 2; ++looks) got += ring.take(&i);
    yield(); // spares a preemption: here the putter must get its position
    got += ring.take(&i);
  }
  void finish() {
    for (std::uint64_t i; ring.take(&i);) ++got;
    check(got == 2, "an index is lost");
  }
};

void no_index_is_lost_behind_a_low_threshold(void **) { holds<patience>("patience", {.preemptions = 1, .stale = 1}); }

void no_index_is_put_where_takers_have_passed(void **) {
  holds<overtaken>("overtaken", {.preemptions = 2, .stale = 1});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(values_come_out_in_the_order_of_the_pushes),
      cmocka_unit_test(full_is_an_answer_and_takes_nothing),
      cmocka_unit_test(empty_leaves_the_result_alone),
      cmocka_unit_test(a_queue_with_a_false_empty_is_found),
      cmocka_unit_test(no_index_is_lost_behind_a_low_threshold),
      cmocka_unit_test(weak_memory_changes_no_answer),
      cmocka_unit_test(no_index_is_put_where_takers_have_passed),
      cmocka_unit_test(every_mix_of_producers_and_consumers_is_linearizable),
      cmocka_unit_test(a_full_queue_is_linearizable_up_to_calls_under_way),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
