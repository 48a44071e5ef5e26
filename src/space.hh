// SPDX-License-Identifier: BSD-2-Clause
// Disk space for what is yet to be written, in large pieces: a log that grows line by line does not end up in thousands
// of extents, and a sync of it need not allocate.
#ifndef EF_SPACE_HH
#define EF_SPACE_HH

#include "file.hh"

#include <cstddef>

namespace ef {

void init_space(file &f, std::uint64_t ahead) noexcept; // a new life; ahead: bytes, 0 = none

// The lane's, before so many bytes are written. What goes wrong costs speed only: the write tells.
void reserve_space(file &f, std::size_t bytes) noexcept;
// The lane's, before the descriptor is given up: the space behind the end goes back, unless the file has O_APPEND,
// since others may be appending to it just now.
void return_space(file &f) noexcept;

} // namespace ef
#endif
