// SPDX-License-Identifier: BSD-2-Clause
// Where calls end, asked while others append: in all interleavings the answers are the ends of whole calls, also behind
// what the consumer has gathered, and in chunks that carried on a call in an earlier life.
#include "call_ends.hh"
#include "tiny_stream.hh"

#include "interleave_cmocka.hh"

namespace {

using namespace tiny;
using ends = ef::call_ends<tiny::pool, interleave::atomic>;

constexpr int long_call = 99; // its value; its bytes fill a chunk and begin another one
constexpr std::uint32_t long_bytes = 6, chunk_bytes = 4;
std::size_t bytes_of(int value) { return value == long_call ? long_bytes : 2; }

// As write_stream does: a chain linked by one swap.
bool write_long(tiny::pool &pool, stream &s) {
  chunk *first = pool.take(), *second = first ? pool.take() : nullptr;
  if (!second) {
    if (first) pool.give(first);
    return false;
  }
  for (std::uint32_t i = 0; i < long_bytes; ++i)
    pool.mark[i < chunk_bytes ? first->index : second->index][i % chunk_bytes].write(long_call);
  ef::chunk_begin(*first, chunk_bytes, -1);
  ef::chunk_begin(*second, long_bytes - chunk_bytes, ef::same_call);
  ef::chunk_link(*first, *second);
  stream::outcome o;
  while ((o = s.append(pool, s.tail(), first, second)) == stream::outcome::retry) {}
  return o == stream::outcome::done;
}

// Knows from the bytes themselves where calls end.
struct reader {
  std::size_t begun = 0; // bytes of the first call that are consumed

  void turn(tiny::pool &pool, stream &s, std::size_t most, bool whole) {
    iovec iov[4];
    std::int64_t base;
    std::vector<int> there;
    const int n = s.gather(pool, iov, 4, most, &base);
    for (int i = 0; i < n; ++i)
      for (std::size_t k = 0; k < iov[i].iov_len; ++k)
        there.push_back(pool.mark_of(static_cast<unsigned char *>(iov[i].iov_base) + k).read());
    const std::size_t first = there.empty() ? 0 : bytes_of(there[0]) - begun;
    std::size_t last = 0;
    for (std::size_t end = first; end > 0 && end <= there.size();) {
      last = end;
      end += end < there.size() ? bytes_of(there[end]) : chunks * chunk_bytes;
    }
    check(ends::last(pool, s.front(), there.size()) == last, "the last end within what was gathered");
    check(ends::between(s.front()) == (begun == 0), "between two calls");
    if (!there.empty()) check(ends::first(pool, s.front()) == first, "all of the first call, and no more");
    const std::size_t done = whole ? last : there.size();
    s.consume(pool, done);
    for (std::size_t i = 0; i < done; ++i) begun = begun + 1 == bytes_of(there[i]) ? 0 : begun + 1;
    s.detach(pool);
  }
};

// Every chunk but the first has carried on a call once. Long: the writer has a long call among its short ones.
template<bool Long, int Begun> struct asked {
  static constexpr int threads = 2;
  tiny::pool pool;
  stream s;
  reader r;

  asked() {
    s.reset();
    for (chunk &c : pool.made) c.base.store(ef::same_call, std::memory_order_relaxed);
    for (int i = 0; i < Begun; ++i) write(pool, s, i);
  }
  void thread(int me) {
    if (me == 0) {
      write(pool, s, 10);
      if (Long) write_long(pool, s);
      write(pool, s, 11);
      return;
    }
    r.turn(pool, s, 3, false); // perhaps in the middle of a call
    r.turn(pool, s, 100, true);
  }
  void finish() {
    for (int i = 0; i < 4; ++i) r.turn(pool, s, 100, i % 2);
    check(s.empty() && r.begun == 0, "nothing is left");
    check(pool.free.load(std::memory_order_relaxed) == all_free, "every chunk is back");
  }
};

void short_calls_end_where_they_do(void **) {
  holds<asked<false, 0>>("short", {.preemptions = 3, .stale = 1});
  holds<asked<false, 2>>("short_behind_a_full_chunk", {.preemptions = 3, .stale = 1});
}
void a_long_call_is_one(void **) {
  holds<asked<true, 0>>("long", {.preemptions = 3, .stale = 1});
  holds<asked<true, 1>>("long_behind_a_short_one", {.preemptions = 2, .stale = 1});
}

} // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(short_calls_end_where_they_do),
      cmocka_unit_test(a_long_call_is_one),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
