// SPDX-License-Identifier: BSD-2-Clause
// Log rotation: when a file is long or old enough, its new name, and the next file. The lane's.
#ifndef EF_ROTATOR_HH
#define EF_ROTATOR_HH

#include "file.hh"

#include <cstddef>

namespace ef {

// 0 or a negated errno: can a file opened so be rotated as the options say?
int check_rotation(const ef_file_options &o, int flags) noexcept;
void init_rotation(file &f, const ef_file_options &o) noexcept; // a new life

// Bytes that the file takes before it is rotated, but for the rest of a call that is begun; 0: rotate it. *empty:
// nothing is in it, so that a call that is longer than a file may be goes to it all the same.
std::uint64_t room_before_rotation(file &f, bool *empty) noexcept;

// In the order of calls: of `bytes` gathered, how many go to the file before it is rotated; SIZE_MAX: it is not. 0:
// rotate now.
std::size_t bytes_to_rotation(file &f, std::size_t bytes) noexcept;

// Renames the file and opens the next one. What goes wrong is told once; then the file is written on, and it is tried
// again after a while.
void rotate(file &f) noexcept;

} // namespace ef
#endif
