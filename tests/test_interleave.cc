// SPDX-License-Identifier: BSD-2-Clause
// The checker itself, on the small programs by which memory models are told apart: what must be found is found, what
// cannot happen does not.
#include "interleave.hh"

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;
using std::memory_order, std::memory_order_relaxed, std::memory_order_acquire, std::memory_order_release,
    std::memory_order_acq_rel, std::memory_order_seq_cst;
using word = interleave::atomic<int>;

constexpr bounds most{.preemptions = 3, .stale = 2};

// A message and its flag.
template<memory_order Store, memory_order Load> struct message {
  static constexpr int threads = 2;
  word flag, text;
  void thread(int me) {
    if (me == 0) {
      text.store(1, memory_order_relaxed);
      flag.store(1, Store);
    } else if (flag.load(Load))
      check(text.load(memory_order_relaxed) == 1, "the flag without the message");
  }
  void finish() {}
};

void a_message_needs_release_and_acquire(void **) {
  holds<message<memory_order_release, memory_order_acquire>>("message", most);
  breaks<message<memory_order_relaxed, memory_order_acquire>>("message_without_release", most);
  breaks<message<memory_order_release, memory_order_relaxed>>("message_without_acquire", most);
}

// Each says that it is there and looks for the other.
template<memory_order Store, memory_order Load> struct greeting {
  static constexpr int threads = 2;
  word there[2];
  int seen[2];
  void thread(int me) {
    there[me].store(1, Store);
    seen[me] = there[1 - me].load(Load);
  }
  void finish() { check(seen[0] || seen[1], "neither saw the other"); }
};
struct greeting_by_updates {
  static constexpr int threads = 2;
  word there[2], meeting;
  int seen[2];
  void thread(int me) {
    there[me].store(1, memory_order_relaxed);
    meeting.fetch_add(0, memory_order_acq_rel);
    seen[me] = there[1 - me].load(memory_order_relaxed);
  }
  void finish() { check(seen[0] || seen[1], "neither saw the other"); }
};

void two_who_look_for_each_other_need_seq_cst_or_a_common_word(void **) {
  holds<greeting<memory_order_seq_cst, memory_order_seq_cst>>("greeting", most);
  breaks<greeting<memory_order_release, memory_order_acquire>>("greeting_without_seq_cst", most);
  breaks<greeting<memory_order_seq_cst, memory_order_acquire>>("greeting_half", most);
  holds<greeting_by_updates>("greeting_by_updates", most);
}

// Two writers, two readers that disagree on who was first.
template<memory_order Load> struct witnesses {
  static constexpr int threads = 4;
  word x[2];
  int first[2], second[2];
  void thread(int me) {
    if (me < 2) return x[me].store(1, memory_order_seq_cst);
    first[me - 2] = x[me - 2].load(Load);
    second[me - 2] = x[3 - me].load(Load);
  }
  void finish() { check(!(first[0] && !second[0] && first[1] && !second[1]), "the witnesses disagree"); }
};

void witnesses_agree_only_with_seq_cst(void **) {
  holds<witnesses<memory_order_seq_cst>>("witnesses", {.preemptions = 2, .stale = 2});
  breaks<witnesses<memory_order_acquire>>("witnesses_without_seq_cst", {.preemptions = 2, .stale = 2});
}

struct one_word {
  static constexpr int threads = 3;
  word x;
  void thread(int me) {
    if (me < 2) {
      int old = x.fetch_add(1, memory_order_relaxed);
      return check(x.load(memory_order_relaxed) > old, "older than one's own");
    }
    int a = x.load(memory_order_relaxed), b = x.load(memory_order_relaxed);
    check(a <= b, "time runs backwards");
  }
  void finish() { check(x.load(memory_order_relaxed) == 2, "updates are not lost"); }
};

// What was published with the first store of a release sequence comes along with the last.
struct sequence {
  static constexpr int threads = 3;
  word flag, text;
  void thread(int me) {
    if (me == 0) {
      text.store(1, memory_order_relaxed);
      flag.store(1, memory_order_release);
    } else if (me == 1) {
      int one = 1;
      flag.compare_exchange_strong(one, 2, memory_order_relaxed, memory_order_relaxed);
    } else if (flag.load(memory_order_acquire) == 2)
      check(text.load(memory_order_relaxed) == 1, "text came along");
  }
  void finish() {}
};

