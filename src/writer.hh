// SPDX-License-Identifier: BSD-2-Clause
// ef_write behind the fast path: what to do when there is no room, and what errors answer.
#ifndef EF_WRITER_HH
#define EF_WRITER_HH

#include "file.hh"
#include "flusher.hh"
#include "process.hh"

#include <cstring>

namespace ef {

// Where the last write of this thread went. Slots and chunks never move, so what is remembered for a handle or a chunk
// stays true; it only saves the way through the tables, whose loads would wait one for another. Cleared in a fork
// child, whose chunks are others.
struct write_memory {
  std::uint64_t handle; // + 1; 0: none
  owned_chunk<write_stream> owned;
  std::uint64_t tail; // of the handle's file, and its chunk
  chunk *in;
};
constexpr write_memory nothing_written{0, {}, chunk_word::link(0, chunk_word::end), nullptr}; // no tail says `end`
extern constinit thread_local write_memory last_write;

// Calls of this thread that EF_FULL_DROP has discarded: their answer does not tell.
extern constinit thread_local std::uint64_t calls_dropped;

// The first path, of a thread that writes alone: no reference, no table, no locked instruction. False: take the next
// one. Closing a file seals its chunks, so the chunk's state vouches for the handle, too. When the thread first wrote
// into the chunk it has made sure, after its reservation, that somebody will flush it; `dirty` is lowered only after
// the chunk was detached, which seals it.
[[gnu::always_inline]] inline bool write_owned(int handle, const void *buf, std::size_t n) noexcept {
  const write_memory &last = last_write;
  write_stream::reservation r;
  if (last.handle != std::uint64_t{static_cast<unsigned>(handle)} + 1 || !buf || !last.owned.reserve(n, &r))
    return false;
  std::memcpy(r.data, buf, n);
  write_stream::commit(r);
  return true;
}

// The second path, still without a reference: one compare-and-swap, a copy, a release store. The handle is checked
// after the tail was read: if the tail is still the same at the swap, it belongs to this handle's life, and from then
// on the reservation keeps the file from being closed. The same tail as last time: that chunk was the stream's in this
// life of the handle.
bool write_shared(int handle, const void *buf, std::size_t n) noexcept;

// With a reference: a count or a negated errno, by the rules of when_full.
ssize_t write_file(file &f, const iovec *iov, int count, std::size_t n) noexcept;

// Could EF_ATOMIC bytes be taken now, or would a call answer an error? Any thread.
bool maybe_writable(file &f) noexcept;

} // namespace ef
#endif
