// SPDX-License-Identifier: BSD-2-Clause
// Log rotation: when a file is long or old enough, its new name, and the next file. The lane's.
#ifndef EF_ROTATOR_HH
#define EF_ROTATOR_HH

#include "file.hh"
#include "unit.hh"

#include <cstddef>

namespace ef {

// 0 or a negated errno: can a file opened so be rotated as the options say?
int check_rotation(const ef_file_options &o, int flags) noexcept;
void init_rotation(file &f, const ef_file_options &o) noexcept; // a new life

// Of the pieces of a unit, in their order, the bytes that go to the file before it is rotated, calls whole but for one
// that is begun; 0: rotate it now.
std::size_t bytes_before_rotation(file &f, const piece *pieces, int count) noexcept;

// Renames the file and opens the next one. What goes wrong is told once; then the file is written on, and it is tried
// again after a while.
void rotate(file &f) noexcept;

} // namespace ef
#endif
