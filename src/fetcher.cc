// SPDX-License-Identifier: BSD-2-Clause
// How far ahead of the reader is fetched, in which pieces, and what comes of it. The window is the policy: it grows
// when somebody had to wait, and decays when the bytes turn out to be in memory anyway.
#include "fetcher.hh"

#include "cache.hh"
#include "clock.hh"
#include "engine_threads.hh"
#include "flusher.hh"
#include "port.hh"
#include "process.hh"
#include "reader.hh"
#include "sys.hh"

#include <efio.h>

#include <algorithm>
#include <cerrno>

namespace ef {
namespace {

fetch &oldest(file &f) noexcept {
  return f.fetches[f.fetch_oldest.load(std::memory_order_relaxed) % limits::fetches_max];
}

// Of all fetches it is the head that somebody waits for: the others' bytes are of no use before.
void fetch_done(io_request *r) {
  fetch &t = *reinterpret_cast<fetch *>(r);
  file &f = *t.of;
  const std::uint32_t place = t.place;
  // Before the look at who is first and who is armed; pairs with absorb and with wait_while.
  t.state.exchange(fetch_state::done, std::memory_order_seq_cst);
  if (f.fetch_oldest.load(std::memory_order_seq_cst) == place) post(f, EF_READ);
  put_reference(f);
}

void give_chunks(fetch &t, int from) noexcept {
  for (int i = from; i < t.count; ++i) here()->chunks.give(t.chunks[i]);
  t.count = 0;
}

int pattern_of(const file &f) noexcept { return f.pattern.load(std::memory_order_relaxed); }

// Chunks to be had before they are asked for.
int window_of(const file &f) noexcept {
  const int p = pattern_of(f);
  return p == EF_PATTERN_SEQUENTIAL ? f.window_most : p == EF_PATTERN_RANDOM ? 1 : f.window;
}

void adapt_window(file &f, const fetch &t) noexcept {
  if (pattern_of(f) != EF_PATTERN_ADAPTIVE) return;
  const bool slow = now_ns() - t.began > limits::quick_fetch_ns * t.count;
  // Where every read is a trip to a thread, larger ones are better in any case.
  if (f.fetch_waited && (slow || f.how.load(std::memory_order_relaxed) == inline_mode::never))
    f.window = std::min(f.window * 2, f.window_most);
  else if (!slow && f.window > 1 && f.how.load(std::memory_order_relaxed) != inline_mode::never)
    f.window /= 2;
}

// What came after a short one lies behind a gap: it is asked for again.
void drop_following(file &f) noexcept {
  const std::uint32_t newest = f.fetch_newest;
  for (std::uint32_t i = f.fetch_oldest.load(std::memory_order_relaxed) + 1; i != newest; ++i)
    f.fetches[i % limits::fetches_max].stale = true;
  f.fetch_fresh = 0;
  f.fetch_end = f.position + f.in.size();
}

// The bytes of a fetch, to the stream; -EAGAIN: it has to be done again in another way.
int take_bytes(file &f, fetch &t) noexcept {
  ssize_t left = t.io.result;
  if (cache_mode_failed(f, t)) return -EAGAIN;
  const auto asked = static_cast<ssize_t>(t.bytes);
  if (left < 0) f.pending_error = static_cast<int>(-left);
  if (left >= 0 && left <= t.lead) (t.ahead ? f.end_ahead : f.pending_end) = true;
  adapt_window(f, t);
  const bool gap = left < asked;
  std::uint32_t skip = t.lead;
  int used = 0;
  for (; left > 0 && used < t.count; ++used) {
    chunk *c = t.chunks[used];
    const auto n = static_cast<std::uint32_t>(std::min<ssize_t>(left, c->bytes_max));
    left -= n;
    if (n <= skip) break; // nothing but what was there before
    f.in.push(c, skip, n);
    f.read_background.fetch_add(n - skip, std::memory_order_relaxed);
    skip = 0;
  }
  give_chunks(t, used);
  if (gap) drop_following(f);
  return 0;
}

} // namespace

bool fetching(const file &f) noexcept { return f.fetch_fresh > 0; }

void absorb(file &f) noexcept {
  while (head_state(f) == fetch_state::done) {
    fetch &t = oldest(f);
    if (t.ahead) here()->ahead_chunks.fetch_sub(t.count, std::memory_order_relaxed);
    f.fetch_chunks -= t.count;
    if (t.stale)
      f.read_wasted.fetch_add(static_cast<std::uint64_t>(std::max<ssize_t>(t.io.result, 0)), std::memory_order_relaxed);
    else if (--f.fetch_fresh, take_bytes(f, t) != 0)
      drop_following(f);
    give_chunks(t, 0);
    f.fetch_waited = false;
    t.state.store(fetch_state::idle, std::memory_order_relaxed);
    f.fetch_oldest.fetch_add(1, std::memory_order_seq_cst); // pairs with fetch_done
  }
}

namespace {

// Chunks for a fetch; at least one, perhaps a small one.
int take_chunks(fetch &t, int most) noexcept {
  int n = 0;
  for (; n < most; ++n) { // for one it may have to wait, on the loop's thread; more are a matter of speed
    chunk *c = n == 0 && !t.ahead ? here()->chunks.take_large() : here()->chunks.take_large_at_hand();
    if (!c) break;
    t.chunks[n] = c;
  }
  if (n == 0 && !t.ahead) { // the pool is exhausted: every file may have a small one, so that every reader gets on
    t.chunks[0] = here()->chunks.take_small();
    n = t.chunks[0] != nullptr;
  }
  t.count = n;
  return n > 0 ? 0 : -ENOMEM;
}

int piece(const file &f) noexcept { return std::clamp(window_of(f) / 2, 1, limits::fetch_chunks_max); }

void prepare(file &f, fetch &t) noexcept {
  t.bytes = 0;
  for (int i = 0; i < t.count; ++i) {
    t.spans[i] = {t.chunks[i]->data, t.chunks[i]->bytes_max};
    t.bytes += t.chunks[i]->bytes_max;
  }
  io_request &r = t.io;
  r.done = fetch_done;
  r.work.owner = f.gates.load(std::memory_order_relaxed);
  r.flags = 0;
  r.osfd = f.osfd;
  r.offset = f.fetch_end;
  t.lead = 0;
  choose_cache_mode(f, t);
  r.first = t.spans[0];
  r.rest = t.spans + 1;
  r.rest_count = t.count - 1;
  r.write = false;
}

} // namespace

int start_fetch(file &f, bool ahead) noexcept {
  fetch &t = f.fetches[f.fetch_newest % limits::fetches_max];
  if (t.state.load(std::memory_order_relaxed) != fetch_state::idle) return -EBUSY;
  if (!fetching(f)) f.fetch_end = f.position + f.in.size();
  t.ahead = ahead;
  t.stale = false;
  if (int r = take_chunks(t, ahead ? piece(f) : std::min(window_of(f), limits::fetch_chunks_max))) return r;
  if (ahead) here()->ahead_chunks.fetch_add(t.count, std::memory_order_relaxed);
  t.of = &f;
  t.place = f.fetch_newest++;
  t.began = now_ns();
  prepare(f, t);
  f.fetch_end += static_cast<std::int64_t>(t.bytes - t.lead);
  f.fetch_chunks += t.count;
  ++f.fetch_fresh;
  files.add_reference(slot_of(f));
  t.state.store(fetch_state::running, std::memory_order_seq_cst);
  process &h = *here();
  // What is copied within the ring is copied on the loop's thread: large ones keep it too long.
  const bool to_ring = t.direct || (t.bytes <= limits::ring_request_max && f.ringable.load(std::memory_order_relaxed));
  if (to_ring)
    submit_io(*f.home->engine_used, h.engines, f.home->at, &t.io);
  else
    engine_threads.submit(h.engines, f.home->at, &t.io);
  return 0;
}

void fetch_ahead(file &f) noexcept {
  const int window = window_of(f);
  if (window < 2 || f.pending_error || f.pending_end || f.end_ahead) return;
  for (;;) {
    const int buffered = static_cast<int>(f.in.size() / limits::chunk_bytes);
    if (window - buffered - f.fetch_chunks < piece(f) || !f.in.has_room(f.fetch_chunks + piece(f))) return;
    if (here()->ahead_chunks.load(std::memory_order_relaxed) >= limits::ahead_chunks_max) return;
    if (start_fetch(f, true) != 0) return;
  }
}

void forget_fetches(file &f) noexcept {
  for (std::uint32_t i = f.fetch_oldest.load(std::memory_order_relaxed); i != f.fetch_newest; ++i)
    f.fetches[i % limits::fetches_max].stale = true;
  f.fetch_fresh = 0;
  f.fetch_waited = false;
  f.fetch_end = f.position;
  f.window = 1;
  f.hits = 0;
}

void note_hits(file &f) noexcept {
  if (++f.hits >= limits::hits_to_decay && f.window > 1) f.window /= 2, f.hits = 0;
}

void init_fetching(file &f, std::size_t read_ahead_max) noexcept {
  f.window_most = static_cast<int>(read_ahead_max / limits::chunk_bytes);
  f.fetch_oldest.store(0, std::memory_order_relaxed);
  f.fetch_newest = 0;
  f.fetch_fresh = f.fetch_chunks = 0;
  f.fetch_waited = false;
  for (fetch &t : f.fetches) {
    t.count = 0;
    t.state.store(fetch_state::idle, std::memory_order_relaxed);
  }
}

void end_fetching(file &f) noexcept {
  for (fetch &t : f.fetches) { // what they brought and nobody absorbed
    if (t.count > 0 && t.ahead) here()->ahead_chunks.fetch_sub(t.count, std::memory_order_relaxed);
    give_chunks(t, 0);
  }
}

} // namespace ef
