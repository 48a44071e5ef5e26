// SPDX-License-Identifier: BSD-2-Clause
// ef_write behind the fast path: what to do when there is no room, and what errors answer.
#ifndef EF_WRITER_HH
#define EF_WRITER_HH

#include "file.hh"
#include "flusher.hh"
#include "process.hh"

#include <cstring>

namespace ef {

// Where the last write of this thread went. Slots and chunks never move, so what is remembered for a handle or a tail
// stays true; it only saves the way through the tables, whose loads would wait one for another. Cleared in a fork
// child, whose chunks are others.
struct write_memory {
  int handle;
  file *to;
  std::uint64_t tail;
  chunk *in;
};
extern constinit thread_local write_memory last_write;

// The fast path, without a reference: one compare-and-swap, a copy, a release store. False: take the other path. The
// handle is checked after the tail was read: if the tail is still the same at the swap, it belongs to this handle's
// life, and from then on the reservation keeps the file from being closed.
[[gnu::always_inline]] inline bool write_fast(int handle, const void *buf, std::size_t n) noexcept {
  write_memory &last = last_write;
  if (n - 1 >= limits::atomic_bytes || !buf) return false;
  if (last.handle != handle || !last.to) {
    file *f = handle < 0 ? nullptr : files.at(static_cast<std::uint32_t>(handle) & 0xfffff);
    if (!f) return false;
    last = {handle, f, 0, nullptr};
  }
  file &f = *last.to;
  std::uint64_t tail = f.out.tail();
  // The same tail as last time: that chunk was the stream's in this life of the handle, and closing seals it.
  if (last.tail != tail || !last.in) {
    if (!files.valid(handle)) return false;
    last.tail = tail;
    last.in = f.out.chunk_of(tail);
    if (!last.in) return false;
  }
  write_stream::reservation r;
  if (!write_stream::reserve_in(last.in, tail, static_cast<std::uint32_t>(n), &r)) return false;
  note_write(f);
  std::memcpy(r.data, buf, n);
  write_stream::commit(r);
  return true;
}

// With a reference: a count or a negated errno, by the rules of when_full.
ssize_t write_file(file &f, const iovec *iov, int count, std::size_t n) noexcept;

// Could EF_ATOMIC bytes be taken now, or would a call answer an error? Any thread.
bool maybe_writable(file &f) noexcept;

} // namespace ef
#endif
