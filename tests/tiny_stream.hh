// SPDX-License-Identifier: BSD-2-Clause
// A byte stream of tiny chunks for interleaving tests, with the writer and the flusher that the library has.
#ifndef EF_TESTS_TINY_STREAM_HH
#define EF_TESTS_TINY_STREAM_HH

#include "byte_stream.hh"

#include "interleave.hh"

#include <map>
#include <vector>

namespace tiny {

using namespace interleave;
using chunk = ef::stream_chunk<interleave::atomic>;

constexpr std::uint32_t chunks = 3;
constexpr unsigned all_free = 0xe;

// Chunks of so many bytes or records. Free ones are bits of one word. What is in them is told apart by `mark`, so that
// an access that is not ordered is seen as a race. Nobody owns a chunk; see test_byte_stream_owner.cc.
template<std::uint32_t capacity, std::uint32_t records> struct basic_pool {
  chunk made[chunks + 1];
  interleave::atomic<std::uint64_t> slots[chunks + 1][records];
  data<int> mark[chunks + 1][capacity];
  unsigned char bytes[chunks + 1][capacity];
  interleave::atomic<unsigned> free{((1u << chunks) - 1) << 1};

  basic_pool() {
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

using pool = basic_pool<4, 2>;
template<class Pool> using stream_of = ef::byte_stream<Pool, interleave::atomic>;
using stream = stream_of<pool>;

struct written {
  tiny::chunk *chunk;
  std::uint64_t generation;
};

enum class put { taken, full, closed };

// What write_stream does: reserve in the tail, else fill a chunk and append it. Records of two equal marks.
// owner: of the chunks that it takes, 0 = nobody. in: where the record went.
template<class Pool>
put write(Pool &pool, stream_of<Pool> &s, int value, std::uint64_t owner = 0, written *in = nullptr) {
  using ops = typename stream_of<Pool>::ops;
  chunk *spare = nullptr;
  put result = put::taken;
  for (;;) {
    std::uint64_t t = s.tail();
    typename stream_of<Pool>::reservation r;
    if (s.reserve(pool, t, 2, &r)) {
      pool.mark_of(r.data).write(value);
      pool.mark_of(r.data + 1).write(value);
      ops::commit(r);
      if (in) *in = {pool.at(ef::chunk_word::chunk_of(t)), r.generation};
      break;
    }
    auto room = s.look(pool, t, 2);
    if (room == stream_of<Pool>::room::retry) continue;
    if (room == stream_of<Pool>::room::closed) {
      result = put::closed;
      break;
    }
    if (!spare && !(spare = pool.take())) return put::full;
    pool.mark[spare->index][0].write(value);
    pool.mark[spare->index][1].write(value);
    ef::chunk_begin(*spare, 2, -1, owner);
    std::uint64_t generation = ef::chunk_word::generation_of(spare->state.newest());
    auto o = s.append(pool, t, spare, spare);
    if (o == stream_of<Pool>::outcome::done) {
      if (in) *in = {spare, generation};
      return put::taken;
    }
    if (o == stream_of<Pool>::outcome::closed) {
      result = put::closed;
      break;
    }
  }
  if (spare) pool.give(spare);
  return result;
}

// One turn of a consumer: `most` bytes at most, then the chunk goes back if nothing follows.
template<class Pool> void flush(Pool &pool, stream_of<Pool> &s, std::vector<int> &out, std::size_t most) {
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
inline void check_records(const std::vector<int> &out, const std::vector<int> &taken) {
  std::map<int, int> last;
  check(out.size() == 2 * taken.size(), "as many bytes as were taken");
  for (std::size_t i = 0; i + 1 < out.size(); i += 2) {
    check(out[i] == out[i + 1], "records are whole");
    check(last[out[i] / 10] < out[i], "in the order of each writer");
    last[out[i] / 10] = out[i];
  }
}

} // namespace tiny
#endif
