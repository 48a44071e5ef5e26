// SPDX-License-Identifier: BSD-2-Clause
// The slot table: the life of a handle, one call after the other.
#include "slot_table.hh"

#include <set>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <csetjmp>
#include <cstdarg>
#include <cstddef>

extern "C" {
#include <cmocka.h>
}

namespace {

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
  static constexpr std::uint32_t slots_max = 16, block_slots = 4, reuse_after = 1, discard_after = 1;
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

struct patient : few {
  static constexpr std::uint32_t discard_after = 3;
};

void memory_is_not_given_back_for_every_single_life(void **) {
  ef::slot_table<object, std::atomic, patient> t;
  std::vector<int> handles;
  for (int i = 0; i < 16; ++i) handles.push_back(open_one(t));
  few::discarded.clear();
  for (int h : handles) close_one(t, h);
  assert_int_equal(few::discarded.size(), 3); // all but the first block
  for (int life = 0; life < 160; ++life) close_one(t, open_one(t));
  assert_in_range(few::discarded.size(), 40, 43); // three of four lives are in the other blocks; one discard for three
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
    if (current == i)
      assert_int_equal(t.get(i, &o), closed ? -EBADF : -ECHILD);
    else
      assert_int_equal(t.get(i, &o), -EBADF);
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
    _exit(opened == 16 - 4 - 1 - 1
              ? 0
              : 1); // without the inherited, the one whose release was cut off, the one left behind
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
      cmocka_unit_test(memory_is_not_given_back_for_every_single_life),
      cmocka_unit_test(a_fork_child_answers_echild_and_opens_anew),
      cmocka_unit_test(a_fork_amid_a_discard_leaves_no_slot_unusable),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
