// SPDX-License-Identifier: BSD-2-Clause
// The pool's list: its answers, and all interleavings of its own C code on checked words, also on weak memory.
#include "free_list.h"

#define ef_free_list_push checked_free_list_push
#define ef_free_list_pop checked_free_list_pop
#define ef_free_list_empty checked_free_list_empty
#include "ck_checked/ck_pr.h"
extern "C" {
void checked_free_list_push(ef_free_list *, ef_free_node *);
ef_free_node *checked_free_list_pop(ef_free_list *);
#include "free_list.c"
}
#undef ef_free_list_push
#undef ef_free_list_pop

#include "interleave_history.hh"

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;

void the_last_node_given_back_comes_first(void **) {
  ef_free_list list{};
  ef_free_node nodes[4];
  assert_null(ef_free_list_pop(&list));
  for (int round = 0; round < 3; ++round) {
    for (ef_free_node &n : nodes) ef_free_list_push(&list, &n);
    for (int i = 3; i >= 0; --i) assert_ptr_equal(ef_free_list_pop(&list), nodes + i);
    assert_null(ef_free_list_pop(&list));
  }
}

// A control for the checker itself: the same without the count, which mistakes a top that came back for one that
// stayed.
ef_free_node *uncounted_pop(ef_free_list *list) {
  void *top = ck_pr_load_ptr(&list->head), *seen;
  while (top) {
    ck_pr_fence_acquire();
    void *next = ck_pr_load_ptr(&static_cast<ef_free_node *>(top)->next);
    if (ck_pr_cas_ptr_value(&list->head, top, next, &seen)) break;
    top = seen;
  }
  return static_cast<ef_free_node *>(top);
}

using pop_function = ef_free_node *(*)(ef_free_list *);

struct object {
  ef_free_node node;
  data<int> payload;
};

// A list of which each thread runs a program: '-' pops, '+' gives back the oldest of its own, 'c' gives the thread's
// spare one. The first `Before` objects are in the list at first.
template<int Before, const char *const *Programs, int Threads, pop_function Pop = checked_free_list_pop> struct pool {
  static constexpr int threads = Threads;
  ef_free_list list{};
  object objects[Before + Threads]{};
  history h;

  pool() {
    for (int i = Before; i-- > 0;) give(objects + i);
  }
  void thread(int me) {
    object *mine[4];
    int first = 0, last = 0;
    for (const char *p = Programs[me]; *p; ++p) {
      if (*p == 'c')
        give(objects + Before + me);
      else if (*p == '+')
        first != last ? give(mine[first++]) : void();
      else if (object *o = take())
        mine[last++] = o;
    }
    while (first != last) give(mine[first++]);
  }
  void finish() {
    while (take()) {}
    check(h.is_linearizable(lifo_model{}), "not linearizable");
  }

 private:
  void give(object *o) {
    o->payload.write(1);
    int c = h.begin(lifo_model::push, o - objects);
    checked_free_list_push(&list, &o->node);
    h.end(c, true);
  }
  object *take() {
    int c = h.begin(lifo_model::pop);
    object *o = reinterpret_cast<object *>(Pop(&list));
    h.end(c, o, o ? o - objects : 0);
    if (o) o->payload.write(0);
    return o;
  }
};

constexpr const char *same[] = {"-+-+", "-+-+"}, *reuse[] = {"-", "--+"}, *old_top[] = {"-", "-c+"},
                     *three[] = {"-+", "-+", "--"}, *spares[] = {"c-", "-c", "-"};

void every_mix_of_pops_and_pushes_is_linearizable(void **) {
  holds<pool<2, same, 2>>("same", {.preemptions = 4});
  holds<pool<2, three, 3>>("three", {.preemptions = 3});
  holds<pool<1, spares, 3>>("spares", {.preemptions = 3});
}

void a_top_that_went_and_came_back_is_not_mistaken_for_itself(void **) {
  holds<pool<2, reuse, 2>>("reuse", {.preemptions = 4});
  holds<pool<2, old_top, 2>>("old_top", {.preemptions = 4});
}

void a_list_without_the_count_is_found(void **) {
  breaks<pool<2, reuse, 2, uncounted_pop>>("uncounted", {.preemptions = 1});
}

void weak_memory_breaks_no_list_and_brings_the_payload_along(void **) {
  holds<pool<2, same, 2>>("same_weak", {.preemptions = 3, .stale = 2});
  holds<pool<2, old_top, 2>>("old_top_weak", {.preemptions = 2, .stale = 3});
  holds<pool<2, three, 3>>("three_weak", {.preemptions = 2, .stale = 2});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_last_node_given_back_comes_first),
      cmocka_unit_test(every_mix_of_pops_and_pushes_is_linearizable),
      cmocka_unit_test(a_top_that_went_and_came_back_is_not_mistaken_for_itself),
      cmocka_unit_test(a_list_without_the_count_is_found),
      cmocka_unit_test(weak_memory_breaks_no_list_and_brings_the_payload_along),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
