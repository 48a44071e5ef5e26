// SPDX-License-Identifier: BSD-2-Clause
// Opening and closing of a file's write streams, and writing from lanes: pieces of whole records, in turn.
#include "lanes.hh"

#include "flusher.hh"
#include "reopener.hh"
#include "rotator.hh"
#include "unit.hh"

#include <algorithm>
#include <cerrno>
#include <new>

namespace ef {

int init_lanes(file &f, chunk_pool *pool, std::uint32_t chunks_max, bool by_thread) noexcept {
  f.out.open(pool, chunks_max);
  f.by_thread.store(by_thread, std::memory_order_relaxed); // published with the slot, as all here
  f.lanes_used.store(0, std::memory_order_relaxed);
  f.lane_at = 0;
  f.lane_rest = 0;
  if (!by_thread) return 0;
  write_lane *lanes = f.lanes.load(std::memory_order_relaxed);
  // Never freed: whoever writes to a file that is just being closed may still look at them.
  if (!lanes && !(lanes = new (std::nothrow) write_lane[limits::lanes_max]{})) return -ENOMEM;
  f.lanes.store(lanes, std::memory_order_relaxed);
  for (unsigned i = 0; i < limits::lanes_max; ++i) {
    lanes[i].out.open(pool, chunks_max, &f.out);
    lanes[i].synced.store(0, std::memory_order_relaxed);
  }
  return 0;
}

void cut_lanes(file &f) noexcept {
  write_lane *lanes = f.lanes.load(std::memory_order_relaxed);
  for (unsigned i = 0; i < limits::lanes_max; ++i) // published by the swap of reopen_at
    lanes[i].cut.store(lanes[i].out.accepted(), std::memory_order_relaxed);
}

void close_streams(file &f) noexcept {
  f.out.close();
  if (!f.by_thread.load(std::memory_order_relaxed)) return;
  for (unsigned i = 0; i < limits::lanes_max; ++i) lane_of(f, i).out.close();
}

bool stick_error(file &f, int error) noexcept {
  int none = 0;
  const bool first = f.failing.compare_exchange_strong(none, error, std::memory_order_seq_cst);
  close_streams(f);
  int none_yet = 0; // seq_cst: before the look at who waits for it; pairs with arming
  f.error.compare_exchange_strong(none_yet, first ? error : none, std::memory_order_seq_cst);
  return first;
}

int sticking_for_writers(file &f) noexcept {
  const int e = f.failing.load(std::memory_order_acquire);              // pairs with stick_error ...
  if (e && !f.error.load(std::memory_order_acquire)) stick_error(f, e); // ... which is not through yet
  return e;
}

bool all_wanted_consumed(file &f) noexcept {
  bool all = true;
  each_stream(f, [&](const write_stream &s) {
    all &= s.consumed() >= s.sync_target.load(std::memory_order_seq_cst); // pairs with raise()
  });
  return all;
}

bool detach_all(file &f) noexcept {
  bool all = true;
  each_stream(f, [&](write_stream &s) { all &= s.detach(); });
  return all;
}

bool all_empty(file &f) noexcept {
  bool all = true;
  each_stream(f, [&](write_stream &s) { all &= s.empty(); });
  return all;
}

bool some_blocked(file &f) noexcept {
  bool any = false;
  each_stream(f, [&](write_stream &s) { any |= s.blocked(); });
  return any;
}

std::uint64_t chunks_given(file &f) noexcept {
  std::uint64_t n = 0;
  each_stream(f, [&](write_stream &s) { n += s.given(); });
  return n;
}

void discard(file &f) noexcept {
  std::uint64_t lost = 0;
  each_stream(f, [&](write_stream &s) {
    iovec iov[limits::flush_spans];
    std::int64_t base;
    while (int n = s.gather(iov, limits::flush_spans, SIZE_MAX / 2, &base)) {
      const std::size_t bytes = length_of(iov, n);
      s.consume(bytes);
      lost += bytes;
    }
  });
  f.lane_rest = 0;
  f.lost.fetch_add(lost, std::memory_order_relaxed);
}

std::size_t least_bytes(const file &f, const write_stream &s, std::size_t under_pressure) noexcept {
  const std::uint64_t done = s.consumed();
  const bool wanted = done < s.flush_target.load(std::memory_order_seq_cst) || // pairs with raise()
                      done < s.sync_target.load(std::memory_order_seq_cst) || f.closing.load(std::memory_order_seq_cst);
  return wanted ? 1 : backlog_of(f) ? under_pressure : limits::flush_align;
}

void note_written(file &f, ssize_t n) noexcept {
  f.written.fetch_add(static_cast<std::uint64_t>(n), std::memory_order_release); // pairs with readers of counters
  // seq_cst: before the look for drops to mark; pairs with writers, who count them and leave the rest to us.
  if (f.trouble.load(std::memory_order_relaxed)) f.trouble.store(0, std::memory_order_seq_cst);
  tell_room(f);
}

namespace {

// Bytes of the lane that belong to the old file.
std::uint64_t before_cut(const write_lane &l) noexcept {
  const std::uint64_t at = l.cut.load(std::memory_order_relaxed), done = l.out.consumed(); // read after reopen_at
  return at > done ? at - done : 0;
}

// Whole chunks, or what is wanted of them: the records of a lane in one piece, a record that a write has cut first.
int gather_lane(file &f, unsigned at, bool first, bool cutting, iovec *iov, std::size_t *bytes) noexcept {
  write_lane &l = lane_of(f, at);
  std::int64_t none;
  int count = l.out.gather(iov, limits::lane_spans, SIZE_MAX / 2, &none);
  *bytes = length_of(iov, count);
  if (first && f.lane_rest) {
    *bytes = f.lane_rest;
    return cut(iov, count, *bytes);
  }
  if (*bytes > limits::flush_unit && iov[0].iov_len >= limits::lane_bytes_least) // calls end where chunks end
    *bytes = length_of(iov, count = 1);
  if (cutting) { // it is between two calls
    *bytes = std::min<std::uint64_t>(*bytes, before_cut(l));
    return *bytes ? cut(iov, count, *bytes) : 0;
  }
  return *bytes < least_bytes(f, l.out, limits::lane_bytes_least) ? 0 : count;
}

struct unit {
  iovec iov[limits::flush_spans];
  piece pieces[limits::lanes_max];
  int spans, count;
  std::size_t bytes;
};

void gather_lanes(file &f, bool cutting, unit *u) noexcept {
  u->spans = u->count = 0;
  u->bytes = 0;
  const std::uint32_t used = f.lanes_used.load(std::memory_order_seq_cst); // pairs with note_lane
  for (unsigned i = 0; i < limits::lanes_max && u->bytes < limits::flush_unit; ++i) {
    const unsigned at = (f.lane_at + i) % limits::lanes_max;
    if (!(used >> at & 1)) continue;
    piece &p = u->pieces[u->count];
    const int n = gather_lane(f, at, i == 0, cutting, u->iov + u->spans, &p.bytes);
    if (n == 0) continue;
    p.of = &lane_of(f, at).out;
    p.lane = at;
    ++u->count;
    u->spans += n;
    u->bytes += p.bytes;
  }
}

// Also of what is reserved and not yet committed.
bool all_at_cut(file &f) noexcept {
  for (unsigned i = 0; i < limits::lanes_max; ++i)
    if (before_cut(lane_of(f, i))) return false;
  return true;
}

void consume_pieces(file &f, const piece *pieces, int count, std::size_t n) noexcept {
  for (int i = 0; i < count; ++i) {
    const piece &p = pieces[i];
    const std::size_t here = std::min(n, p.bytes);
    if (here) p.of->consume(here);
    n -= here;
    f.lane_rest = here ? p.bytes - here : 0;
    f.lane_at = p.lane;
    if (here < p.bytes) return;
    f.lane_at = (p.lane + 1) % limits::lanes_max;
  }
}

} // namespace

ssize_t write_lanes(file &f) noexcept {
  unit u;
  // What was gathered while nobody had asked for a new file was accepted before he returned: see reopen_file.
  bool cutting = reopening(f);
  gather_lanes(f, cutting, &u);
  if (!cutting && reopening(f)) gather_lanes(f, cutting = true, &u);
  if (u.bytes == 0) return cutting && all_at_cut(f) ? at_the_cut : 0;
  const std::size_t bytes = bytes_before_rotation(f, u.pieces, u.count);
  if (bytes == 0) return at_the_rotation;
  const ssize_t r = write_unit(f, u.iov, u.spans, bytes);
  if (r < 0) return r;
  consume_pieces(f, u.pieces, u.count, static_cast<std::size_t>(r));
  note_written(f, r);
  return r;
}

} // namespace ef
