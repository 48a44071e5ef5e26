// SPDX-License-Identifier: BSD-2-Clause
// The write streams of a file: one, whose order is that of the calls, or lanes, one a thread, with an order each.
#ifndef EF_LANES_HH
#define EF_LANES_HH

#include "file.hh"

#include <bit>

namespace ef {

// A thread writes into the lane of its number, so that each thread's bytes keep their order; two threads may share one,
// at the price of a swap a call. Lanes belong to the slot of the file for good.
struct write_lane {
  write_stream out;
  std::atomic<std::uint64_t> synced; // as that of the file, by this lane's positions
  std::atomic<std::uint64_t> cut;    // ef_reopen: what is behind it goes to the new file
};
inline write_lane &lane_of(const file &f, unsigned i) noexcept { return f.lanes.load(std::memory_order_relaxed)[i]; }

// Where the calling thread writes. Without a reference: the answer is the file's if its handle is valid afterwards.
inline write_stream &stream_of_caller(file &f) noexcept {
  if (!f.by_thread.load(std::memory_order_relaxed)) return f.out; // both are published with the slot
  return lane_of(f, this_thread() % limits::lanes_max).out;
}

// Before the first write of a life into a lane: the flush lane looks at those with a bit.
inline void note_lane(file &f) noexcept {
  if (!f.by_thread.load(std::memory_order_relaxed)) return;
  const std::uint32_t bit = 1u << this_thread() % limits::lanes_max;
  // seq_cst: before the writer's look at `dirty`; pairs with each_stream of a lane that has lowered it.
  if (!(f.lanes_used.load(std::memory_order_relaxed) & bit)) f.lanes_used.fetch_or(bit, std::memory_order_seq_cst);
}

// fn(stream), for all that were written to.
template<class Fn> void each_stream(file &f, Fn fn) noexcept {
  if (!f.by_thread.load(std::memory_order_relaxed)) return fn(f.out);
  for (std::uint32_t used = f.lanes_used.load(std::memory_order_seq_cst); used; used &= used - 1)
    fn(lane_of(f, static_cast<unsigned>(std::countr_zero(used))).out);
}

inline std::uint64_t accepted_by(file &f) noexcept {
  std::uint64_t n = 0;
  each_stream(f, [&](const write_stream &s) { n += s.accepted(); });
  return n;
}

// Worth a flusher's while. A chunk that is being filled does not count: each lane has one.
inline bool backlog_of(const file &f) noexcept {
  return f.out.backlog(static_cast<std::uint32_t>(std::popcount(f.lanes_used.load(std::memory_order_relaxed))));
}

// What is accepted from now on is behind the cut. Any thread, one at a time.
void cut_lanes(file &f) noexcept;

// For a new life. 0 or -ENOMEM.
int init_lanes(file &f, chunk_pool *pool, std::uint32_t chunks_max, bool by_thread) noexcept;
void close_streams(file &f) noexcept; // no more writers
// No more writers, because of this error; the first one stays: true if this was it. Whoever has seen it sees no write
// accepted afterwards.
bool stick_error(file &f, int error) noexcept;
int sticking_for_writers(file &f) noexcept; // that error, for all calls from now on, or 0

// ---- The flush lane's

// Less than this is left to grow older: a flusher that runs after the writers line by line costs more than it brings.
// under_pressure: with a backlog. Many chunks with few bytes are pieces for many places: they do not grow.
std::size_t least_bytes(const file &f, const write_stream &s, std::size_t under_pressure) noexcept;

// One unit of what lies in the lanes: bytes written, 0 = nothing to write now, a negated errno, or all is written that
// belongs to the old file: at_the_cut of ef_reopen, or at_the_rotation.
constexpr ssize_t at_the_cut = -100000, at_the_rotation = -100001; // no errno is that low
ssize_t write_lanes(file &f) noexcept;
void note_written(file &f, ssize_t n) noexcept; // in the counters, and there is room

// Over all streams.
bool all_wanted_consumed(file &f) noexcept; // whatever a sync was asked for
bool detach_all(file &f) noexcept;
bool all_empty(file &f) noexcept;
bool some_blocked(file &f) noexcept; // some writer was stopped in the middle
std::uint64_t chunks_given(file &f) noexcept;
void discard(file &f) noexcept; // everything accepted so far is given up

} // namespace ef
#endif
