// SPDX-License-Identifier: BSD-2-Clause
// From a path or a descriptor to a file: the part that cannot block at once, the rest on a reader thread.
#ifndef EF_OPENER_HH
#define EF_OPENER_HH

#include "port.hh"

namespace ef {

// A handle or a negated errno. options may be null.
int open_path(port &p, int dirfd, const char *path, int flags, mode_t mode, const ef_file_options *options) noexcept;
int open_descriptor(port &p, int osfd, const ef_file_options *options) noexcept;

} // namespace ef
#endif
