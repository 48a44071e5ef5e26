// SPDX-License-Identifier: BSD-2-Clause
// The slot table and its queue of free indices: the life of a handle, and all interleavings of small scenarios, also on
// weak memory.
#include "interleave_history.hh"
#include "slot_table.hh"

#include <set>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;

// ---- One thread

struct object {
  std::atomic<int> number;
};
using table = ef::slot_table<object>;
constinit table early; // ready before any code runs

constexpr int index_of(int handle) { return handle & 0xfffff; }

template<class Table> int open_one(Table &t) {
  object *o;
  int h = t.allocate(&o);
  if (h < 0) return h;
  o->number.store(h, std::memory_order_relaxed);
  t.publish(h);
  return h;
}
template<class Table> void close_one(Table &t, int h) {
  assert_int_equal(t.close(h), 0);
  assert_true(t.put(index_of(h)));
  t.release(index_of(h));
}

void a_fresh_table_counts_from_zero(void **) {
  table &t = early;
  for (int i = 0; i < 1000; ++i) assert_int_equal(open_one(t), i);
  assert_int_equal(t.high_water(), 1000);
  for (int i = 0; i < 1000; ++i) {
    object *o;
    assert_int_equal(t.get(i, &o), 0);
    assert_int_equal(o->number, i);
    assert_ptr_equal(t.peek(i), o);
    assert_ptr_equal(t.at(i), o);
    assert_int_equal(t.handle_of(i), i);
    assert_false(t.put(i));
  }
}

void what_is_no_handle_answers_ebadf(void **) {
  table t;
  object *o;
  open_one(t);
  for (int h : {-1, -2, INT32_MIN, INT32_MAX, 1, 255, 256, 0xfffff, 1 << 20}) {
    assert_int_equal(t.get(h, &o), -EBADF);
    assert_int_equal(t.close(h), -EBADF);
    assert_null(t.peek(h));
    assert_false(t.valid(h));
  }
}

void an_unpublished_slot_is_not_there(void **) {
  table t;
  object *o, *p;
  int h = t.allocate(&o);
  assert_int_equal(t.get(h, &p), -EBADF);
  assert_int_equal(t.close(h), -EBADF);
  assert_null(t.peek(h));
  t.release(index_of(h)); // the open failed
  assert_int_equal(t.get(h, &p), -EBADF);
  h = t.allocate(&o);
  assert_int_equal(h, 1);
  t.publish(h);
  assert_int_equal(t.get(h, &p), 0);
}

void a_slot_lives_until_the_last_reference(void **) {
  table t;
  object *o;
  int h = open_one(t);
  assert_int_equal(t.get(h, &o), 0);
  t.add_reference(index_of(h));
  assert_int_equal(t.close(h), 0);
  assert_int_equal(t.close(h), -EBADF);
  assert_int_equal(t.get(h, &o), -EBADF);
  assert_null(t.peek(h));
  assert_false(t.put(index_of(h)));
  assert_false(t.put(index_of(h)));
  assert_true(t.put(index_of(h)));
  t.release(index_of(h));
  assert_int_equal(t.get(h, &o), -EBADF);
}

void slots_are_used_again_in_order_after_64_of_them_wait(void **) {
  table t;
  std::vector<int> last(100, -1); // life of an index
  for (int life = 0; life < 1000; ++life) {
    int h = open_one(t), i = index_of(h);
    assert_true(last[i] < 0 || life - last[i] >= 64);
    if (life > 200) assert_int_equal(life - last[i], t.high_water()); // round and round
    last[i] = life;
    close_one(t, h);
  }
  assert_in_range(t.high_water(), 64, 66);
}

struct few : ef::slot_table_limits {
  static constexpr std::uint32_t slots_max = 16, block_slots = 4, reuse_after = 1;
  static inline std::vector<void *> discarded;
  static void discard(void *memory, std::size_t bytes) noexcept {
    discarded.push_back(memory);
    ef::slot_table_limits::discard(memory, bytes);
  }
};

void a_full_table_answers_enfile_until_a_slot_is_free(void **) {
  ef::slot_table<object, std::atomic, few> t;
  object *o;
  std::vector<int> handles;
  for (int i = 0; i < 16; ++i) handles.push_back(open_one(t));
  assert_int_equal(t.allocate(&o), -ENFILE);
  for (int i : {5, 6}) close_one(t, handles[i]); // one index stays behind in the queue
  int h = open_one(t);
  assert_int_equal(h, 1 << 20 | 5);
  assert_int_equal(t.allocate(&o), -ENFILE);
}

void a_number_comes_back_after_2048_lives(void **) {
  ef::slot_table<object, std::atomic, few> t;
  object *o;
  close_one(t, open_one(t));
  int h = open_one(t);
  close_one(t, h);
  std::set<int> seen{h};
  for (;;) {
    int next = open_one(t);
    assert_int_equal(t.get(h, &o), next == h ? 0 : -EBADF);
    if (next == h) break;
    assert_true(seen.insert(next).second);
    close_one(t, next);
  }
  assert_true(seen.size() >= 2048);
}

struct poor : few {
  static inline bool has_memory;
  static void *obtain(std::size_t bytes) noexcept { return has_memory ? few::obtain(bytes) : nullptr; }
};

void want_of_memory_is_an_answer(void **) {
  ef::slot_table<object, std::atomic, poor> t;
  object *o;
  poor::has_memory = false;
  assert_int_equal(t.allocate(&o), -ENOMEM);
  poor::has_memory = true;
  for (int i = 0; i < 4; ++i) assert_int_equal(open_one(t), i);
  poor::has_memory = false;
  assert_int_equal(t.allocate(&o), -ENOMEM);
  for (int i : {1, 2}) close_one(t, i);
  assert_int_equal(open_one(t), 1 << 20 | 1);
}

