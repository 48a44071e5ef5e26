// SPDX-License-Identifier: BSD-2-Clause
// The gate of a device in every interleaving: no more than may are inside, nobody is kept once there is room, and who
// is called off is not kept; with controls that count down before the list is written, and that do not look again.
#include "device_gate.hh"
#include "interleave.hh"

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;

struct visitor {
  visitor *next = nullptr;
};

// A list of the model's own words: what is pushed is seen by whoever takes it.
struct modelled_list {
  atomic<visitor *> head{nullptr};
  void push(visitor *v) noexcept {
    visitor *top = head.load(std::memory_order_relaxed);
    do v->next = top;
    while (!head.compare_exchange_weak(top, v, std::memory_order_seq_cst, std::memory_order_relaxed));
  }
  visitor *take_all() noexcept { return head.exchange(nullptr, std::memory_order_seq_cst); }
  static visitor *next(visitor *v) noexcept { return v->next; }
};
using gate = ef::basic_device_gate<atomic, modelled_list>;

// Counts down first: between that and the push everybody else may leave.
struct hasty_gate {
  atomic<int> inside{0};
  modelled_list kept;
  template<class Submit> bool enter(visitor *v, int most, Submit submit) noexcept {
    if (inside.fetch_add(1, std::memory_order_seq_cst) < most) return true;
    leave(most, submit);
    kept.push(v);
    return false;
  }
  template<class Submit> void leave(int most, Submit submit) noexcept {
    if (inside.fetch_sub(1, std::memory_order_seq_cst) > most) return;
    for (visitor *v = kept.take_all(), *next; v; v = next) next = v->next, submit(v);
  }
};

// One may be inside at a time. Whoever is submitted again is taken up by the thread that submits him.
template<class Gate, int guests> struct visits {
  static constexpr int threads = guests;
  Gate g;
  visitor all[guests];
  int turns[guests] = {}; // each written by whoever has the visitor
  atomic<int> here{0};

  void visit(visitor *v) {
    visitor *again = v;
    while (again) {
      visitor *now = again;
      again = now->next;
      run(now, &again);
    }
  }
  void run(visitor *v, visitor **again) {
    auto submit = [again](visitor *kept) {
      kept->next = *again;
      *again = kept;
    };
    v->next = nullptr;
    if (!g.enter(v, 1, submit)) return;
    check(here.fetch_add(1, std::memory_order_seq_cst) == 0, "one at a time");
    ++turns[v - all];
    here.fetch_sub(1, std::memory_order_seq_cst);
    g.leave(1, submit);
  }
  void thread(int me) { visit(&all[me]); }
  void finish() {
    for (int n : turns) check(n == 1, "everybody was inside, once");
  }
};

// Somebody is inside and stays. One comes and is called off meanwhile: he must not be kept.
template<bool looks_again> struct called_off {
  static constexpr int threads = 2;
  gate g;
  visitor inside, late;
  atomic<bool> unwanted{false};
  atomic<int> gone{0};

  called_off() {
    check(g.enter(&inside, 1, [](visitor *) {}), "there is room");
  }
  void come() {
    const auto again = [this](visitor *) { come(); };
    const unsigned calls = g.calls();
    if (unwanted.load(std::memory_order_seq_cst)) {
      gone.fetch_add(1, std::memory_order_seq_cst);
    } else {
      check(!g.enter(&late, 1, again), "there is no room");
      if (looks_again && g.calls() != calls) g.submit_kept(again);
    }
  }
  void thread(int me) {
    if (me == 0) return come();
    unwanted.store(true, std::memory_order_seq_cst);
    g.call([this](visitor *) { come(); });
  }
  void finish() { check(gone.load(std::memory_order_seq_cst) == 1, "who is called off goes, once"); }
};

void nobody_is_forgotten(void **) {
  holds<visits<gate, 2>>("two", {.preemptions = 4, .stale = 1});
  holds<visits<gate, 3>>("three", {.preemptions = 3});
}
void who_is_called_off_is_not_kept(void **) { holds<called_off<true>>("called off", {.preemptions = 4, .stale = 1}); }
void who_does_not_look_again_is_kept(void **) { breaks<called_off<false>>("does not look", {.preemptions = 3}); }
void who_counts_down_first_is_forgotten(void **) { breaks<visits<hasty_gate, 2>>("hasty", {.preemptions = 3}); }

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(nobody_is_forgotten),
      cmocka_unit_test(who_is_called_off_is_not_kept),
      cmocka_unit_test(who_does_not_look_again_is_kept),
      cmocka_unit_test(who_counts_down_first_is_forgotten),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
