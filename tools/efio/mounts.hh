// SPDX-License-Identifier: BSD-2-Clause
// The mount that a file is on, by /proc/self/mountinfo.
#ifndef EFIO_TOOL_MOUNTS_HH
#define EFIO_TOOL_MOUNTS_HH

#include <string>

namespace tool {

struct mount {
  std::string type, point, source, options; // all empty: not found
};

// By the mount's number in fdinfo, which asks no file system.
mount mount_of(int fd);

// By the letters of an absolute path.
mount mount_of(const std::string &path);

} // namespace tool
#endif
