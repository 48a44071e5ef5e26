// SPDX-License-Identifier: BSD-2-Clause
// Gathering the bytes of one write, and the system call.
#include "unit.hh"

#include "clock.hh"
#include "limits.hh"
#include "space.hh"
#include "sys.hh"

#include <algorithm>
#include <cerrno>

namespace ef {

std::size_t length_of(const iovec *iov, int count) noexcept {
  std::size_t n = 0;
  for (int i = 0; i < count; ++i) n += iov[i].iov_len;
  return n;
}

namespace {

bool whole_calls(const file &f) noexcept { return f.append || rotates(f.turns); }

int gather(file &f, iovec *iov, std::size_t most, std::size_t *bytes) noexcept {
  std::int64_t base;
  const int count = f.out.gather(iov, limits::flush_spans, most, &base);
  if (base >= 0 && !f.append) f.write_offset.store(base, std::memory_order_relaxed);
  *bytes = length_of(iov, count);
  return count;
}

} // namespace

int gather_unit(file &f, iovec *iov, std::size_t least, std::size_t *bytes) noexcept {
  const int count = gather(f, iov, limits::flush_unit, bytes);
  if (*bytes < least) *bytes = 0;
  if (!whole_calls(f) || *bytes < limits::flush_unit) return count;
  if (std::size_t whole = f.out.whole_calls(*bytes)) {
    *bytes = whole;
    return count;
  }
  return gather(f, iov, f.out.first_call(), bytes);
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

namespace {

// Where a unit of n bytes from offset on ends.
std::size_t unit_bytes(const file &f, std::size_t n, std::int64_t offset) noexcept {
  if (whole_calls(f) || !f.seekable || n < limits::flush_unit) return n;
  return limits::flush_unit - static_cast<std::uint64_t>(offset) % limits::flush_align;
}

ssize_t write_now(file &f, iovec *iov, int count, std::size_t bytes) noexcept {
  if (f.pollable) { // a blocking pipe must not hold the thread: what a ready pipe takes without waiting is a page
    if (!sys->writable_now(f.osfd)) return -EAGAIN;
    return sys->writev(f.osfd, iov, cut(iov, count, std::min(bytes, limits::page_bytes)));
  }
  if (f.append || !f.seekable) return sys->writev(f.osfd, iov, count);
  return sys->pwritev(f.osfd, iov, count, f.write_offset.load(std::memory_order_relaxed));
}

// How long it took, and that it is under way: a disk that stands still shows at once.
ssize_t write_timed(file &f, iovec *iov, int count, std::size_t bytes) noexcept {
  const std::int64_t began = now_ns();
  f.write_began.store(began, std::memory_order_relaxed);
  const ssize_t r = write_now(f, iov, count, bytes);
  const std::int64_t took = now_ns() - began;
  if (took > f.write_longest_ns.load(std::memory_order_relaxed))
    f.write_longest_ns.store(took, std::memory_order_relaxed); // visible with the next
  f.write_began.store(0, std::memory_order_release);           // pairs with longest_write_us
  return r;
}

} // namespace

ssize_t write_unit(file &f, iovec *iov, int count, std::size_t bytes) noexcept {
  f.flushes.fetch_add(1, std::memory_order_relaxed);
  bytes = unit_bytes(f, bytes, f.write_offset.load(std::memory_order_relaxed));
  reserve_space(f, bytes);
  const ssize_t r = write_timed(f, iov, cut(iov, count, bytes), bytes);
  if (r <= 0) return r == 0 ? -ENOSPC : r; // no progress and no reason: tried again later
  f.write_offset.fetch_add(r, std::memory_order_relaxed);
  return r;
}

std::uint64_t longest_write_us(const file &f) noexcept {
  const std::int64_t began = f.write_began.load(std::memory_order_relaxed);
  std::int64_t ns = began ? now_ns() - began : 0;
  if (f.write_began.load(std::memory_order_acquire) != began) ns = 0; // over, and counted; pairs with write_timed
  return static_cast<std::uint64_t>(std::max(ns, f.write_longest_ns.load(std::memory_order_relaxed))) / 1000;
}

} // namespace ef
