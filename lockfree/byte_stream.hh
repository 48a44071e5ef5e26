// SPDX-License-Identifier: BSD-2-Clause
// A stream of bytes in chunks: any number of writers append whole records, one consumer takes the committed prefix.
#ifndef EF_LOCKFREE_BYTE_STREAM_HH
#define EF_LOCKFREE_BYTE_STREAM_HH

#include "call_ends.hh"
#include "chunk_writing.hh"

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

// Contract.
//   Writers: lock-free among themselves. reserve() is one compare-and-swap on the tail chunk's state word; commit() is
//   one release store into the record's own slot. A writer stopped between the two delays the consumer at that record,
//   no other writer. Consumer: one thread at a time (the hand-over from one to the next is the caller's); wait-free in
//   the bytes present. Order: records come out in the order of their reservations; the bytes of a record are
//   contiguous. Memory: chunks come from a pool and must be type-stable: a stale writer may read the header of a
//   recycled chunk, the generation in the state word then makes its compare-and-swap fail. A reservation pins its
//   chunk, and with it the stream, until commit(). What was done before close() is visible to whoever is told that the
//   stream is closed.
// After "reserve by CAS, commit slots beside the bytes": own design, measured against four others (see
// efio_byte_stream(7)).
//
// Pool: chunk *at(index) for any index ever handed out; void give(chunk *) takes a chunk back (consumer, and writers
// that lost a race); void contended(): a writer met a chunk that another thread owns. For owned chunks, static: self()
// names the calling thread, owner_store() and barrier() as in owner_store.hh.
//
// Orders. Two links carry what is done to a chunk before it is the stream's, its header and its first record: tail_ and
// next, stored with release, loaded with acquire by whoever goes on to the chunk. A slot carries its record's bytes to
// the consumer. The state word carries nothing: its value is all that counts, and every decision taken on it is made
// good by a compare-and-swap that the generation in it guards, so an old value costs another round at most. The pool
// orders the lives of a chunk.
template<class Pool, template<class> class Atom = std::atomic> class byte_stream {
 public:
  using chunk = stream_chunk<Atom>;
  using ops = chunk_writing<Pool, Atom>;
  using reservation = chunk_reservation<Atom>;
  enum class outcome { done, retry, closed };
  enum class room { retry, needed, closed };

  // ---- Writers: any thread

  // The tail as reserve() wants it. The caller may check, between this and reserve(), that the stream is still the one
  // it means: what it then loads is not older than the tail. acquire: pairs with the swaps of tail.
  std::uint64_t tail() const noexcept { return tail_.load(std::memory_order_acquire); }

  // Room for one record of n bytes in the tail chunk, or false: no chunk, full, sealed, or the tail moved. n
  // in 1..65536.
  bool reserve(Pool &pool, std::uint64_t tail, std::uint32_t n, reservation *out) noexcept {
    std::uint32_t index = chunk_word::chunk_of(tail);
    if (index == chunk_word::none || index == chunk_word::closed) return false;
    return ops::reserve(pool.at(index), tail, n, out);
  }

  // What the tail t offers to a record of n bytes: try reserve() again, a chunk is needed, or no more writers.
  room look(Pool &pool, std::uint64_t t, std::uint32_t n) noexcept {
    using namespace chunk_word;
    if (chunk_of(t) == none) return room::needed;
    if (chunk_of(t) == closed) return room::closed;
    chunk *c = pool.at(chunk_of(t));
    std::uint64_t s = c->state.load(std::memory_order_relaxed); // see Orders; so every load of state
    if (generation_of(s) != tag_of(t)) return room::retry;
    if (is_owned(s) && ((s & revoking) || c->owner.load(std::memory_order_relaxed) != Pool::self())) {
      pool.contended();
      ops::disown(c, tag_of(t));
      return room::retry;
    }
    if (!is_sealed(s))
      return bytes_of(s) + n > c->bytes_max || records_of(s) == c->records_max ? room::needed : room::retry;
    std::uint64_t next = c->next.load(std::memory_order_acquire); // pairs with append, close
    if (tag_of(next) != tag_of(t)) return room::retry;
    if (chunk_of(next) == none) return room::needed;
    if (chunk_of(next) == closed) return room::closed;
    step(pool, t, next);
    return room::retry;
  }

  // Appends a private chain, first..last, linked by chunk_link(), behind the tail t: one attempt. done: the chain is
  // the stream's; retry: the tail is not t any more; closed: no more writers; the chain is still the caller's then.
  // at: the chain's stream position, if it is done.
  // Only with a reference that keeps the stream from being recycled.
  outcome append(Pool &pool, std::uint64_t t, chunk *first, chunk *last, std::uint64_t *at = nullptr) noexcept {
    using namespace chunk_word;
    if (chunk_of(t) == closed) return outcome::closed;
    std::uint64_t to = link(generation_of(first->state.load(std::memory_order_relaxed)), first->index);
    if (chunk_of(t) == none) {
      std::uint64_t p = ended_at_.load(std::memory_order_relaxed); // the tag tells whether it is the right one
      if ((p & tag_mask) != tag_of(t)) return outcome::retry;
      place(pool, first, last, p, none);
      if (at) *at = p;
      // seq_cst: pairs with empty() of a consumer that has lowered the "somebody will flush this" flag.
      return tail_.compare_exchange_strong(t, to, std::memory_order_seq_cst) ? outcome::done : outcome::retry;
    }
    chunk *c = pool.at(chunk_of(t));
    if (!ops::seal(c, tag_of(t))) return outcome::retry;
    std::uint64_t n = c->next.load(std::memory_order_acquire); // pairs with append, close, detach
    if (tag_of(n) != tag_of(t)) return outcome::retry;
    if (chunk_of(n) == closed) return outcome::closed;
    if (chunk_of(n) != none) {
      step(pool, t, n);
      return outcome::retry;
    }
    std::uint64_t p = c->position.load(std::memory_order_relaxed); // visible with the tail
    p += bytes_of(c->state.load(std::memory_order_relaxed));       // of the sealed chunk: not older than seal's look
    place(pool, first, last, p, c->index);
    if (at) *at = p;
    // The generation in next makes this fail if c was recycled meanwhile, whatever p was.
    if (!c->next.compare_exchange_strong(n, link(tag_of(t), first->index), std::memory_order_release,
                                         std::memory_order_relaxed)) // pairs with the loads of next
      return outcome::retry;
    tail_.compare_exchange_strong(t, to, std::memory_order_release,
                                  std::memory_order_relaxed); // or somebody helped; pairs with the loads of tail
    return outcome::done;
  }

  // No record is accepted afterwards; those reserved before are still to be committed and consumed. Once.
  void close(Pool &pool) noexcept {
    using namespace chunk_word;
    for (;;) {
      std::uint64_t t = tail_.load(std::memory_order_relaxed); // all that follows is guarded by the tag
      if (chunk_of(t) == closed) return;
      if (chunk_of(t) == none) {
        if (tail_.compare_exchange_strong(t, link(tag_of(t), closed), std::memory_order_release,
                                          std::memory_order_relaxed)) // pairs with tail()
          return;
        continue;
      }
      chunk *c = pool.at(chunk_of(t));
      if (!ops::seal(c, tag_of(t))) continue;
      std::uint64_t n = link(tag_of(t), none);
      if (c->next.compare_exchange_strong(n, link(tag_of(t), closed), std::memory_order_release,
                                          std::memory_order_acquire)) // pairs with the loads of next; with append
        return;
      if (chunk_of(n) == closed) return;
      if (tag_of(n) == tag_of(t)) step(pool, t, n);
    }
  }

  // Bytes ever accepted. Any thread; exact for bytes whose write returned before.
  std::uint64_t accepted(Pool &pool) const noexcept {
    using namespace chunk_word;
    for (;;) {
      std::uint64_t t = tail_.load(std::memory_order_acquire); // pairs with the swaps of tail
      if (chunk_of(t) == none || chunk_of(t) == closed) {
        std::uint64_t p = ended_at_.load(std::memory_order_relaxed); // the tag tells whether it is the right one
        if ((p & tag_mask) == tag_of(t)) return p;
        continue;
      }
      chunk *c = pool.at(chunk_of(t));
      // If the tail still is t afterwards, it is of this life of the chunk: pairs with place(), which comes after the
      // tail has left the chunk's last life.
      std::uint64_t position = c->position.load(std::memory_order_acquire);
      std::uint64_t s = c->state.load(std::memory_order_relaxed);
      if (generation_of(s) != tag_of(t)) continue;
      std::uint64_t n = c->next.load(std::memory_order_acquire); // pairs with append
      if (tail_.load(std::memory_order_relaxed) != t) continue;
      if (!is_sealed(s) || chunk_of(n) == none || chunk_of(n) == end || chunk_of(n) == closed)
        return position + bytes_of(s);
      const_cast<byte_stream *>(this)->step(pool, t, n);
    }
  }

  // Nothing reserved that is not consumed: the stream owns no chunk. seq_cst: pairs with reserve(). Any thread.
  bool empty() const noexcept {
    std::uint32_t c = chunk_word::chunk_of(tail_.load(std::memory_order_seq_cst));
    return c == chunk_word::none || c == chunk_word::closed;
  }

  // ---- Consumer: one thread at a time

  // Spans of committed bytes from the front, at most max_bytes, of one run of file offsets: stops before a chunk with a
  // base. *base: the offset that the next byte of the stream must have, told once, also when there is none yet; or -1.
  // Returns the number of spans.
  int gather(Pool &pool, iovec *iov, int iov_max, std::size_t max_bytes, std::int64_t *base) noexcept {
    using namespace chunk_word;
    bool any = find_head(pool);
    if (any) skip_consumed(pool);
    *base = base_;
    base_ = -1;
    if (!any) return 0;
    chunk *c = head_;
    std::uint32_t from = head_bytes_, record = head_record_;
    int count = 0;
    while (count < iov_max && max_bytes > 0) {
      std::uint64_t s = c->state.load(std::memory_order_relaxed); // sealed: then these are all its bytes
      std::uint32_t to = committed(c, generation_of(s), &record, from, max_bytes);
      if (to > from) iov[count++] = {c->data + from, to - from};
      max_bytes -= to - from;
      if (!is_sealed(s) || to != bytes_of(s)) break;
      std::uint64_t n = c->next.load(std::memory_order_acquire); // pairs with append
      if (chunk_of(n) == none || chunk_of(n) == end || chunk_of(n) == closed) break;
      c = pool.at(chunk_of(n));
      if (c->base.load(std::memory_order_relaxed) >= 0) break;
      from = record = 0;
    }
    return count;
  }

  // The first n bytes gathered are done with; chunks used up go back to the pool.
  void consume(Pool &pool, std::size_t n) noexcept {
    using namespace chunk_word;
    while (n > 0) {
      std::uint64_t s = head_->state.load(std::memory_order_relaxed); // not older than what gather saw
      std::uint32_t here = head_bytes_ + n < bytes_of(s) ? n : bytes_of(s) - head_bytes_;
      head_bytes_ += here;
      n -= here;
      head_record_ = record_at(head_, generation_of(s), head_record_, head_bytes_);
      skip_consumed(pool);
    }
  }

  // Gives the last chunk back if everything reserved is consumed. True: the stream owns nothing now.
  bool detach(Pool &pool) noexcept {
    using namespace chunk_word;
    if (!find_head(pool)) return true;
    skip_consumed(pool);
    chunk *c = head_;
    std::uint64_t s = c->state.load(std::memory_order_relaxed);
    if (bytes_of(s) != head_bytes_) return false;
    if (is_owned(s)) {
      ops::disown(c, generation_of(s));
      s = c->state.load(std::memory_order_relaxed); // not older than disown's look
      if (bytes_of(s) != head_bytes_) return false;
    }
    std::uint64_t generation = generation_of(s), n = c->next.load(std::memory_order_relaxed); // the swap below decides
    if (chunk_of(n) != none && chunk_of(n) != closed) return false; // a new chunk follows: not idle
    if (!is_sealed(s) && !c->state.compare_exchange_strong(s, s | sealed, std::memory_order_relaxed,
                                                           std::memory_order_relaxed)) // or a record was reserved
      return false;
    ended_at_.store(c->position.load(std::memory_order_relaxed) + head_bytes_,
                    std::memory_order_relaxed); // before next says so
    n = link(generation, none);
    std::uint64_t t = link(generation, c->index);
    if (c->next.compare_exchange_strong(n, link(generation, end), std::memory_order_release,
                                        std::memory_order_acquire)) // pairs with step of others; with close
      step(pool, t, link(generation, end));
    else if (chunk_of(n) == closed) // only the consumer moves a closed tail; pairs with tail()
      tail_.compare_exchange_strong(t, link(ended_at_.load(std::memory_order_relaxed), closed),
                                    std::memory_order_release, std::memory_order_relaxed);
    else
      return false;
    head_ = nullptr;
    head_bytes_ = head_record_ = 0;
    pool.give(c);
    return true;
  }

  // True if reserved bytes are not committed at the front: a writer was stopped in between. Consumer.
  bool blocked(Pool &pool) noexcept {
    using namespace chunk_word;
    if (!find_head(pool)) return false;
    skip_consumed(pool);
    std::uint64_t s = head_->state.load(std::memory_order_relaxed);
    return head_record_ < records_of(s) && !is_committed(head_, generation_of(s), head_record_);
  }

  // Where the consumer is, since it gathered last.
  stream_front<Atom> front() const noexcept { return {head_, head_bytes_, head_record_}; }

  // Bytes consumed so far. Consumer.
  std::uint64_t consumed() const noexcept {
    if (!head_) return ended_at_.load(std::memory_order_relaxed);
    return head_->position.load(std::memory_order_relaxed) + head_bytes_;
  }

  // For a new life of the stream's owner: position 0, open, empty. Only when empty and nobody can hold a reference to
  // the new life.
  void reset() noexcept {
    head_ = nullptr;
    head_bytes_ = head_record_ = 0;
    base_ = -1;
    ended_at_.store(0, std::memory_order_relaxed);
    tail_.store(0, std::memory_order_relaxed); // it names no chunk; the owner is published by other means
  }
  // No writer can find a chunk here: what an unused stream looks like.
  void shut() noexcept { tail_.store(chunk_word::link(0, chunk_word::closed), std::memory_order_relaxed); } // as reset

 private:
  // First record from `record` on that does not end at or before `bytes`.
  static std::uint32_t record_at(chunk *c, std::uint64_t generation, std::uint32_t record,
                                 std::uint32_t bytes) noexcept {
    using namespace chunk_word;
    for (; record < c->records_max; ++record) {
      std::uint64_t v = c->slots[record].load(std::memory_order_relaxed); // the consumer has seen it committed before
      if (v >> bytes_bits != generation || (v & ((1u << bytes_bits) - 1)) > bytes) break;
    }
    return record;
  }
  static bool is_committed(chunk *c, std::uint64_t generation, std::uint32_t record) noexcept {
    return c->slots[record].load(std::memory_order_relaxed) >> chunk_word::bytes_bits == generation;
  }
  // End of the committed bytes from `record` on, at most max beyond `from`.
  static std::uint32_t committed(chunk *c, std::uint64_t generation, std::uint32_t *record, std::uint32_t from,
                                 std::size_t max) {
    std::uint32_t end = from;
    for (; *record < c->records_max; ++*record) {
      std::uint64_t v = c->slots[*record].load(std::memory_order_acquire); // pairs with commit
      if (v >> chunk_word::bytes_bits != generation) break;
      end = v & ((1u << chunk_word::bytes_bits) - 1);
      if (end - from >= max) return from + static_cast<std::uint32_t>(max);
    }
    return end;
  }

  // Moves tail on from t, whose chunk's next was n, if the follower, or the end, is known. A closed stream keeps its
  // tail on the last chunk until detach(), so that find_head() finds the chain. Relaxed loads: what n names is visible
  // with it.
  void step(Pool &pool, std::uint64_t t, std::uint64_t n) noexcept {
    using namespace chunk_word;
    std::uint64_t to;
    if (chunk_of(n) == end)
      to = link(ended_at_.load(std::memory_order_relaxed), none);
    else // Read before the swap: were the follower recycled already, tail would have left t and the swap fails.
      to = link(generation_of(pool.at(chunk_of(n))->state.load(std::memory_order_relaxed)), chunk_of(n));
    tail_.compare_exchange_strong(t, to, std::memory_order_release,
                                  std::memory_order_relaxed); // pairs with the loads of tail
  }

  // Stream positions and back links of a private chain that starts at p behind `previous`.
  static void place(Pool &pool, chunk *first, chunk *last, std::uint64_t p, std::uint32_t previous) noexcept {
    using namespace chunk_word;
    for (chunk *c = first;; c = pool.at(chunk_of(c->next.load(std::memory_order_relaxed)))) {
      c->position.store(p, std::memory_order_release); // pairs with accepted()
      c->previous.store(previous, std::memory_order_relaxed);
      p += bytes_of(c->state.load(std::memory_order_relaxed));
      previous = c->index;
      if (c == last) return;
    }
  }

  // The consumer's first chunk: nobody but the consumer recycles, so walking back from the tail is safe.
  bool find_head(Pool &pool) noexcept {
    using namespace chunk_word;
    if (head_) return true;
    std::uint64_t t = tail_.load(std::memory_order_acquire); // pairs with the swaps of tail
    if (chunk_of(t) == none || chunk_of(t) == closed) return false;
    chunk *c = pool.at(chunk_of(t));
    while (std::uint32_t p = static_cast<std::uint32_t>(c->previous.load(std::memory_order_relaxed))) c = pool.at(p);
    adopt(c);
    return true;
  }

  void adopt(chunk *c) noexcept {
    head_ = c;
    head_bytes_ = head_record_ = 0;
    std::int64_t base = c->base.load(std::memory_order_relaxed); // visible with the link
    if (base >= 0) base_ = base;
  }

  // Lets go of chunks at the front that are used up and have a follower.
  void skip_consumed(Pool &pool) noexcept {
    using namespace chunk_word;
    while (head_) {
      chunk *c = head_;
      std::uint64_t s = c->state.load(std::memory_order_relaxed);
      if (!is_sealed(s) || bytes_of(s) != head_bytes_) return;
      std::uint64_t n = c->next.load(std::memory_order_acquire); // pairs with append
      if (chunk_of(n) == none || chunk_of(n) == closed || chunk_of(n) == end) return;
      step(pool, link(generation_of(s), c->index), n); // tail must not name a chunk of the pool
      adopt(pool.at(chunk_of(n)));
      pool.give(c);
    }
  }

  alignas(128) Atom<std::uint64_t> tail_{0};
  Atom<std::uint64_t> ended_at_{0}; // position at the last detach; consumer stores
  chunk *head_ = nullptr;           // this and below: the consumer's
  std::uint32_t head_bytes_ = 0, head_record_ = 0;
  std::int64_t base_ = -1; // of a chunk reached and not told yet
};

} // namespace ef
#endif