void memory_of_unused_blocks_is_given_back(void **) {
  ef::slot_table<object, std::atomic, few> t;
  few::discarded.clear();
  std::vector<int> handles;
  for (int i = 0; i < 10; ++i) handles.push_back(open_one(t)); // two full blocks, a third begun
  for (int h : handles) close_one(t, h);
  assert_int_equal(few::discarded.size(), 1); // not the first, nor the one that is being used up
  assert_ptr_equal(few::discarded[0], t.at(4));
  for (int i = 4; i < 8; ++i) assert_int_equal(t.at(i)->number, 0);
  for (int i = 0; i < 4; ++i) assert_int_equal(t.at(i)->number, i);
}

void a_fork_child_answers_echild_and_opens_anew(void **) {
  table t;
  object *o;
  for (int i = 0; i < 300; ++i) open_one(t);
  for (int i = 100; i < 200; ++i) close_one(t, i);
  int fresh = t.allocate(&o);
  t.mark_inherited();
  for (int i = 0; i < 300; ++i) {
    bool closed = i >= 100 && i < 200;
    int current = t.handle_of(i);
    if (current == i) assert_int_equal(t.get(i, &o), closed ? -EBADF : -ECHILD);
    else assert_int_equal(t.get(i, &o), -EBADF);
    assert_int_equal(t.close(i), closed ? -EBADF : -ECHILD);
    assert_null(t.peek(i));
    assert_false(t.valid(i));
  }
  assert_int_equal(t.get(fresh, &o), -ECHILD);
  for (int i = 0; i < 1000; ++i) {
    int h = open_one(t);
    assert_true(h >= 0 && h != fresh && (index_of(h) >= 300 || (index_of(h) >= 100 && index_of(h) < 200)));
    assert_int_equal(t.get(h, &o), 0);
  }
}

struct forking : few {
  static inline ef::slot_table<object, std::atomic, forking> *t;
  static inline pid_t child;
  static void discard(void *, std::size_t) noexcept {
    if ((child = fork())) return;
    t->mark_inherited(); // the thread that was about to finish the discard is not here
    int opened = 0;
    while (open_one(*t) >= 0) ++opened;
    _exit(opened == 16 - 4 - 1 - 1 ? 0 : 1); // without the inherited, the one whose release was cut off, the one left behind
  }
};

void a_fork_amid_a_discard_leaves_no_slot_unusable(void **) {
  ef::slot_table<object, std::atomic, forking> t;
  forking::t = &t;
  for (int i = 0; i < 9; ++i) open_one(t);
  close_one(t, 8); // its block is in use no more, but is not used up: no discard
  for (int i = 4; i < 8; ++i) close_one(t, i);
  int status;
  assert_int_equal(waitpid(forking::child, &status, 0), forking::child);
  assert_int_equal(status, 0);
}

// ---- All interleavings

// What lies behind a slot: the handle of its life, not atomic, so that whoever comes too early or late is found.
struct guarded {
  data<int> life;
};
struct tiny : ef::slot_table_limits {
  static constexpr std::uint32_t slots_max = 6, block_slots = 2, reuse_after = 1;
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
    if (me == 0) check(open() == 0, "the first handle is 0");
    else if (me == 1) use(0);
    else if (me == 2) close(0);
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
    if (me == 0) open();
    else if (guarded *o = t.peek(0)) check(o->life.read() == 0, "published before it is seen");
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
  holds<last_reference<2, 1>>("two_users_closer", {.preemptions = 2});
  holds<last_reference<1, 1>>("user_closer_weak", {.preemptions = 2, .stale = 2});
}

void a_slot_is_seen_whole_or_not_at_all(void **) {
  holds<guess>("guess", {.preemptions = 1, .stale = 1});
  holds<guess_by_peek>("guess_by_peek", {.preemptions = 2, .stale = 1});
  holds<walk>("walk", {.preemptions = 2, .stale = 1});
}

void a_stale_handle_never_gives_another_object(void **) {
  holds<recycling<1>>("recycling", {.preemptions = 3});
  holds<recycling<2>>("recycling_by_two", {.preemptions = 1});
  holds<recycling<1>>("recycling_weak", {.preemptions = 1, .stale = 1});
}

void memory_is_not_given_back_under_an_object(void **) {
  holds<giving_back>("giving_back", {.preemptions = 3});
  holds<giving_back>("giving_back_weak", {.preemptions = 2, .stale = 1});
  holds<both_leave>("both_leave", {.preemptions = 3, .stale = 1});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_fresh_table_counts_from_zero),
      cmocka_unit_test(what_is_no_handle_answers_ebadf),
      cmocka_unit_test(an_unpublished_slot_is_not_there),
      cmocka_unit_test(a_slot_lives_until_the_last_reference),
      cmocka_unit_test(slots_are_used_again_in_order_after_64_of_them_wait),
      cmocka_unit_test(a_full_table_answers_enfile_until_a_slot_is_free),
      cmocka_unit_test(want_of_memory_is_an_answer),
      cmocka_unit_test(a_number_comes_back_after_2048_lives),
      cmocka_unit_test(memory_of_unused_blocks_is_given_back),
      cmocka_unit_test(a_fork_child_answers_echild_and_opens_anew),
      cmocka_unit_test(a_fork_amid_a_discard_leaves_no_slot_unusable),
      cmocka_unit_test(the_last_reference_ends_a_slot_once),
      cmocka_unit_test(a_slot_is_seen_whole_or_not_at_all),
      cmocka_unit_test(a_stale_handle_never_gives_another_object),
      cmocka_unit_test(memory_is_not_given_back_under_an_object),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
