// SPDX-License-Identifier: BSD-2-Clause
// What reading leaves in the kernel's page cache: the ways to leave nothing, and what is done where they do not work.
#ifndef EF_CACHE_HH
#define EF_CACHE_HH

#include "file.hh"

namespace ef {

// Sees what works here for the mode that was asked for; by the opener, may block.
void learn_cache_mode(file &f) noexcept;
void init_cache_mode(file &f, int wanted) noexcept; // a new life

// How a fetch is done: descriptor, offset, flags, and how many bytes of it come before the wanted ones. The reader.
void choose_cache_mode(file &f, fetch &t) noexcept;
// True: what became of a fetch is the mode's doing, which is given up; it has to be done again. The reader.
bool cache_mode_failed(file &f, const fetch &t) noexcept;

// For a read of one's own buffers at an offset: the descriptor to be used. Any thread.
int descriptor_for(const file &f, const iovec *iov, int count, off_t offset) noexcept;
// True: it does not work, the mode is given up; the read has to be done again. Any thread.
bool direct_read_refused(file &f, const io_request &r) noexcept;

// The bytes of a range will be wanted: the kernel reads them into its cache, asked in the background. 0 or -ENOMEM.
int will_need(file &f, off_t offset, off_t len) noexcept;

// Everything before `position` was given to the caller. The reader.
void passed(file &f) noexcept;
void end_cache_mode(file &f) noexcept; // the last use; may block

} // namespace ef
#endif
