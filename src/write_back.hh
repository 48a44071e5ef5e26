// SPDX-License-Identifier: BSD-2-Clause
// What writing leaves behind in the kernel's page cache: dirty pages go to the disk in small portions, in the
// background, so that neither a sync nor the kernel's own writing finds gigabytes of them.
#ifndef EF_WRITE_BACK_HH
#define EF_WRITE_BACK_HH

#include "file.hh"

namespace ef {

void init_write_back(file &f) noexcept;  // a new life
void learn_write_back(file &f) noexcept; // the opener's, once it knows the file

// The lane's, after bytes were written: begins a portion if it is time, or says in portion_later that it wants to be
// asked again. At most one of a file is under way.
void bring_to_disk(file &f) noexcept;

// The lane's: 0, or the errno with which the disk refused pages, once. Like that of a failed fdatasync it is final.
int write_back_error(file &f) noexcept;
// The same, after a successful fdatasync: whoever is just being told of lost pages by the kernel will have said so.
int write_back_error_settled(file &f) noexcept;

// Before the descriptor is closed; may block. 0 or an errno, as above.
int end_write_back(file &f) noexcept;

} // namespace ef
#endif
