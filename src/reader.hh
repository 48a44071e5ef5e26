// SPDX-License-Identifier: BSD-2-Clause
// The way of a read: bytes read ahead, else an inline read that cannot block, else a background fetch and EAGAIN.
#ifndef EF_READER_HH
#define EF_READER_HH

#include "file.hh"

#include <cstddef>

namespace ef {

// All answer a count or a negated errno, with a reference held by the caller; -EBUSY if another thread is in one of
// them.
ssize_t read_file(file &f, const iovec *iov, int count) noexcept;
ssize_t peek_file(file &f, iovec *iov, int count) noexcept;
int consume_file(file &f, std::size_t n) noexcept;
off_t seek_file(file &f, off_t offset, int whence) noexcept;

// Would a read be worth a call? Any thread, no side effect.
bool maybe_readable(file &f) noexcept;
// Sees to it that it will be, for somebody who armed EF_READ or waits for it.
void fetch_for(file &f) noexcept;

// What an inline read said, other than a count: whether there is any use in asking again, and in a ring.
void note_inline_answer(file &f, ssize_t r) noexcept;

// The read that cannot block, with RWF_ flags: a count, 0, or a negated errno.
ssize_t read_now(const file &f, inline_mode how, int flags, const iovec *iov, int count, off_t offset) noexcept;

void advise_pattern(file &f) noexcept; // tells the kernel; an open file

void init_reading(file &f, chunk_pool &chunks, std::size_t read_ahead_max) noexcept; // a new life
void end_reading(file &f) noexcept; // the last reference is gone: every chunk goes back

} // namespace ef
#endif
