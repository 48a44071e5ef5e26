// SPDX-License-Identifier: BSD-2-Clause
// The byte stream in all interleavings of small scenarios: records whole, once, in order, never in another stream's
// chunk.
#include "byte_stream.hh"

#include <map>
#include <vector>

#include "interleave_cmocka.hh"

namespace {

using namespace interleave;
using chunk = ef::stream_chunk<interleave::atomic>;

constexpr std::uint32_t chunks = 3, capacity = 4, records = 2;

// Chunks of four bytes or two records. Free ones are bits of one word. What is in them is told apart by `mark`, so that
// an access that is not ordered is seen as a race. Nobody owns a chunk here: owner_store is a matter of the processor,
// not of interleaving.
struct tiny_pool {
  chunk made[chunks + 1];
  interleave::atomic<std::uint64_t> slots[chunks + 1][records];
  data<int> mark[chunks + 1][capacity];
  unsigned char bytes[chunks + 1][capacity];
  interleave::atomic<unsigned> free{((1u << chunks) - 1) << 1};

  tiny_pool() {
    for (std::uint32_t i = 1; i <= chunks; ++i) {
      made[i].index = i;
      made[i].bytes_max = capacity;
      made[i].records_max = records;
      made[i].data = bytes[i];
      made[i].slots = slots[i];
    }
  }
  chunk *take() {
    unsigned f = free.load(std::memory_order_relaxed);
    while (f) {
      unsigned lowest = f & -f;
      if (free.compare_exchange_strong(f, f & ~lowest, std::memory_order_acquire, std::memory_order_relaxed))
        return &made[__builtin_ctz(lowest)];
    }
    return nullptr;
  }
  chunk *at(std::uint32_t i) { return &made[i]; }
  data<int> &mark_of(const unsigned char *byte) {
    auto offset = static_cast<std::size_t>(byte - &bytes[0][0]);
    return mark[offset / capacity][offset % capacity];
  }
  void give(chunk *c) {
    check(!(free.fetch_or(1u << c->index, std::memory_order_release) & 1u << c->index), "given back once");
  }
  void contended() {}
  static std::uint64_t self() { return 1; }
  static bool owner_store(interleave::atomic<std::uint64_t> &, std::uint64_t, std::uint64_t) { return false; }
  static void barrier() {}
};

using stream = ef::byte_stream<tiny_pool, interleave::atomic>;

enum class put { taken, full, closed };

// What write_stream does: reserve in the tail, else fill a chunk and append it. Records of two equal marks.
put write(tiny_pool &pool, stream &s, int value) {
  chunk *spare = nullptr;
  put result = put::taken;
  for (;;) {
    std::uint64_t t = s.tail();
    stream::reservation r;
    if (s.reserve(pool, t, 2, &r)) {
      pool.mark_of(r.data).write(value);
      pool.mark_of(r.data + 1).write(value);
      stream::ops::commit(r);
      break;
    }
    stream::room room = s.look(pool, t, 2);
    if (room == stream::room::retry) continue;
    if (room == stream::room::closed) {
      result = put::closed;
      break;
    }
    if (!spare && !(spare = pool.take())) return put::full;
    pool.mark[spare->index][0].write(value);
    pool.mark[spare->index][1].write(value);
    ef::chunk_begin(*spare, 2, -1);
    stream::outcome o = s.append(pool, t, spare, spare);
    if (o == stream::outcome::done) return put::taken;
    if (o == stream::outcome::closed) {
      result = put::closed;
      break;
    }
  }
  if (spare) pool.give(spare);
  return result;
}

// One turn of a consumer: `most` bytes at most, then the chunk goes back if nothing follows.
void flush(tiny_pool &pool, stream &s, std::vector<int> &out, std::size_t most) {
  iovec iov[4];
  std::int64_t base;
  int n = s.gather(pool, iov, 4, most, &base);
  std::size_t total = 0;
  for (int i = 0; i < n; ++i) {
    auto *p = static_cast<unsigned char *>(iov[i].iov_base);
    for (std::size_t k = 0; k < iov[i].iov_len; ++k) out.push_back(pool.mark_of(p + k).read());
    total += iov[i].iov_len;
  }
  s.consume(pool, total);
  s.detach(pool);
}

// Values of writer w are 10 w + 1, 10 w + 2, ...: each taken one twice in a row, once, and in the writer's order.
void check_records(const std::vector<int> &out, const std::vector<int> &taken) {
  std::map<int, int> last;
  check(out.size() == 2 * taken.size(), "as many bytes as were taken");
  for (std::size_t i = 0; i + 1 < out.size(); i += 2) {
    check(out[i] == out[i + 1], "records are whole");
    check(last[out[i] / 10] < out[i], "in the order of each writer");
    last[out[i] / 10] = out[i];
  }
}

template<int Writers, int Each, bool Flushes> struct writers {
  static constexpr int threads = Writers + Flushes;
  tiny_pool pool;
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
    check(pool.free.load(std::memory_order_relaxed) == 0xe, "every chunk is back");
  }
};

// A writer against the close: what was taken comes out, nothing is taken afterwards.
struct closing {
  static constexpr int threads = 2;
  tiny_pool pool;
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
    check(s.empty() && pool.free.load(std::memory_order_relaxed) == 0xe, "every chunk is back");
  }
};

// A writer that read the tail of one stream long ago, while its chunks went on to another: nothing of it lands there.
struct strangers {
  static constexpr int threads = 2;
  tiny_pool pool;
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
    check(pool.free.load(std::memory_order_relaxed) == 0xe, "every chunk is back");
  }
};

// The flag that somebody will flush: lowered, then the stream looked at; a writer looks at it after reserving.
struct raised_flag {
  static constexpr int threads = 2;
  tiny_pool pool;
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
  holds<writers<2, 2, true>>("two_writers_flush", {.preemptions = 2, .stale = 0});
}
void two_writers_on_weak_memory(void **) {
  holds<writers<2, 2, false>>("two_writers_weak", {.preemptions = 2, .stale = 1});
}
void a_writer_and_a_flusher_on_weak_memory(void **) {
  holds<writers<1, 4, true>>("writer_flush_weak", {.preemptions = 2, .stale = 1});
}
void writing_against_closing(void **) { holds<closing>("closing", {.preemptions = 2, .stale = 1}); }
void a_stale_writer_meets_a_recycled_chunk(void **) { holds<strangers>("strangers", {.preemptions = 3, .stale = 1}); }
void the_flag_is_raised_by_one_of_the_two(void **) {
  holds<raised_flag>("raised_flag", {.preemptions = 2, .stale = 1});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(one_thread_gets_its_bytes_back),
      cmocka_unit_test(two_writers_and_a_flusher),
      cmocka_unit_test(two_writers_on_weak_memory),
      cmocka_unit_test(a_writer_and_a_flusher_on_weak_memory),
      cmocka_unit_test(writing_against_closing),
      cmocka_unit_test(a_stale_writer_meets_a_recycled_chunk),
      cmocka_unit_test(the_flag_is_raised_by_one_of_the_two),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
