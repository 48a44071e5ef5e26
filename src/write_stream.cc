// SPDX-License-Identifier: BSD-2-Clause
// Appending when the tail chunk has no room: taking chunks within the budget, filling them before they are linked.
#include "write_stream.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ef {

constinit thread_local char thread_mark;

namespace {
std::atomic<bool> owners{false};
}

void write_stream::enable_owners() noexcept { owners.store(owner_store_enable(), std::memory_order_relaxed); }

void byte_source::copy_to(unsigned char *to, std::size_t n) noexcept {
  while (n > 0) {
    std::size_t here = std::min(n, iov_->iov_len - done_);
    if (here) std::memcpy(to, static_cast<const unsigned char *>(iov_->iov_base) + done_, here);
    to += here;
    n -= here;
    done_ += here;
    if (done_ == iov_->iov_len && count_ > 1) {
      ++iov_;
      --count_;
      done_ = 0;
    }
  }
}

void write_stream::open(chunk_pool *pool, std::uint32_t chunks_max, write_stream *with) noexcept {
  held_.store(with ? &with->chunks_ : &chunks_, std::memory_order_relaxed); // published with the slot
  pool_.store(pool, std::memory_order_relaxed);                             // published with the slot
  chunks_.store(0, std::memory_order_relaxed);
  shared_for_.store(0, std::memory_order_relaxed);
  filled_.store(false, std::memory_order_relaxed);
  quiet_.store(false, std::memory_order_relaxed);
  flush_target.store(0, std::memory_order_relaxed);
  sync_target.store(0, std::memory_order_relaxed);
  age_mark = 0;
  chunks_max_ = chunks_max;
  backlog_ = std::min<std::uint32_t>(limits::backlog_chunks, chunks_max / 2);
  backlog_most_ = chunks_max / 2;
  stream_.reset();
}

void write_stream::give_back(chunk *c) noexcept {
  // seq_cst: before the consumer's look at who was refused; pairs with chunks() of a writer that armed itself before.
  held().fetch_sub(1, std::memory_order_seq_cst);
  pool().give(c);
}

// One chunk for n <= EF_ATOMIC bytes. A quiet stream starts with a small one; where the pool has no large ones left a
// file may still have two small ones, so that small writes always get on.
int write_stream::take(std::uint64_t tail, std::size_t n, chunk **out) noexcept {
  std::uint32_t had = held().fetch_add(1, std::memory_order_seq_cst); // pairs with give()
  if (had >= chunks_max_) {
    held().fetch_sub(1, std::memory_order_seq_cst);
    return -EAGAIN;
  }
  const bool quiet = chunk_word::chunk_of(tail) == chunk_word::none && had < 2;
  const bool small_will_do = n <= limits::small_chunk_bytes && had < 2;
  chunk *c = nullptr;
  if (!quiet || n > limits::small_chunk_bytes / 4) c = pool().take_large();
  if (!c && small_will_do) c = pool().take_small();
  if (c) {
    *out = c;
    return 0;
  }
  held().fetch_sub(1, std::memory_order_seq_cst);
  // Where nothing can be given back, waiting for it would be for ever.
  return small_will_do || !pool().at_bound() ? -ENOMEM : -ENOBUFS;
}

// A lone writer that fills large chunks owns them: no locked instruction a record. Small chunks, and the one large one
// that a quiet file may need, are given back after each flush, which would cost a barrier each time. Where several
// write, everybody uses compare-and-swap for a while.
std::uint64_t write_stream::owner_for(const chunk &c, std::uint64_t tail) noexcept {
  if (c.bytes_max != limits::chunk_bytes || !owners.load(std::memory_order_relaxed)) return 0;
  const chunk *last = chunk_of(tail);
  if (last && last->bytes_max == limits::chunk_bytes)
    filled_.store(true, std::memory_order_relaxed);
  else if (quiet_.load(std::memory_order_relaxed))
    return 0;
  int left = shared_for_.load(std::memory_order_relaxed);
  if (left > 0)
    shared_for_.store(left - 1, std::memory_order_relaxed); // losing a count to another writer does not matter
  return left > 0 ? 0 : self();
}

