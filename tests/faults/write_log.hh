// SPDX-License-Identifier: BSD-2-Clause
// The log of what one file on faultfs was told: every write with its data, and every fsync. replay.cc builds from it
// what a disk may hold after the power was lost.
#ifndef EF_TESTS_WRITE_LOG_HH
#define EF_TESTS_WRITE_LOG_HH

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <mutex>

namespace faultfs {

// A record, with `length` bytes of data behind it if it is a write.
struct log_record {
  static constexpr std::uint64_t is_write = 0x657469727766ull, is_fsync = 0x636e79736666ull;
  std::uint64_t kind;
  std::uint64_t offset; // of a write; of an fsync: the log's size when it began, what stood there then is durable
  std::uint64_t length; // 0 for an fsync
};

class write_log {
 public:
  bool open(const char *path) {
    fd_ = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    return fd_ >= 0;
  }
  std::uint64_t size() {
    const std::lock_guard<std::mutex> hold(mutex_);
    return size_;
  }
  void wrote(const void *data, std::uint64_t length, std::uint64_t offset) {
    append({log_record::is_write, offset, length}, data);
  }
  void synced(std::uint64_t size_at_begin) { append({log_record::is_fsync, size_at_begin, 0}, nullptr); }

 private:
  // A log with a hole would call good what is lost: then rather no file system at all.
  void append(log_record r, const void *data) {
    const std::lock_guard<std::mutex> hold(mutex_);
    const iovec parts[2] = {{&r, sizeof r}, {const_cast<void *>(data), r.length}};
    const ssize_t all = static_cast<ssize_t>(sizeof r + r.length);
    if (::writev(fd_, parts, 2) != all) std::abort();
    size_ += static_cast<std::uint64_t>(all);
  }

  std::mutex mutex_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

} // namespace faultfs
#endif
