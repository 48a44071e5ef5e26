// SPDX-License-Identifier: BSD-2-Clause
// Reading one file: who may, in which order the sources are asked, and how far ahead is fetched.
#include "reader.hh"

#include "cache.hh"
#include "fetcher.hh"
#include "flusher.hh"
#include "reading_turn.hh"

#include "port.hh"
#include "process.hh"
#include "sys.hh"

#include <efio.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ef {
namespace {

// Counters that only the holder of the reading turn changes.
void bump(std::atomic<std::uint64_t> &c, std::uint64_t n) noexcept {
  c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

constexpr ssize_t want_fetch = -100000; // no errno is that low: the inline read had nothing

std::size_t length_of(const iovec *iov, int count) noexcept {
  std::size_t n = 0;
  for (int i = 0; i < count; ++i) n += iov[i].iov_len;
  return n;
}

// ---- Inline

ssize_t ask_kernel(file &f, const iovec *iov, int count) noexcept {
  ssize_t r = read_now(f, f.how.load(std::memory_order_relaxed), 0, iov, count, f.position);
  if (r > 0) {
    bump(f.read_hits, 1);
    note_hits(f);
    return r;
  }
  if (r == 0) { // some kernels say 0 before the end: believe it only with the size
    struct stat st;
    return sys->stat_now(f.osfd, &st) == 0 && f.position < st.st_size ? want_fetch : 0;
  }
  note_inline_answer(f, r);
  return want_fetch; // real errors come back from the fetch
}

void advance(file &f, std::int64_t n) noexcept {
  f.position += n;
  passed(f);
}

// Small requests are served through a chunk that grows while the reader goes on sequentially.
ssize_t fill_inline(file &f) noexcept {
  chunk *c = f.inline_fill > limits::small_chunk_bytes ? here()->chunks.take_large() : nullptr;
  if (!c) c = here()->chunks.take_small();
  if (!c) return -ENOMEM;
  iovec iov{c->data, std::min(f.inline_fill, c->bytes_max)};
  ssize_t r = ask_kernel(f, &iov, 1);
  if (r <= 0) {
    here()->chunks.give(c);
    return r;
  }
  f.in.push(c, 0, static_cast<std::uint32_t>(r));
  if (f.pattern.load(std::memory_order_relaxed) != EF_PATTERN_RANDOM)
    f.inline_fill = std::min(f.inline_fill * 2, limits::chunk_bytes);
  return r;
}

// The gather list cut to what one call gives.
int clip(const iovec *iov, int count, iovec *out, int most) noexcept {
  std::size_t left = limits::read_call_max;
  int n = 0;
  for (int i = 0; i < count && n < most && left > 0; ++i) {
    if (iov[i].iov_len == 0) continue;
    out[n] = {iov[i].iov_base, std::min(iov[i].iov_len, left)};
    left -= out[n++].iov_len;
  }
  return n;
}

ssize_t read_inline(file &f, const iovec *iov, int count, std::size_t wanted) noexcept {
  if (f.how.load(std::memory_order_relaxed) == inline_mode::never) return want_fetch;
  ssize_t r;
  if (wanted < limits::inline_min) {
    r = fill_inline(f);
    if (r > 0) r = static_cast<ssize_t>(f.in.copy(iov, count));
    if (r == -ENOMEM) r = ask_kernel(f, iov, count);
  } else {
    r = ask_kernel(f, iov, count);
  }
  if (r <= 0) return r;
  advance(f, r);
  return r;
}

// ---- The rules around it

// A handle sees its own writes: what was read before they were accepted is thrown away, and reading waits until they
// are in the kernel. False: wait.
bool own_writes_settled(file &f) noexcept {
  if (!f.can_write) return true;
  const std::uint64_t written_at = f.written_at.load(std::memory_order_acquire); // pairs with the end of a request
  const std::uint64_t writes = f.out.accepted() + written_at;                    // both only grow
  if (writes != f.writes_seen) {
    start_over_at(f, f.position);
    f.writes_seen = writes;
  }
  if (f.out.empty()) return true;
  flush_now(f);
  return false;
}

} // namespace

// Not supported here, or forbidden by a sandbox: neither is an error, and both last.
void note_inline_answer(file &f, ssize_t r) noexcept {
  if (r == -EOPNOTSUPP || r == -EPERM || r == -ENOSYS || r == -EINVAL)
    f.how.store(inline_mode::never, std::memory_order_relaxed);
  else if (!f.ringable.load(std::memory_order_relaxed))
    f.ringable.store(true, std::memory_order_relaxed);
}

ssize_t read_now(const file &f, inline_mode how, int flags, const iovec *iov, int count, off_t offset) noexcept {
  if (how == inline_mode::memory) return sys->preadv(f.osfd, iov, count, offset);
  return flags ? sys->preadv_with(f.osfd, iov, count, offset, RWF_NOWAIT | flags)
               : sys->preadv_nowait(f.osfd, iov, count, offset);
}

void advise_pattern(file &f) noexcept {
  const int p = f.pattern.load(std::memory_order_relaxed);
  sys->advise(f.osfd, 0, 0,
              p == EF_PATTERN_RANDOM       ? POSIX_FADV_RANDOM
              : p == EF_PATTERN_SEQUENTIAL ? POSIX_FADV_SEQUENTIAL
                                           : POSIX_FADV_NORMAL);
}

void start_over_at(file &f, std::int64_t position) noexcept {
  f.read_wasted.fetch_add(f.in.size(), std::memory_order_relaxed);
  f.in.clear();
  f.position = position;
  f.pending_error = 0;
  f.pending_end = f.end_ahead = false;
  f.inline_fill = limits::small_chunk_bytes;
  forget_fetches(f);
}

ssize_t check_ready(file &f) noexcept {
  switch (state_of(f)) {
  case file_state::open:
    break;
  case file_state::failed:
    return -f.open_error.load(std::memory_order_acquire); // pairs with the opener
  case file_state::opening:
    return wait_while(f, EF_READ, [](file &g) { return state_of(g) == file_state::opening; });
  default:
    return -EBADF;
  }
  if (own_writes_settled(f) || f.error.load(std::memory_order_seq_cst)) return 1; // or they never will be
  return wait_while(f, EF_READ, [](file &g) { return !g.out.empty() && !g.error.load(std::memory_order_seq_cst); });
}

namespace {

ssize_t wait_for_fetch(file &f) noexcept {
  bump(f.read_misses, 1);
  f.fetch_waited = true;
  return wait_while(f, EF_READ, fetch_running);
}

ssize_t miss(file &f) noexcept {
  f.hits = 0;
  const int r = start_fetch(f, false);
  if (r == -ENOMEM) return r;
  if (r == 0) fetch_ahead(f); // several at once, where the window says so
  return wait_for_fetch(f);   // or for one that is not wanted any more, whose place is needed
}

// What a finished fetch left to tell, once its bytes are used up: 1 = nothing.
ssize_t pending(file &f) noexcept {
  if (int e = f.pending_error) {
    f.pending_error = 0;
    return -e;
  }
  if (!f.pending_end) return 1;
  f.pending_end = false;
  return 0;
}

// Gets bytes into the stream or, through iov, to the caller: a count, 0 = end, -EAGAIN armed. Null iov: into the stream
// only.
ssize_t obtain(file &f, const iovec *iov, int count, bool *given) noexcept {
  *given = false;
  ssize_t r = check_ready(f);
  if (r <= 0) return r;
  for (;;) {
    absorb(f);
    if (f.in.size() > 0) return f.in.size();
    if ((r = pending(f)) != 1) return r;
    if (head_state(f) == fetch_state::done) continue; // it ended after absorb() had looked: its bytes come first
    if (!fetching(f)) break;
    return wait_for_fetch(f);
  }
  f.end_ahead = false; // the kernel is asked again
  if (!iov && f.how.load(std::memory_order_relaxed) != inline_mode::never && (r = fill_inline(f)) != want_fetch)
    return r;
  if (iov && (r = read_inline(f, iov, count, length_of(iov, count))) != want_fetch) {
    *given = r > 0;
    return r;
  }
  return miss(f);
}

} // namespace

ssize_t read_file(file &f, const iovec *iov, int count) noexcept {
  if (!f.can_read) return -EBADF;
  reading_turn turn(f);
  if (!turn) return -EBUSY;
  iovec part[8];
  int parts = clip(iov, count, part, 8);
  if (parts == 0) return 0;
  ssize_t r;
  if (f.in.size() > 0 && !f.can_write) {
    r = 1; // the short way: bytes are here
    absorb(f);
  } else {
    bool given;
    r = obtain(f, part, parts, &given);
    if (given) {
      bump(f.bytes_read, static_cast<std::uint64_t>(r));
      return r;
    }
  }
  if (r <= 0) return r;
  r = static_cast<ssize_t>(f.in.copy(part, parts));
  advance(f, r);
  bump(f.bytes_read, static_cast<std::uint64_t>(r));
  fetch_ahead(f);
  return r;
}

ssize_t peek_file(file &f, iovec *iov, int count) noexcept {
  if (!f.can_read) return -EBADF;
  reading_turn turn(f);
  if (!turn) return -EBUSY;
  bool given;
  ssize_t r = f.in.size() > 0 && !f.can_write ? 1 : obtain(f, nullptr, 0, &given);
  return r <= 0 ? r : f.in.peek(iov, count);
}

int consume_file(file &f, std::size_t n) noexcept {
  if (!f.can_read) return -EBADF;
  reading_turn turn(f);
  if (!turn) return -EBUSY;
  if (n > f.in.size()) return -EINVAL;
  f.in.consume(n);
  advance(f, static_cast<std::int64_t>(n));
  bump(f.bytes_read, n);
  absorb(f);
  fetch_ahead(f);
  return 0;
}

void end_reading(file &f) noexcept {
  end_fetching(f);
  f.in.clear();
}

void init_reading(file &f, chunk_pool &chunks, std::size_t read_ahead_max) noexcept {
  f.in.open(&chunks);
  init_fetching(f, read_ahead_max);
  f.position = 0;
  f.window = 1;
  f.hits = 0;
  f.inline_fill = limits::small_chunk_bytes;
  f.how.store(inline_mode::never, std::memory_order_relaxed);
  f.pending_error = 0;
  f.pending_end = f.end_ahead = false;
  f.writes_seen = 0;
}

bool maybe_readable(file &f) noexcept {
  switch (state_of(f)) {
  case file_state::open:
    break;
  case file_state::failed:
    return true; // every call tells the errno
  default:
    return false;
  }
  if (!f.can_read) return false;
  if (f.can_write && !f.out.empty() && !f.error.load(std::memory_order_seq_cst)) return false;
  if (f.in.size() > 0) return true;
  const fetch_state s = head_state(f);
  return s == fetch_state::done ||
         (s == fetch_state::idle && f.how.load(std::memory_order_relaxed) != inline_mode::never);
}

void fetch_for(file &f) noexcept {
  if (!f.can_read || state_of(f) != file_state::open) return; // the opener tells
  reading_turn turn(f, reading_by::helper);
  if (f.can_write && !f.out.empty()) return flush_now(f);
  // Never what was peeked at: that is the reader's.
  if (f.in.size() > 0 || maybe_readable(f) || head_state(f) != fetch_state::idle) return;
  if (own_writes_settled(f)) start_fetch(f, false);
}

} // namespace ef
