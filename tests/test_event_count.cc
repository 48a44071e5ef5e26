// SPDX-License-Identifier: BSD-2-Clause
// The event count: sleeping and waking for real, and no lost wake-up in any interleaving, also on weak memory; with
// controls that leave out the second look and the signals.
#include "event_count.hh"
#include "interleave.hh"

#include <chrono>
#include <thread>
#include <vector>

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;

// ---- For real

struct counting_park : ef::futex_park {
  static inline std::atomic<int> wakes{0};
  static void wake(const std::atomic<std::uint64_t> &word, int count) noexcept {
    wakes.fetch_add(1, std::memory_order_relaxed);
    ef::futex_park::wake(word, count);
  }
};
using counted = ef::event_count<std::atomic, counting_park>;

void a_notify_between_prepare_and_wait_is_not_lost(void **) {
  ef::event_count<> e;
  std::uint32_t key = e.prepare_wait();
  e.notify_one();
  assert_true(e.wait(key, -1));
  assert_false(e.has_waiters());
}

void a_wait_without_notify_times_out(void **) {
  ef::event_count<> e;
  for (std::int64_t ns : {std::int64_t{0}, std::int64_t{1'000'000}, std::int64_t{20'000'000}}) {
    auto before = std::chrono::steady_clock::now();
    assert_false(e.wait(e.prepare_wait(), ns));
    assert_true(std::chrono::steady_clock::now() - before >= std::chrono::nanoseconds(ns));
  }
  assert_false(e.has_waiters());
}

void a_notify_to_nobody_makes_no_system_call(void **) {
  counted e;
  std::uint32_t key;
  counting_park::wakes = 0;
  e.notify_one();
  e.notify_all();
  key = e.prepare_wait();
  e.cancel_wait();
  e.notify_one();
  assert_int_equal(counting_park::wakes, 0);
  key = e.prepare_wait();
  e.notify_one();
  e.notify_one(); // that one has been signalled
  e.notify_all();
  assert_int_equal(counting_park::wakes, 1);
  assert_true(e.wait(key, -1));
}

void notify_all_wakes_everybody(void **) {
  ef::event_count<> e;
  std::atomic<bool> go{false};
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 8; ++i)
    sleepers.emplace_back([&] {
      while (!go.load(std::memory_order_relaxed)) {
        std::uint32_t key = e.prepare_wait();
        if (go.load(std::memory_order_relaxed))
          e.cancel_wait();
        else
          e.wait(key, -1);
      }
    });
  go.store(true, std::memory_order_relaxed);
  e.notify_all();
  for (std::thread &t : sleepers) t.join();
  assert_false(e.has_waiters());
}

// ---- All interleavings

struct counting_virtual_park : park {
  static inline int wakes;
  static void wake(const interleave::atomic<std::uint64_t> &word, int count) noexcept {
    ++wakes;
    park::wake(word, count);
  }
};
using event_count = ef::event_count<interleave::atomic, counting_virtual_park>;

// What goes wrong in the controls.
enum class without { nothing, second_look, taking_signals_along, counting_signals };

// The same protocol with one thing left out.
template<without What> class broken_count {
 public:
  std::uint32_t prepare_wait() { return word_.fetch_add(1, std::memory_order_seq_cst) >> 32; }
  void cancel_wait() { leave(); }
  void wait(std::uint32_t key, std::int64_t) {
    while (word_.load(std::memory_order_seq_cst) >> 32 == key) counting_virtual_park::wait(word_, key, -1);
    leave();
  }
  void notify_one() {
    std::uint64_t w = word_.fetch_add(0, std::memory_order_seq_cst);
    std::uint64_t signal = What == without::counting_signals ? 0 : 1u << 16;
    while ((w & 0xffff) > (w >> 16 & 0xffff))
      if (word_.compare_exchange_strong(w, w + (std::uint64_t{1} << 32) + signal, std::memory_order_seq_cst))
        return counting_virtual_park::wake(word_, 1);
  }

 private:
  void leave() {
    std::uint64_t w = word_.load(std::memory_order_seq_cst), signal;
    do signal = What != without::taking_signals_along && w >> 16 & 0xffff ? 1u << 16 : 0;
    while (!word_.compare_exchange_strong(w, w - 1 - signal, std::memory_order_seq_cst));
  }
  interleave::atomic<std::uint64_t> word_;
};

// Items wait to be taken; a taker sleeps until it has got one. The order of all its looks is relaxed: the event count
// has to bring what they need.
template<class Count, bool Looks = true> struct pool {
  Count idle;
  interleave::atomic<int> items;
  int sleeps = 0;

  pool() { counting_virtual_park::wakes = 0; }
  bool try_take() {
    int n = items.load(std::memory_order_relaxed);
    while (n > 0)
      if (items.compare_exchange_strong(n, n - 1, std::memory_order_relaxed, std::memory_order_relaxed)) return true;
    return false;
  }
  void take() {
    while (!try_take()) {
      std::uint32_t key = idle.prepare_wait();
      ++sleeps;
      if (Looks && try_take()) return idle.cancel_wait();
      idle.wait(key, -1);
    }
  }
  void give() {
    items.fetch_add(1, std::memory_order_relaxed);
    idle.notify_one();
  }
};

