// SPDX-License-Identifier: BSD-2-Clause
// What one file can do, tried system call by system call.
#ifndef EFIO_TOOL_DOCTOR_TRIALS_HH
#define EFIO_TOOL_DOCTOR_TRIALS_HH

#include "probe_child.hh"

namespace tool {

// ours: an empty file of our own, which may be written.
void try_file(reporter &out, int fd, bool ours);

} // namespace tool
#endif
