// SPDX-License-Identifier: BSD-2-Clause
// One write of the flush lane: which bytes are taken together, and the system call. The lane's.
#ifndef EF_UNIT_HH
#define EF_UNIT_HH

#include "file.hh"

namespace ef {

// Spans of the bytes at the front, about a unit's worth, if there are `least` of them; their number. For appending, and
// where files are rotated, it has whole calls, however long one is: others may append to the file as well, and one
// system call keeps its bytes together. Where an ef_seek leads elsewhere the file's offset is set.
int gather_unit(file &f, iovec *iov, std::size_t least, std::size_t *bytes) noexcept;

// Of one write: so many bytes at the front of that stream. lane: its number.
struct piece {
  write_stream *of;
  std::size_t bytes;
  unsigned lane;
};

std::size_t length_of(const iovec *iov, int count) noexcept;

// Shortens the spans to n bytes; their number.
int cut(iovec *iov, int count, std::size_t n) noexcept;

// Writes of so many bytes those that end at an aligned offset, if more are there and records need not stay whole, and
// moves on in the file. A count, which may be short, or a negated errno.
ssize_t write_unit(file &f, iovec *iov, int count, std::size_t bytes) noexcept;

// Of all calls of the system, the one under way included as far as it got. Any thread.
std::uint64_t longest_write_us(const file &f) noexcept;

} // namespace ef
#endif
