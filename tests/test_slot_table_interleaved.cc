// SPDX-License-Identifier: BSD-2-Clause
// The slot table in all interleavings of small scenarios, also on weak memory: who gets, closes, opens and ends what.
#include "interleave.hh"
#include "slot_table.hh"

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;

constexpr int index_of(int handle) { return handle & 0xfffff; }

// What lies behind a slot: the handle of its life, not atomic, so that whoever comes too early or late is found.
struct guarded {
  data<int> life;
};
struct tiny : ef::slot_table_limits {
  static constexpr std::uint32_t slots_max = 6, block_slots = 2, reuse_after = 1, discard_after = 1;
  static void *obtain(std::size_t) noexcept { return new (std::nothrow) guarded[block_slots](); }
  static void drop(void *memory, std::size_t) noexcept { delete[] static_cast<guarded *>(memory); }
  static void discard(void *memory, std::size_t) noexcept {
    for (int i = 0; i < 2; ++i) static_cast<guarded *>(memory)[i].life.write(0);
  }
};

struct world {
  ef::slot_table<guarded, interleave::atomic, tiny> t;
  interleave::atomic<int> ends;

  void end(int h) { // the last reference is gone
    check(t.at(index_of(h))->life.read() == h, "ended once, in its own life");
    t.at(index_of(h))->life.write(-1);
    ends.fetch_add(1, std::memory_order_relaxed);
    t.release(index_of(h));
  }
  int open() {
    guarded *o;
    int h = t.allocate(&o);
    if (h < 0) return h;
    o->life.write(h);
    t.publish(h);
    return h;
  }
  int close(int h) {
    int error = t.close(h);
    if (error) return error;
    check(t.at(index_of(h))->life.read() == h, "closed in its own life");
    put(h);
    return 0;
  }
  void put(int h) {
    if (t.put(index_of(h))) end(h);
  }
  int use(int h) {
    guarded *o;
    int error = t.get(h, &o);
    if (error) return error;
    check(o->life.read() == h, "a handle gives its own life only");
    put(h);
    return 0;
  }
};

// Users and closers of one handle.
template<int Users, int Closers> struct last_reference : world {
  static constexpr int threads = Users + Closers;
  int closed = 0;
  last_reference() { check(open() == 0, "the first handle is 0"); }
  void thread(int me) {
    if (me < Users) return (void)use(0);
    closed += close(0) == 0;
    check(use(0) == -EBADF, "closed for whoever saw it closed");
  }
  void finish() { check(closed == 1 && ends.load(std::memory_order_relaxed) == 1, "closed once, ended once"); }
};

// Somebody guesses a handle that is just being opened, and gets, looks, or closes.
struct guess : world {
  static constexpr int threads = 4;
  void thread(int me) {
    if (me == 0)
      check(open() == 0, "the first handle is 0");
    else if (me == 1)
      use(0);
    else if (me == 2)
      close(0);
    else {
      guarded *o = t.peek(0);
      if (o && me == 3) check(t.at(0) == o, "the object of the slot");
    }
  }
  void finish() {}
};
struct guess_by_peek : world {
  static constexpr int threads = 2;
  void thread(int me) {
    if (me == 0)
      open();
    else if (guarded *o = t.peek(0))
      check(o->life.read() == 0, "published before it is seen");
  }
  void finish() {}
};
struct walk : world {
  static constexpr int threads = 3;
  void thread(int me) {
    if (me < 2) return (void)open();
    int n = static_cast<int>(t.high_water());
    for (int i = 0; i < n; ++i) {
      check(t.at(i), "below the high water all blocks are there");
      check(t.handle_of(i) == i, "first life");
    }
  }
  void finish() {}
};

// Slots go round: what was a handle once is used while others close it and open new ones in its place.
template<int Openers> struct recycling : world {
  static constexpr int threads = Openers + 1;
  int old = 0;
  recycling() {
    int h[3];
    for (int &x : h) x = open();
    for (int x : h) close(x); // two of them wait now, and are taken first
    old = open();
  }
  void thread(int me) {
    if (me == Openers) {
      use(old);
      return (void)use(old);
    }
    if (me == 0) close(old);
    int h = open();
    check(h >= 0, "there is room");
    check(use(h) == 0 && close(h) == 0 && use(h) == -EBADF, "open until closed");
  }
  void finish() {}
};

// The memory of a block is given back while another thread takes one of its slots, or has just left one.
struct giving_back : world {
  static constexpr int threads = 2;
  giving_back() {
    for (int i = 0; i < 6; ++i) check(open() == i, "fresh");
    close(4);
    close(0); // stays behind in the queue
  }
  void thread(int me) {
    if (me == 0) return (void)close(5);
    int h = open(); // 4, if its memory is there
    check(h == -ENFILE || (use(h) == 0 && close(h) == 0), "open until closed");
  }
  void finish() { check(use(1) == 0, "untouched"); }
};
struct both_leave : world {
  static constexpr int threads = 2;
  both_leave() {
    for (int i = 0; i < 6; ++i) check(open() == i, "fresh");
  }
  void thread(int me) { close(4 + me); }
  void finish() { check(ends.load(std::memory_order_relaxed) == 2, "both have ended"); }
};

void the_last_reference_ends_a_slot_once(void **) {
  holds<last_reference<1, 1>>("user_closer", {.preemptions = 4});
  holds<last_reference<1, 2>>("user_two_closers", {.preemptions = 3});
  holds<last_reference<2, 1>>("two_users_closer", {.preemptions = 3});
  holds<last_reference<1, 1>>("user_closer_weak", {.preemptions = 2, .stale = 2});
}

void a_slot_is_seen_whole_or_not_at_all(void **) {
  holds<guess>("guess", {.preemptions = 1, .stale = 1});
  holds<guess_by_peek>("guess_by_peek", {.preemptions = 2, .stale = 1});
  holds<walk>("walk", {.preemptions = 2, .stale = 1});
}

void a_stale_handle_never_gives_another_object(void **) {
  holds<recycling<1>>("recycling", {.preemptions = 3});
  holds<recycling<2>>("recycling_by_two", {.preemptions = 2});
  holds<recycling<1>>("recycling_weak", {.preemptions = 2, .stale = 1});
}

void memory_is_not_given_back_under_an_object(void **) {
  holds<giving_back>("giving_back", {.preemptions = 3});
  holds<giving_back>("giving_back_weak", {.preemptions = 2, .stale = 1});
  holds<both_leave>("both_leave", {.preemptions = 3, .stale = 1});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_last_reference_ends_a_slot_once),
      cmocka_unit_test(a_slot_is_seen_whole_or_not_at_all),
      cmocka_unit_test(a_stale_handle_never_gives_another_object),
      cmocka_unit_test(memory_is_not_given_back_under_an_object),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
