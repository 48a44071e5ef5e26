// SPDX-License-Identifier: BSD-2-Clause
// The byte stream in all interleavings of small scenarios: records whole, once, in order, never in another stream's
// chunk.
#include "tiny_stream.hh"

#include "interleave_cmocka.hh"

namespace {

using namespace tiny;

template<int Writers, int Each, bool Flushes> struct writers {
  static constexpr int threads = Writers + Flushes;
  tiny::pool pool;
  stream s;
  std::vector<int> taken[Writers], out;

  writers() { s.reset(); }
  void thread(int me) {
    if (me == Writers) {
      flush(pool, s, out, 3); // in the middle of a record
      flush(pool, s, out, 100);
      return;
    }
    for (int i = 1; i <= Each; ++i)
      if (write(pool, s, 10 * me + i) == put::taken) taken[me].push_back(10 * me + i);
  }
  void finish() {
    std::vector<int> all;
    for (auto &t : taken) all.insert(all.end(), t.begin(), t.end());
    check(s.accepted(pool) == 2 * all.size(), "accepted counts what was taken");
    for (int i = 0; i < 4; ++i) flush(pool, s, out, 100);
    check_records(out, all);
    check(s.empty() && s.consumed() == 2 * all.size(), "nothing is left");
    check(pool.free.load(std::memory_order_relaxed) == all_free, "every chunk is back");
  }
};

// A writer against the close: what was taken comes out, nothing is taken afterwards.
struct closing {
  static constexpr int threads = 2;
  tiny::pool pool;
  stream s;
  std::vector<int> taken, out;

  closing() {
    s.reset();
    write(pool, s, 1);
    taken.push_back(1);
  }
  void thread(int me) {
    if (me == 1) return s.close(pool);
    for (int v : {2, 3})
      if (write(pool, s, v) == put::taken) taken.push_back(v);
  }
  void finish() {
    check(write(pool, s, 9) == put::closed, "closed is closed");
    for (int i = 0; i < 4; ++i) flush(pool, s, out, 100);
    check_records(out, taken);
    check(s.empty() && pool.free.load(std::memory_order_relaxed) == all_free, "every chunk is back");
  }
};

// A writer that read the tail of one stream long ago, while its chunks went on to another: nothing of it lands there.
struct strangers {
  static constexpr int threads = 2;
  tiny::pool pool;
  stream a, b;
  std::vector<int> in_a, in_b, out_a, out_b;

  strangers() {
    a.reset();
    b.reset();
  }
  void thread(int me) {
    if (me == 0) {
      for (int v : {1, 2})
        if (write(pool, a, v) == put::taken) in_a.push_back(v);
      return;
    }
    flush(pool, a, out_a, 100); // may give a's chunk back
    if (write(pool, b, 21) == put::taken) in_b.push_back(21);
  }
  void finish() {
    for (int i = 0; i < 3; ++i) {
      flush(pool, a, out_a, 100);
      flush(pool, b, out_b, 100);
    }
    check_records(out_a, in_a);
    check_records(out_b, in_b);
    check(pool.free.load(std::memory_order_relaxed) == all_free, "every chunk is back");
  }
};

// The flag that somebody will flush: lowered, then the stream looked at; a writer looks at it after reserving.
struct raised_flag {
  static constexpr int threads = 2;
  tiny::pool pool;
  stream s;
  interleave::atomic<int> dirty{1};
  bool left_to_writer = false, seen_by_flusher = false, taken = false;
  std::vector<int> out;

