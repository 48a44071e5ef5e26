// SPDX-License-Identifier: BSD-2-Clause
// Chunks with an owner, who stores where others swap, in all interleavings: no record lost or doubled, whoever takes
// the ownership away, whenever.
#include "owned_chunk.hh"
#include "tiny_stream.hh"

#include "interleave_cmocka.hh"

namespace {

using namespace tiny;

enum class place : char { outside, comparing, undone, storing };

// owner_store in two steps, between which others may come. The barrier makes a sequence start over that has compared
// and not stored, lets one that stores end, and makes what was done before known to all.
struct owner_pool : basic_pool<7, 3> {
  static inline place where[interleave::threads_max];
  int taken_away = 0;

  owner_pool() { std::fill(where, where + interleave::threads_max, place::outside); }
  static std::uint64_t self() { return static_cast<std::uint64_t>(engine::the().self()) + 1; }
  static bool owner_store(interleave::atomic<std::uint64_t> &word, std::uint64_t expected, std::uint64_t desired) {
    place &mine = where[engine::the().self()];
    mine = place::comparing;
    bool same = word.load(std::memory_order_relaxed) == expected;
    if (same && mine != place::undone) {
      mine = place::storing;
      word.store(desired, std::memory_order_relaxed);
    } else {
      same = false;
    }
    mine = place::outside;
    return same;
  }
  static void barrier() {
    for (place &p : where) {
      if (p == place::comparing) p = place::undone;
      while (p == place::storing) yield();
    }
    engine::the().meet();
  }
  void contended() { ++taken_away; }
};

using owned = ef::owned_chunk<owner_pool, interleave::atomic>;
using owner_stream = stream_of<owner_pool>;

// A thread that writes as the library does: first into the chunk it remembers, then in the common way, owning what it
// takes.
struct owning_writer {
  owned mine;
  std::vector<int> taken;

  void write_one(owner_pool &pool, owner_stream &s, int value) {
    owner_stream::reservation r;
    if (mine.reserve(2, &r)) {
      pool.mark_of(r.data).write(value);
      pool.mark_of(r.data + 1).write(value);
      owner_stream::ops::commit(r);
      taken.push_back(value);
      return;
    }
    written in{};
    if (write(pool, s, value, owner_pool::self(), &in) != put::taken) return;
    taken.push_back(value);
    mine.remember(in.chunk, in.generation);
  }
};

template<int Writers, int Each, bool Flushes> struct owners {
  static constexpr int threads = Writers + Flushes;
  owner_pool pool;
  owner_stream s;
  owning_writer of[Writers];
  std::vector<int> out;

  owners() { s.reset(); }
  void thread(int me) {
    if (me == Writers) {
      flush(pool, s, out, 3);
      flush(pool, s, out, 100);
      return;
    }
    for (int i = 1; i <= Each; ++i) of[me].write_one(pool, s, 10 * me + i);
  }
  void finish() {
    std::vector<int> all;
    for (auto &w : of) all.insert(all.end(), w.taken.begin(), w.taken.end());
    check(s.accepted(pool) == 2 * all.size(), "accepted counts what was taken");
    for (int i = 0; i < 4; ++i) flush(pool, s, out, 100);
    check_records(out, all);
    check(s.empty() && pool.free.load(std::memory_order_relaxed) == all_free, "every chunk is back");
  }
};

// What a writer remembers of a chunk is worth nothing once the stream was closed, or the chunk has gone on to another
// owner, also where that is the same thread.
struct remembered {
  static constexpr int threads = 2;
  owner_pool pool;
  owner_stream a, b;
  owning_writer in_a, in_b;
  std::vector<int> out_a, out_b;

  remembered() {
    a.reset();
    b.reset();
  }
  void thread(int me) {
    if (me == 0) {
      for (int v : {1, 2, 3}) in_a.write_one(pool, a, v);
      return;
    }
    a.close(pool);
    flush(pool, a, out_a, 100);
    for (int v : {21, 22}) in_b.write_one(pool, b, v);
  }
  void finish() {
    check(write(pool, a, 9) == put::closed, "closed is closed");
    for (int i = 0; i < 3; ++i) {
      flush(pool, a, out_a, 100);
      flush(pool, b, out_b, 100);
    }
    check_records(out_a, in_a.taken);
    check_records(out_b, in_b.taken);
    check(pool.free.load(std::memory_order_relaxed) == all_free, "every chunk is back");
  }
};

// Without a barrier a store that began before would come after the take-over: the check of the checker.
struct no_barrier_pool : owner_pool {
  static void barrier() {}
};
struct no_barrier {
  static constexpr int threads = 2;
  no_barrier_pool pool;
  stream_of<no_barrier_pool> s;
  int taken[2] = {};
  std::vector<int> out;

  no_barrier() { s.reset(); }
  void thread(int me) {
    for (int i = 1; i <= 2; ++i) taken[me] += write(pool, s, 10 * me + i, owner_pool::self()) == put::taken;
  }
  void finish() {
    for (int i = 0; i < 4; ++i) flush(pool, s, out, 100);
    check(out.size() == static_cast<std::size_t>(2 * (taken[0] + taken[1])), "as many bytes as were taken");
  }
};

void an_owner_and_another_writer(void **) {
  holds<owners<2, 3, false>>("owners", {.preemptions = 3, .stale = 0});
  holds<owners<2, 3, false>>("owners_weak", {.preemptions = 2, .stale = 2});
}
void an_owner_and_a_flusher(void **) { holds<owners<1, 4, true>>("owner_flush", {.preemptions = 3, .stale = 1}); }
void several_take_the_ownership_away(void **) { holds<owners<3, 2, false>>("three", {.preemptions = 2, .stale = 1}); }
void two_writers_and_a_flusher(void **) { holds<owners<2, 2, true>>("owners_flush", {.preemptions = 3, .stale = 0}); }
void what_is_remembered_ends_with_the_chunk(void **) {
  holds<remembered>("remembered", {.preemptions = 3, .stale = 1});
}
void a_take_over_without_the_barrier_is_found(void **) {
  breaks<no_barrier>("no_barrier", {.preemptions = 2, .stale = 0});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(an_owner_and_another_writer),
      cmocka_unit_test(an_owner_and_a_flusher),
      cmocka_unit_test(several_take_the_ownership_away),
      cmocka_unit_test(two_writers_and_a_flusher),
      cmocka_unit_test(what_is_remembered_ends_with_the_chunk),
      cmocka_unit_test(a_take_over_without_the_barrier_is_found),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