bool write_stream::detach() noexcept {
  const std::uint64_t before = given_;
  const bool empty = stream_.detach(*this);
  if (empty && given_ != before)
    quiet_.store(!filled_.exchange(false, std::memory_order_relaxed), std::memory_order_relaxed);
  return empty;
}

ssize_t write_stream::put(byte_source from, std::size_t n) noexcept {
  if (n > limits::atomic_bytes) return put_many(from, n);
  chunk *spare = nullptr;
  ssize_t result = static_cast<ssize_t>(n);
  for (;;) {
    std::uint64_t t = tail();
    reservation r;
    if (reserve(t, static_cast<std::uint32_t>(n), &r)) {
      from.copy_to(r.data, n);
      commit(r);
      break;
    }
    stream::room room = stream_.look(*this, t, static_cast<std::uint32_t>(n));
    if (room == stream::room::retry) continue;
    int error = room == stream::room::closed ? -EPIPE : spare ? 0 : take(t, n, &spare);
    if (error) {
      result = error;
      break;
    }
    // Filled before it is linked: whoever sees the chunk sees the record committed.
    byte_source again = from;
    again.copy_to(spare->data, n);
    chunk_begin(*spare, static_cast<std::uint32_t>(n), -1, owner_for(*spare, t));
    stream::outcome o = stream_.append(*this, t, spare, spare);
    if (o == stream::outcome::done) return result;
  }
  if (spare) give_back(spare);
  return result;
}

// More than one chunk's worth: a chain filled in private and linked by one swap, so that the call's bytes stay
// together.
ssize_t write_stream::put_many(byte_source from, std::size_t n) noexcept {
  chunk *first = nullptr, *last = nullptr;
  std::size_t done = 0;
  int error = 0;
  n = std::min(n, limits::write_call_max);
  while (done < n) {
    std::size_t here = std::min<std::size_t>(n - done, limits::chunk_bytes);
    chunk *c;
    error = take(chunk_word::link(0, chunk_word::closed), limits::chunk_bytes, &c); // a large one
    if (error) break;
    from.copy_to(c->data, here);
    chunk_begin(*c, static_cast<std::uint32_t>(here), last ? same_call : -1);
    if (last)
      chunk_link(*last, *c);
    else
      first = c;
    last = c;
    done += here;
  }
  if (!first) return error;
  stream::outcome o;
  while ((o = stream_.append(*this, tail(), first, last)) == stream::outcome::retry) {}
  if (o == stream::outcome::done) return static_cast<ssize_t>(done);
  give_chain(first, last);
  return -EPIPE;
}

void write_stream::give_chain(chunk *first, chunk *last) noexcept {
  for (chunk *c = first, *next;; c = next) {
    next = c == last ? nullptr : at(chunk_word::chunk_of(c->next.load(std::memory_order_relaxed)));
    give_back(c);
    if (!next) return;
  }
}

int write_stream::move_to(std::int64_t offset, std::uint64_t *at) noexcept {
  const bool room = held().fetch_add(1, std::memory_order_seq_cst) < chunks_max_; // pairs with give()
  chunk *c = room ? pool().take_small() : nullptr;
  if (!c) {
    held().fetch_sub(1, std::memory_order_seq_cst);
    return room ? -ENOMEM : -EAGAIN;
  }
  chunk_begin(*c, 0, offset);
  stream::outcome o;
  while ((o = stream_.append(*this, tail(), c, c, at)) == stream::outcome::retry) {}
  if (o == stream::outcome::done) return 0;
  give_back(c);
  return -EPIPE;
}

bool write_stream::put_ahead(chunk *c, const void *bytes, std::size_t n) noexcept {
  stream::outcome o = stream::outcome::closed;
  if (n > 0) {
    std::memcpy(c->data, bytes, n);
    chunk_begin(*c, static_cast<std::uint32_t>(n), -1);
    while ((o = stream_.append(*this, tail(), c, c)) == stream::outcome::retry) {}
  }
  if (o != stream::outcome::done) give_back(c);
  return o == stream::outcome::done;
}

} // namespace ef