void one_word_is_coherent_and_updates_pass_releases_on(void **) {
  holds<one_word>("one_word", most);
  holds<sequence>("sequence", most);
}

template<memory_order Load> struct guarded {
  static constexpr int threads = 2;
  data<int> box;
  word full;
  void thread(int me) {
    if (me == 0) {
      box.write(1);
      full.store(1, memory_order_release);
    } else if (full.load(Load))
      check(box.read() == 1, "what was put in");
  }
  void finish() {}
};
struct unguarded_reader {
  static constexpr int threads = 2;
  data<int> box;
  word turn;
  void thread(int me) {
    if (me == 0) {
      (void)box.read();
      turn.store(1, memory_order_relaxed);
    } else if (turn.load(memory_order_relaxed))
      box.write(1);
  }
  void finish() {}
};

void data_races_are_found(void **) {
  holds<guarded<memory_order_acquire>>("guarded", {.preemptions = 2});
  breaks<guarded<memory_order_relaxed>>("guarded_badly", {.preemptions = 2});
  breaks<unguarded_reader>("unguarded_reader", {.preemptions = 2});
}

struct asleep {
  static constexpr int threads = 2;
  interleave::atomic<std::uint64_t> bell;
  void thread(int me) {
    if (me == 0)
      park::wake(bell, 1);
    else
      park::wait(bell, 0, -1);
  }
  void finish() {}
};
struct spinning {
  static constexpr int threads = 1;
  word never;
  void thread(int) {
    while (!never.load(memory_order_relaxed)) yield();
  }
  void finish() {}
};
struct waiting {
  static constexpr int threads = 2;
  word soon;
  void thread(int me) {
    if (me == 0) return soon.store(1, memory_order_relaxed);
    while (!soon.load(memory_order_relaxed)) yield();
  }
  void finish() {}
};
struct made_late {
  static constexpr int threads = 2;
  interleave::atomic<word *> place;
  std::unique_ptr<word> owner;
  void thread(int me) {
    if (me == 0) {
      owner = std::make_unique<word>(1);
      place.store(owner.get(), memory_order_relaxed);
    } else if (word *w = place.load(memory_order_relaxed))
      w->load(memory_order_relaxed);
  }
  void finish() {}
};
struct first_try {
  static constexpr int threads = 1;
  word x;
  void thread(int) {
    int zero = 0;
    check(x.compare_exchange_weak(zero, 1, memory_order_relaxed, memory_order_relaxed), "a weak swap may fail");
  }
  void finish() {}
};

void dead_ends_are_found(void **) {
  breaks<asleep>("asleep", {.preemptions = 0});
  breaks<spinning>("spinning", {.preemptions = 0});
  holds<waiting>("waiting", most);
  breaks<made_late>("made_late", {.preemptions = 1});
  breaks<first_try>("first_try", {.preemptions = 0, .stale = 1});
}

void a_failing_execution_can_be_repeated(void **) {
  result r = explore<message<memory_order_relaxed, memory_order_acquire>>("again", most);
  assert_true(r.failed);
  assert_int_equal(setenv("EF_SCHEDULE", r.schedule.c_str(), 1), 0);
  result again = explore<message<memory_order_relaxed, memory_order_acquire>>("again", most);
  unsetenv("EF_SCHEDULE");
  assert_true(again.failed);
  assert_int_equal(again.executions, 1);
  assert_string_equal(again.what.c_str(), r.what.c_str());
  assert_string_equal(again.trace.c_str(), r.trace.c_str());
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_message_needs_release_and_acquire),
      cmocka_unit_test(two_who_look_for_each_other_need_seq_cst_or_a_common_word),
      cmocka_unit_test(witnesses_agree_only_with_seq_cst),
      cmocka_unit_test(one_word_is_coherent_and_updates_pass_releases_on),
      cmocka_unit_test(data_races_are_found),
      cmocka_unit_test(dead_ends_are_found),
      cmocka_unit_test(a_failing_execution_can_be_repeated),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