  raised_flag() { s.reset(); }
  void thread(int me) {
    if (me == 0) {
      taken = write(pool, s, 1) == put::taken;
      left_to_writer = !dirty.load(std::memory_order_seq_cst);
      return;
    }
    flush(pool, s, out, 100);
    dirty.store(0, std::memory_order_seq_cst);
    seen_by_flusher = !s.empty();
  }
  void finish() {
    check(!taken || left_to_writer || seen_by_flusher || !out.empty(), "somebody flushes");
    flush(pool, s, out, 100);
    check(out.size() == 2, "it comes out");
  }
};

// What the closer did before is visible to whoever is told that the stream is closed, whichever way he learns it.
template<int Before, bool Flushes> struct told_closed {
  static constexpr int threads = 2 + Flushes;
  tiny::pool pool;
  stream s;
  data<int> reason;
  std::vector<int> out;

  told_closed() {
    s.reset();
    for (int i = 1; i <= Before; ++i) write(pool, s, i);
  }
  void thread(int me) {
    if (me == 0) {
      reason.write(1);
      s.close(pool);
    } else if (me == 1) {
      for (int i = 0; i < 2; ++i)
        if (write(pool, s, 10 + i) == put::closed) check(reason.read() == 1, "the reason is known");
    } else {
      flush(pool, s, out, 100);
    }
  }
  void finish() {
    for (int i = 0; i < 4; ++i) flush(pool, s, out, 100);
    check(s.empty() && pool.free.load(std::memory_order_relaxed) == all_free, "every chunk is back");
  }
};

// Counting while the only chunk goes to another stream, far ahead, and while writers append: never what was not there.
struct counted {
  static constexpr int threads = 2;
  tiny::pool pool;
  stream a, b;
  std::vector<int> out;

  counted() {
    a.reset();
    b.reset();
    for (int i = 1; i <= 4; ++i) {
      write(pool, b, i);
      flush(pool, b, out, 100);
    }
    write(pool, a, 1);
  }
  void thread(int me) {
    if (me == 0) return check(a.accepted(pool) == 2, "what was written before");
    flush(pool, a, out, 100);
    write(pool, b, 21);
  }
  void finish() { check(a.accepted(pool) == 2 && b.accepted(pool) == 10, "what was written"); }
};
struct counted_growing {
  static constexpr int threads = 2;
  tiny::pool pool;
  stream s;
  std::vector<int> out;

  counted_growing() { // the next chunk has been at the beginning of the stream before
    s.reset();
    write(pool, s, 1);
    write(pool, s, 2);
    flush(pool, s, out, 100);
  }
  void thread(int me) {
    if (me == 1) {
      for (int i = 3; i <= 6; ++i) write(pool, s, i);
      return;
    }
    for (int i = 0; i < 2; ++i) {
      std::uint64_t n = s.accepted(pool);
      check(n >= 4 && n <= 12 && n % 2 == 0, "whole records, as many as there are");
    }
  }
  void finish() { check(s.accepted(pool) == 12, "what was written"); }
};

// A handle goes to another file: who took the tail of the new one has to see, after that, that the handle is not his.
struct two_lives {
  static constexpr int threads = 2;
  tiny::pool pool;
  stream s;
  interleave::atomic<int> life{1};
  bool again = false;
  std::vector<int> first, second;

