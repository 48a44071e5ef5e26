// SPDX-License-Identifier: BSD-2-Clause
// Reading one file: who may, in which order the sources are asked, and how far ahead is fetched.
#include "reader.hh"

#include "reading_turn.hh"

#include "clock.hh"
#include "flusher.hh"
#include "port.hh"
#include "process.hh"
#include "sys.hh"

#include <efio.h>

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

// ---- Background fetch

void fetch_done(io_request *r) {
  file &f = *static_cast<file *>(r->owner);
  f.fetch.exchange(fetch_state::done, std::memory_order_seq_cst); // pairs with absorb; before the look at who is armed
  post(f, EF_READ);
  if (files.put(static_cast<std::uint32_t>(f.handle) & 0xfffff)) schedule_release(f);
}

void give_fetched(file &f, int from) noexcept {
  for (int i = from; i < f.fetch_count; ++i) here()->chunks.give(f.fetch_chunks[i]);
  f.fetch_count = 0;
}

// The window follows waiting: it grows when somebody had to, shrinks when the bytes turn out to be in memory anyway.
void adapt_window(file &f) noexcept {
  std::int64_t took = now_ns() - f.fetch_began;
  if (f.fetch_waited && took > 25'000 * f.fetch_count)
    f.window = std::min<std::int64_t>(f.window * 2, f.window_most);
  else if (took <= 25'000 * f.fetch_count && f.window > 1)
    f.window /= 2;
}

// Takes over what a finished fetch brought.
void absorb(file &f) noexcept {
  if (f.fetch.load(std::memory_order_seq_cst) != fetch_state::done) return; // pairs with fetch_done
  ssize_t left = f.request.result;
  int used = 0;
  if (!f.fetch_stale) {
    if (left < 0) f.pending_error = static_cast<int>(-left);
    if (left == 0) (f.fetch_is_ahead ? f.end_ahead : f.pending_end) = true;
    adapt_window(f);
    for (; left > 0 && used < f.fetch_count; ++used) {
      chunk *c = f.fetch_chunks[used];
      std::uint32_t n = static_cast<std::uint32_t>(std::min<ssize_t>(left, c->bytes_max));
      f.in.push(c, n);
      bump(f.read_background, n);
      left -= n;
    }
  }
  give_fetched(f, used);
  f.fetch_stale = f.fetch_waited = false;
  f.fetch.store(fetch_state::idle, std::memory_order_release);
}

// Starts fetching at the end of what is buffered. ahead: somebody will want it, perhaps. 0, or -ENOMEM.
int start_fetch(file &f, bool ahead) noexcept {
  int most = static_cast<int>(f.window), n = 0;
  for (; n < most; ++n) { // for one it may have to wait, on the loop's thread; more are a matter of speed
    chunk *c = n == 0 ? here()->chunks.take_large() : here()->chunks.take_large_at_hand();
    if (!c) break;
    f.fetch_chunks[n] = c;
  }
  if (n == 0) { // the pool is exhausted: every file may have a small one, so that every reader gets on
    f.fetch_chunks[0] = here()->chunks.take_small();
    if (!f.fetch_chunks[0]) return -ENOMEM;
    n = 1;
  }
  f.fetch_count = n;
  f.fetch_is_ahead = ahead;
  f.fetch_began = now_ns();
  io_request &r = f.request;
  r.osfd = f.osfd;
  r.offset = f.position + f.in.size();
  for (int i = 0; i < n; ++i) r.iov[i] = {f.fetch_chunks[i]->data, f.fetch_chunks[i]->bytes_max};
  r.iov_count = n;
  files.add_reference(static_cast<std::uint32_t>(f.handle) & 0xfffff);
  f.fetch.store(fetch_state::running, std::memory_order_seq_cst);
  f.home->engine_used->submit(here()->engines, &r);
  return 0;
}

// Keeps a fetch going while the buffered part is used up, once waiting was seen.
void fetch_ahead(file &f) noexcept {
  if (f.window < 2 || f.pending_error || f.pending_end || f.end_ahead || !f.in.has_room(f.window) ||
      f.fetch.load(std::memory_order_relaxed) != fetch_state::idle)
    return;
  if (f.in.size() < static_cast<std::uint64_t>(f.window) * limits::chunk_bytes / 2 && f.in.size() > 0)
    start_fetch(f, true);
}

// ---- Inline

ssize_t ask_kernel(file &f, const iovec *iov, int count) noexcept {
  ssize_t r = f.how.load(std::memory_order_relaxed) == inline_mode::memory
                  ? sys->preadv(f.osfd, iov, count, f.position)
                  : sys->preadv_nowait(f.osfd, iov, count, f.position);
  if (r > 0) {
    bump(f.read_hits, 1);
    if (++f.hits >= limits::hits_to_decay && f.window > 1) f.window /= 2, f.hits = 0;
    return r;
  }
  if (r == 0) { // some kernels say 0 before the end: believe it only with the size
    struct stat st;
    return sys->stat_now(f.osfd, &st) == 0 && f.position < st.st_size ? want_fetch : 0;
  }
  // Not supported here, or forbidden by a sandbox: neither is an error, and both last.
  if (r == -EOPNOTSUPP || r == -EPERM || r == -ENOSYS || r == -EINVAL)
    f.how.store(inline_mode::never, std::memory_order_relaxed);
  return want_fetch; // real errors come back from the fetch
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
  f.in.push(c, static_cast<std::uint32_t>(r));
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
  f.position += r;
  return r;
}

// ---- The rules around it

// A handle sees its own writes: what was read before they were accepted is thrown away, and reading waits until they
// are in the kernel. False: wait.
bool own_writes_settled(file &f) noexcept {
  if (!f.can_write) return true;
  std::uint64_t accepted = f.out.accepted();
  if (accepted != f.writes_seen) {
    start_over_at(f, f.position);
    f.writes_seen = accepted;
  }
  if (f.out.empty()) return true;
  flush_now(f);
  return false;
}

fetch_state fetch_of(const file &f) noexcept {
  return f.fetch.load(std::memory_order_seq_cst);
} // pairs with fetch_done
bool fetch_running(file &f) noexcept { return fetch_of(f) == fetch_state::running; }

} // namespace

void start_over_at(file &f, std::int64_t position) noexcept {
  f.in.clear();
  f.position = position;
  f.pending_error = 0;
  f.pending_end = f.end_ahead = false;
  f.window = 1;
  f.hits = 0;
  f.inline_fill = limits::small_chunk_bytes;
  if (f.fetch.load(std::memory_order_relaxed) != fetch_state::idle) f.fetch_stale = true;
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

ssize_t miss(file &f) noexcept {
  bump(f.read_misses, 1);
  f.fetch_waited = true;
  f.hits = 0;
  int r = start_fetch(f, false);
  return r ? r : wait_while(f, EF_READ, fetch_running);
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
    fetch_state s = fetch_of(f);
    if (s == fetch_state::idle) break;
    if (s == fetch_state::done) continue; // it ended after absorb() had looked: its bytes come first
    f.fetch_waited = true;
    bump(f.read_misses, 1);
    return wait_while(f, EF_READ, fetch_running);
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
  f.position += r;
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
  f.position += static_cast<std::int64_t>(n);
  bump(f.bytes_read, n);
  absorb(f);
  fetch_ahead(f);
  return 0;
}

void end_reading(file &f) noexcept {
  give_fetched(f, 0); // what a fetch brought and nobody absorbed
  f.in.clear();
}

void init_reading(file &f, chunk_pool &chunks, std::size_t read_ahead_max) noexcept {
  f.in.open(&chunks);
  f.window_most = static_cast<int>(read_ahead_max / limits::chunk_bytes);
  f.position = 0;
  f.window = 1;
  f.hits = 0;
  f.inline_fill = limits::small_chunk_bytes;
  f.how.store(inline_mode::never, std::memory_order_relaxed);
  f.pending_error = 0;
  f.pending_end = f.end_ahead = f.fetch_is_ahead = f.fetch_stale = f.fetch_waited = false;
  f.writes_seen = 0;
  f.fetch_count = 0;
  f.fetch.store(fetch_state::idle, std::memory_order_relaxed);
  f.request.done = fetch_done;
  f.request.owner = &f;
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
  fetch_state s = f.fetch.load(std::memory_order_seq_cst); // pairs with fetch_done
  return s == fetch_state::done ||
         (s == fetch_state::idle && f.how.load(std::memory_order_relaxed) != inline_mode::never);
}

void fetch_for(file &f) noexcept {
  if (!f.can_read || state_of(f) != file_state::open) return; // the opener tells
  reading_turn turn(f, reading_by::helper);
  if (f.can_write && !f.out.empty()) return flush_now(f);
  // Never what was peeked at: that is the reader's.
  if (f.in.size() > 0 || maybe_readable(f) || fetch_of(f) != fetch_state::idle) return;
  if (own_writes_settled(f)) start_fetch(f, false);
}

} // namespace ef
