// SPDX-License-Identifier: BSD-2-Clause
// One write of a flush lane.
#ifndef EF_UNIT_HH
#define EF_UNIT_HH

#include "file.hh"

#include <sys/types.h>

namespace ef {

// Writes a unit of what is committed and takes it out of its streams: bytes written, 0 = nothing to write now, or a
// negated errno. The flush lane's.
ssize_t write_unit(file &f) noexcept;

// Everything accepted so far is given up. The flush lane's.
void discard(file &f) noexcept;

} // namespace ef
#endif
