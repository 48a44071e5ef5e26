// SPDX-License-Identifier: BSD-2-Clause
// The completion list: its answers, and all interleavings of its own C code on checked words, also on weak memory.
#include "take_all_list.h"

#define ef_list_push checked_list_push
#define ef_list_take_all checked_list_take_all
#define ef_list_empty checked_list_empty
#include "ck_checked/ck_pr.h"
extern "C" {
bool checked_list_push(ef_list *, ef_list_node *);
ef_list_node *checked_list_take_all(ef_list *);
bool checked_list_empty(const ef_list *);
#include "take_all_list.c"
}
#undef ef_list_push
#undef ef_list_take_all
#undef ef_list_empty

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;

void the_oldest_comes_first(void **) {
  ef_list list{};
  ef_list_node nodes[5];
  for (int round = 0; round < 3; ++round) {
    for (ef_list_node &n : nodes) assert_int_equal(ef_list_push(&list, &n), &n == nodes);
    ef_list_node *n = ef_list_take_all(&list);
    for (int i = 0; i < 5; ++i, n = n->next) assert_ptr_equal(n, nodes + i);
    assert_null(n);
  }
}

void empty_is_null(void **) {
  ef_list list{};
  ef_list_node node;
  assert_true(ef_list_empty(&list));
  assert_null(ef_list_take_all(&list));
  ef_list_push(&list, &node);
  assert_false(ef_list_empty(&list));
  assert_ptr_equal(ef_list_take_all(&list), &node);
  assert_true(ef_list_empty(&list));
}

struct item {
  ef_list_node node;
  data<int> payload;
  int pusher, number;
};

// Pushers with two items each, and a taker that looks twice.
template<int Pushers> struct completions {
  static constexpr int threads = Pushers + 1;
  ef_list list{};
  item items[Pushers][2]{};
  int bells[Pushers]{}, batches = 0, seen[Pushers]{};

  void thread(int me) {
    if (me == Pushers) {
      take();
      return take();
    }
    for (int i = 0; i < 2; ++i) {
      item &it = items[me][i];
      it.pusher = me;
      it.number = i;
      it.payload.write(i + 1);
      bells[me] += checked_list_push(&list, &it.node);
    }
  }
  void finish() {
    take();
    int all = 0;
    for (int p = 0; p < Pushers; ++p) {
      check(seen[p] == 2, "every item is taken once");
      all += bells[p];
    }
    check(all == batches, "one bell for each time that the list was not empty");
  }

 private:
  void take() {
    ef_list_node *n = checked_list_take_all(&list);
    batches += n != nullptr;
    for (; n; n = n->next) {
      item *it = reinterpret_cast<item *>(n);
      check(it->payload.read() == it->number + 1, "the payload came along");
      check(seen[it->pusher]++ == it->number, "each pusher's order is kept");
    }
  }
};

// The node is the taker's at once: it pushes it on to the next list.
struct handed_on {
  static constexpr int threads = 3;
  ef_list first{}, second{};
  item it{};
  bool arrived = false;

  void thread(int me) {
    ef_list *from = me == 1 ? &first : &second;
    if (me == 0) {
      it.payload.write(1);
      checked_list_push(&first, &it.node);
    } else if (ef_list_node *n = checked_list_take_all(from)) {
      it.payload.write(it.payload.read() + 1);
      check(!n->next, "alone");
      if (me == 1)
        checked_list_push(&second, n);
      else
        arrived = true;
    }
  }
  void finish() { check(it.payload.read() == (arrived ? 3 : checked_list_empty(&first) ? 2 : 1), "as far as it came"); }
};

struct glance {
  static constexpr int threads = 2;
  ef_list list{};
  item it{};
  void thread(int me) {
    if (me == 0) {
      it.payload.write(1);
      checked_list_push(&list, &it.node);
    } else if (!checked_list_empty(&list))
      check(it.payload.read() == 1, "a push that is seen happened before");
  }
  void finish() {}
};

void every_item_is_taken_once_in_its_order_with_one_bell_a_batch(void **) {
  holds<completions<1>>("one_pusher", {.preemptions = 3});
  holds<completions<2>>("two_pushers", {.preemptions = 4});
}

void weak_memory_brings_the_payload_along(void **) {
  holds<completions<1>>("one_pusher_weak", {.preemptions = 4, .stale = 2});
  holds<completions<2>>("two_pushers_weak", {.preemptions = 3, .stale = 2});
  holds<handed_on>("handed_on", {.preemptions = 2, .stale = 2});
  holds<glance>("glance", {.preemptions = 2, .stale = 1});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_oldest_comes_first),
      cmocka_unit_test(empty_is_null),
      cmocka_unit_test(every_item_is_taken_once_in_its_order_with_one_bell_a_batch),
      cmocka_unit_test(weak_memory_brings_the_payload_along),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