  two_lives() {
    s.reset();
    write(pool, s, 1);
  }
  void thread(int me) {
    if (me == 1) {
      life.store(2, std::memory_order_relaxed);
      s.close(pool);
      flush(pool, s, first, 100);
      if (!s.empty()) return; // pinned by a reservation
      again = true;
      s.reset();
      write(pool, s, 21);
      return;
    }
    std::uint64_t t = s.tail();
    stream::reservation r;
    if (life.load(std::memory_order_relaxed) != 1 || !s.reserve(pool, t, 2, &r)) return;
    pool.mark_of(r.data).write(2);
    pool.mark_of(r.data + 1).write(2);
    stream::ops::commit(r);
  }
  void finish() {
    for (int i = 0; i < 3; ++i) flush(pool, s, again ? second : first, 100);
    check(!again || second == std::vector<int>{21, 21}, "nothing of the old handle's");
  }
};

struct alone {
  static constexpr int threads = 1;
  writers<1, 6, true> w;
  void thread(int) {
    for (int i = 1; i <= 6; ++i) {
      if (write(w.pool, w.s, i) == put::taken) w.taken[0].push_back(i);
      flush(w.pool, w.s, w.out, static_cast<std::size_t>(i));
    }
  }
  void finish() { w.finish(); }
};

void one_thread_gets_its_bytes_back(void **) { holds<alone>("alone", {.preemptions = 0, .stale = 0}); }
void two_writers_and_a_flusher(void **) {
  holds<writers<2, 2, true>>("two_writers_flush", {.preemptions = 3, .stale = 0});
}
void two_writers_on_weak_memory(void **) {
  holds<writers<2, 2, false>>("two_writers_weak", {.preemptions = 2, .stale = 2});
}
void a_writer_and_a_flusher_on_weak_memory(void **) {
  holds<writers<1, 4, true>>("writer_flush_weak", {.preemptions = 2, .stale = 2});
}
void three_threads_on_weak_memory(void **) {
  holds<writers<2, 2, true>>("two_writers_flush_weak", {.preemptions = 2, .stale = 1});
}
void writing_against_closing(void **) { holds<closing>("closing", {.preemptions = 3, .stale = 2}); }
void who_is_told_closed_knows_why(void **) {
  holds<told_closed<0, false>>("closed_empty", {.preemptions = 2, .stale = 1});
  holds<told_closed<2, false>>("closed_full", {.preemptions = 2, .stale = 1});
  holds<told_closed<2, true>>("closed_flushed", {.preemptions = 2, .stale = 1});
}
void counting_sees_what_is_there(void **) {
  holds<counted>("counted", {.preemptions = 2, .stale = 3});
  holds<counted_growing>("counted_growing", {.preemptions = 2, .stale = 2});
}
void a_handle_of_two_lives_writes_to_its_own(void **) { holds<two_lives>("two_lives", {.preemptions = 2, .stale = 2}); }
void a_stale_writer_meets_a_recycled_chunk(void **) { holds<strangers>("strangers", {.preemptions = 3, .stale = 2}); }
void the_flag_is_raised_by_one_of_the_two(void **) {
  holds<raised_flag>("raised_flag", {.preemptions = 3, .stale = 2});
}

struct nobody { // as a pool: no chunk is owned
  static std::uint64_t self() { return 1; }
  static bool owner_store(std::atomic<std::uint64_t> &, std::uint64_t, std::uint64_t) { return false; }
  static void barrier() {}
};

// Neither the last byte nor the last record.
void nothing_passes_the_end_of_a_chunk(void **) {
  using ops = ef::chunk_writing<nobody>;
  std::atomic<std::uint64_t> slots[4]{};
  unsigned char bytes[8];
  ef::stream_chunk<std::atomic> c{};
  c.index = 1;
  c.bytes_max = sizeof bytes;
  c.records_max = 4;
  c.data = bytes;
  c.slots = slots;
  ops::reservation r{};
  const auto reserve = [&](std::uint32_t n) {
    const std::uint64_t generation = ef::chunk_word::generation_of(c.state.load(std::memory_order_relaxed));
    return ops::reserve(&c, ef::chunk_word::link(generation, c.index), n, &r);
  };
  ef::chunk_begin(c, 2, -1);
  assert_false(reserve(7));
  assert_true(reserve(6));
  assert_ptr_equal(r.data, bytes + 2);
  assert_int_equal(r.end, 8);
  assert_false(reserve(1));
  ef::chunk_begin(c, 1, -1);
  for (std::uint32_t i = 1; i < 4; ++i) {
    assert_true(reserve(1));
    assert_int_equal(r.record, i);
  }
  assert_false(reserve(1));
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(nothing_passes_the_end_of_a_chunk),
      cmocka_unit_test(one_thread_gets_its_bytes_back),
      cmocka_unit_test(two_writers_and_a_flusher),
      cmocka_unit_test(two_writers_on_weak_memory),
      cmocka_unit_test(a_writer_and_a_flusher_on_weak_memory),
      cmocka_unit_test(three_threads_on_weak_memory),
      cmocka_unit_test(writing_against_closing),
      cmocka_unit_test(who_is_told_closed_knows_why),
      cmocka_unit_test(counting_sees_what_is_there),
      cmocka_unit_test(a_handle_of_two_lives_writes_to_its_own),
      cmocka_unit_test(a_stale_writer_meets_a_recycled_chunk),
      cmocka_unit_test(the_flag_is_raised_by_one_of_the_two),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
