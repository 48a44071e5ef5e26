// SPDX-License-Identifier: BSD-2-Clause
// ef_write behind the fast path: what to do when there is no room, and what errors answer.
#ifndef EF_WRITER_HH
#define EF_WRITER_HH

#include "file.hh"
#include "flusher.hh"
#include "process.hh"

#include <cstring>

namespace ef {

// The fast path, without a reference: one compare-and-swap, a copy, a release store. False: take the other path. The
// handle is checked after the tail was read: if the tail is still the same at the swap, it belongs to this handle's
// life, and from then on the reservation keeps the file from being closed.
inline bool write_fast(int handle, const void *buf, std::size_t n) noexcept {
  if (n == 0 || n > limits::atomic_bytes || !buf || handle < 0 || !here()) return false;
  file *f = files.at(static_cast<std::uint32_t>(handle) & 0xfffff);
  if (!f) return false;
  std::uint64_t tail = f->out.tail();
  if (!files.valid(handle)) return false;
  write_stream::reservation r;
  if (!f->out.reserve(tail, static_cast<std::uint32_t>(n), &r)) return false;
  note_write(*f);
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
