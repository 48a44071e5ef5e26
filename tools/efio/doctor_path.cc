// SPDX-License-Identifier: BSD-2-Clause
// A path: its mount, a file there to try things on, and each thing tried on it.
#include "doctor_probes.hh"

#include "command.hh"
#include "doctor_trials.hh"
#include "mounts.hh"
#include "temporary_file.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

namespace tool {
namespace {

constexpr int entries_max = 4096; // of a directory in which a readable file is looked for

// A regular file of the directory that can be read and holds something, or -1.
int some_readable_file(const std::string &directory, std::string *name) {
  DIR *entries = opendir(directory.c_str());
  if (!entries) return -1;
  int found = -1;
  const dirent *e;
  for (int i = 0; found < 0 && i < entries_max && (e = readdir(entries)); ++i) {
    if (e->d_type != DT_REG && e->d_type != DT_UNKNOWN) continue;
    int fd = openat(dirfd(entries), e->d_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
      found = fd, *name = e->d_name;
    else if (fd >= 0)
      close(fd);
  }
  closedir(entries);
  return found;
}

void tell_mount(reporter &out, int fd) {
  mount m = mount_of(fd);
  if (m.type.empty()) // below a chroot, whose root is no mount
    return out.text("file_system", "file system", "unknown", "its mount is not in /proc/self/mountinfo");
  out.text("file_system", "file system", m.type, m.source + " on " + m.point + ", " + m.options);
}

void try_in_directory(reporter &out, const std::string &path) {
  out.step("creating a temporary file");
  int fd = unnamed_file(path);
  if (fd >= 0) {
    out.text("tried_on", "tried on", "a temporary file");
    return try_file(out, fd, true);
  }
  std::string name, why = "no temporary file: " + errno_name(-fd);
  out.step("looking for a readable file");
  fd = some_readable_file(path, &name);
  if (fd < 0) return out.failed("tried_on", "tried on", why + "; and no readable file");
  out.text("tried_on", "tried on", name, why + "; writing was not tried");
  try_file(out, fd, false);
}

void try_existing(reporter &out, const std::string &path) {
  out.step("opening it");
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return out.failed("tried_on", "tried on", errno_name(errno));
  out.text("tried_on", "tried on", "the file itself", "writing was not tried: give its directory");
  try_file(out, fd, false);
}

} // namespace

void probe_path(reporter &out, const std::string &path) {
  out.step("looking it up");
  int fd = open(path.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return out.failed("path", "path", errno_name(errno));
  tell_mount(out, fd);
  out.step("fstat(2)");
  struct stat st;
  if (fstat(fd, &st) != 0) return out.failed("path", "path", errno_name(errno));
  if (S_ISDIR(st.st_mode)) return try_in_directory(out, path);
  if (S_ISREG(st.st_mode)) return try_existing(out, path);
  out.failed("path", "path", "neither a directory nor a regular file");
}

std::string mount_by_name(const std::string &path) {
  char here[PATH_MAX];
  mount m = mount_of(path[0] == '/' || !getcwd(here, sizeof here) ? path : here + ("/" + path));
  return m.type + " on " + m.point;
}

} // namespace tool
