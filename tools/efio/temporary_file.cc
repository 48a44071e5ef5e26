// SPDX-License-Identifier: BSD-2-Clause
// O_TMPFILE where it works, a name that is removed at once where it does not.
#include "temporary_file.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace tool {

int unnamed_file(const std::string &directory) {
  int fd = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0 || errno == EACCES || errno == EROFS || errno == ENOENT) return fd >= 0 ? fd : -errno;
  std::string name = directory + "/.efio-XXXXXX";
  fd = mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return -errno;
  unlink(name.c_str());
  return fd;
}

int reopen(int fd, int flags) {
  int again = open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC);
  return again >= 0 ? again : -errno;
}

int fill(int fd, std::uint64_t offset, std::uint64_t size) {
  std::vector<std::uint64_t> block(std::min<std::uint64_t>(size, 1 << 20) / 8 + 1);
  std::uint64_t random = 0x9e3779b97f4a7c15 ^ offset;
  for (std::uint64_t done = 0; done < size;) {
    for (std::uint64_t &word : block) { // xorshift64 (Marsaglia 2003)
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      word = random;
    }
    std::size_t part = std::min<std::uint64_t>(size - done, 1 << 20);
    ssize_t n = pwrite(fd, block.data(), part, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? -errno : -ENOSPC;
    done += static_cast<std::uint64_t>(n);
  }
  return 0;
}

} // namespace tool
