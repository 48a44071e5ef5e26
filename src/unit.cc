// SPDX-License-Identifier: BSD-2-Clause
// What is written with one call: a piece of the stream, or pieces of several threads' lanes, each of whole records.
#include "unit.hh"

#include "lanes.hh"
#include "sys.hh"

#include <algorithm>
#include <cerrno>

namespace ef {
namespace {

std::size_t length_of(const iovec *iov, int count) noexcept {
  std::size_t n = 0;
  for (int i = 0; i < count; ++i) n += iov[i].iov_len;
  return n;
}

// Where a unit of n bytes from offset on ends: at an aligned offset if more than that is there, unless records must
// stay whole.
std::size_t unit_bytes(const file &f, std::size_t n, std::int64_t offset) noexcept {
  if (f.append || !f.seekable || n < limits::flush_align) return n;
  std::size_t rest = static_cast<std::uint64_t>(offset + static_cast<std::int64_t>(n)) % limits::flush_align;
  return n < limits::flush_unit ? n : n - rest;
}

int cut(iovec *iov, int count, std::size_t n) noexcept {
  for (int i = 0; i < count; ++i) {
    if (n <= iov[i].iov_len) {
      iov[i].iov_len = n;
      return i + 1;
    }
    n -= iov[i].iov_len;
  }
  return count;
}

// As far as a unit goes; the count is what was written.
ssize_t write_spans(file &f, iovec *iov, int count, std::size_t bytes) noexcept {
  f.flushes.fetch_add(1, std::memory_order_relaxed);
  const std::int64_t offset = f.write_offset.load(std::memory_order_relaxed);
  bytes = unit_bytes(f, bytes, offset);
  // A blocking pipe must not hold the thread: what a ready pipe takes without waiting is a page.
  if (f.pollable && !sys->writable_now(f.osfd)) return -EAGAIN;
  count = cut(iov, count, f.pollable ? std::min(bytes, limits::page_bytes) : bytes);
  const ssize_t r = f.append || !f.seekable || f.pollable ? sys->writev(f.osfd, iov, count)
                                                          : sys->pwritev(f.osfd, iov, count, offset);
  if (r == 0) return -ENOSPC; // no progress and no reason: tried again later
  if (r > 0) f.write_offset.fetch_add(r, std::memory_order_relaxed);
  return r;
}

// Less than this is left to grow older: a flusher that runs after the writers line by line costs more than it brings.
// Many chunks with few bytes are pieces for many places: they do not grow.
std::size_t least_bytes(const file &f, const write_stream &s, const std::atomic<std::uint64_t> &flush_target,
                        const std::atomic<std::uint64_t> &sync_target, std::size_t under_pressure) noexcept {
  const std::uint64_t done = s.consumed();
  const bool wanted = done < flush_target.load(std::memory_order_seq_cst) || // pairs with raise()
                      done < sync_target.load(std::memory_order_seq_cst) || f.closing.load(std::memory_order_seq_cst);
  return wanted ? 1 : backlog_of(f) ? under_pressure : limits::flush_align;
}

ssize_t write_from_stream(file &f) noexcept {
  iovec iov[limits::flush_spans];
  std::int64_t base;
  const int count = f.out.gather(iov, limits::flush_spans, limits::flush_unit, &base);
  if (base >= 0 && !f.append) f.write_offset.store(base, std::memory_order_relaxed);
  const std::size_t bytes = length_of(iov, count);
  if (bytes < least_bytes(f, f.out, f.flush_target, f.sync_target, 1)) return 0;
  const ssize_t r = write_spans(f, iov, count, bytes);
  if (r > 0) f.out.consume(static_cast<std::size_t>(r));
  return r;
}

struct piece {
  unsigned lane;
  std::size_t bytes;
};

// Whole chunks, or what is wanted of them: the records of a lane in one piece, a record that a write has cut first.
int gather_lane(file &f, unsigned at, bool first, iovec *iov, int most, std::size_t *bytes) noexcept {
  write_lane &l = f.lanes.load(std::memory_order_relaxed)[at];
  std::int64_t none;
  int count = l.out.gather(iov, most, SIZE_MAX / 2, &none);
  *bytes = length_of(iov, count);
  if (first && f.lane_rest) {
    *bytes = f.lane_rest;
    return cut(iov, count, *bytes);
  }
  return *bytes < least_bytes(f, l.out, l.flush_target, l.sync_target, limits::lane_bytes_least) ? 0 : count;
}

void consume_pieces(file &f, const piece *pieces, int count, std::size_t n) noexcept {
  for (int i = 0; i < count; ++i) {
    const piece &p = pieces[i];
    const std::size_t here = std::min(n, p.bytes);
    if (here) f.lanes.load(std::memory_order_relaxed)[p.lane].out.consume(here);
    n -= here;
    f.lane_rest = here ? p.bytes - here : 0;
    f.lane_at = p.lane;
    if (here < p.bytes) return;
    f.lane_at = (p.lane + 1) % limits::lanes_max;
  }
}

ssize_t write_from_lanes(file &f) noexcept {
  iovec iov[limits::flush_spans];
  piece pieces[limits::lanes_max];
  int spans = 0, count = 0;
  std::size_t total = 0;
  const std::uint32_t used = f.lanes_used.load(std::memory_order_seq_cst); // pairs with note_lane
  for (unsigned i = 0; i < limits::lanes_max && total < limits::flush_unit; ++i) {
    const unsigned at = (f.lane_at + i) % limits::lanes_max;
    if (!(used >> at & 1)) continue;
    const int n = gather_lane(f, at, i == 0, iov + spans, limits::lane_spans, &pieces[count].bytes);
    if (n == 0) continue;
    pieces[count].lane = at;
    total += pieces[count++].bytes;
    spans += n;
  }
  if (total == 0) return 0;
  const ssize_t r = write_spans(f, iov, spans, total);
  if (r > 0) consume_pieces(f, pieces, count, static_cast<std::size_t>(r));
  return r;
}

} // namespace

ssize_t write_unit(file &f) noexcept {
  return f.by_thread.load(std::memory_order_relaxed) ? write_from_lanes(f) : write_from_stream(f);
}

void discard(file &f) noexcept {
  std::uint64_t lost = 0;
  each_stream(f, [&](write_stream &s, auto &, auto &) {
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

} // namespace ef
