// SPDX-License-Identifier: BSD-2-Clause
// What efio doctor finds out, and what it makes of it.
#ifndef EFIO_TOOL_DOCTOR_PROBES_HH
#define EFIO_TOOL_DOCTOR_PROBES_HH

#include "probe_child.hh"

#include <string>
#include <vector>

namespace tool {

// Kernel, io_uring, the engine that the library takes, limits. To be run apart.
void probe_system(reporter &out);

// The file system of a path, and what it can do: tried, not looked up. To be run apart.
void probe_path(reporter &out, const std::string &path);

// "TYPE on MOUNT POINT" for a path by its letters alone, without a question to a file system that may hang.
std::string mount_by_name(const std::string &path);

struct advice {
  std::string about; // "" = the system, else a path
  std::string text;
};
std::vector<advice> advise_system(const facts &system);
std::vector<advice> advise_path(const std::string &path, const facts &of_path);

} // namespace tool
#endif