template<class Count, int Takers, int Givers, bool Looks = true> struct traffic : pool<Count, Looks> {
  static constexpr int threads = Takers + Givers;
  void thread(int me) {
    for (int i = 0; i < 2 / (me < Takers ? Takers : Givers); ++i) me < Takers ? this->take() : this->give();
  }
  void finish() {
    check(this->items.load(std::memory_order_relaxed) == 0, "as many taken as given");
    check(counting_virtual_park::wakes <= this->sleeps, "a sleeper was woken again before it ran");
  }
};

void no_wake_is_lost_and_none_repeated(void **) {
  holds<traffic<event_count, 1, 1>>("one_to_one", {.preemptions = 4});
  holds<traffic<event_count, 1, 2>>("two_to_one", {.preemptions = 4});
  holds<traffic<event_count, 2, 1>>("one_to_two", {.preemptions = 3});
  holds<traffic<event_count, 2, 2>>("two_to_two", {.preemptions = 2});
}

void no_wake_is_lost_on_weak_memory(void **) {
  holds<traffic<event_count, 1, 1>>("one_to_one_weak", {.preemptions = 2, .stale = 2});
  holds<traffic<event_count, 1, 2>>("two_to_one_weak", {.preemptions = 3, .stale = 2});
  holds<traffic<event_count, 2, 1>>("one_to_two_weak", {.preemptions = 2, .stale = 1});
}

void what_is_left_out_is_found(void **) {
  breaks<traffic<event_count, 1, 1, false>>("no_second_look", {.preemptions = 2});
  breaks<traffic<broken_count<without::taking_signals_along>, 2, 2>>("signals_left_behind", {.preemptions = 2});
  breaks<traffic<broken_count<without::counting_signals>, 1, 2>>("signals_not_counted", {.preemptions = 2});
  holds<traffic<broken_count<without::nothing>, 2, 2>>("nothing_left_out", {.preemptions = 2});
}

// One notify for all of them.
struct gate {
  static constexpr int threads = 3;
  event_count idle;
  interleave::atomic<int> open;
  data<int> behind;

  void thread(int me) {
    if (me == 0) {
      behind.write(1);
      open.store(1, std::memory_order_relaxed);
      return idle.notify_all();
    }
    std::uint32_t key = idle.prepare_wait();
    if (open.load(std::memory_order_relaxed)) return idle.cancel_wait();
    check(idle.wait(key, -1), "woken, not timed out");
    check(open.load(std::memory_order_relaxed) && behind.read(), "visible to whom the notify woke");
  }
  void finish() { check(!idle.has_waiters(), "all have left"); }
};

// One sleeper with a deadline, one without: the wake that comes with the end of the patience is not lost on the other.
struct deadline : pool<event_count> {
  static constexpr int threads = 3;
  interleave::atomic<int> taken;

  void thread(int me) {
    if (me == 0) return give();
    for (;;) {
      std::uint32_t key = idle.prepare_wait();
      bool done = taken.load(std::memory_order_relaxed);
      if (!done && try_take()) {
        taken.store(1, std::memory_order_relaxed);
        idle.notify_all();
        done = true;
      }
      if (done) return idle.cancel_wait();
      if (!idle.wait(key, me == 1 ? 1000 : -1)) return;
    }
  }
  void finish() { check(taken.load(std::memory_order_relaxed) && !idle.has_waiters(), "taken, all have left"); }
};

// The look at has_waiters() instead of a notify: sound if both sides make seq_cst accesses of the condition.
struct polite {
  static constexpr int threads = 2;
  event_count idle;
  interleave::atomic<int> ready;

  void thread(int me) {
    if (me == 0) {
      ready.exchange(1, std::memory_order_seq_cst);
      if (idle.has_waiters()) idle.notify_one();
      return;
    }
    std::uint32_t key = idle.prepare_wait();
    if (ready.load(std::memory_order_seq_cst))
      idle.cancel_wait();
    else
      idle.wait(key, -1);
  }
  void finish() {}
};

void notify_all_reaches_all_and_brings_the_news(void **) {
  holds<gate>("gate", {.preemptions = 3});
  holds<gate>("gate_weak", {.preemptions = 2, .stale = 1});
}

void a_time_out_takes_nobodys_wake(void **) {
  holds<deadline>("deadline", {.preemptions = 3});
  holds<deadline>("deadline_weak", {.preemptions = 2, .stale = 1});
}

void asking_for_waiters_first_loses_nothing(void **) {
  holds<polite>("polite", {.preemptions = 3});
  holds<polite>("polite_weak", {.preemptions = 2, .stale = 2});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_notify_between_prepare_and_wait_is_not_lost),
      cmocka_unit_test(a_wait_without_notify_times_out),
      cmocka_unit_test(a_notify_to_nobody_makes_no_system_call),
      cmocka_unit_test(notify_all_wakes_everybody),
      cmocka_unit_test(no_wake_is_lost_and_none_repeated),
      cmocka_unit_test(no_wake_is_lost_on_weak_memory),
      cmocka_unit_test(what_is_left_out_is_found),
      cmocka_unit_test(notify_all_reaches_all_and_brings_the_news),
      cmocka_unit_test(a_time_out_takes_nobodys_wake),
      cmocka_unit_test(asking_for_waiters_first_loses_nothing),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
