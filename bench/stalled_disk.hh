// SPDX-License-Identifier: BSD-2-Clause
// A disk that stands still for a while: an ext4 in a file, mounted where only this process sees it, frozen and thawed
// by a process that does nothing else.
#ifndef EF_BENCH_STALLED_DISK_HH
#define EF_BENCH_STALLED_DISK_HH

#include <sys/types.h>

#include <string>

namespace bench {

// In the parent, before the measurements: the file system to be mounted; empty, or why there is none.
std::string make_image(const std::string &path);

// In a measurement, before its first thread. Skips it, telling why, where this machine or user cannot.
class stalled_disk {
 public:
  stalled_disk(const std::string &image, const std::string &at);
  ~stalled_disk(); // thaws it, and unmounts it
  stalled_disk(const stalled_disk &) = delete;
  stalled_disk &operator=(const stalled_disk &) = delete;

  void stall(double seconds); // begins a moment later; returns at once
  bool frozen() const;
  bool over() const; // it was frozen and is no more; fails the measurement if it could not be

 private:
  struct state;
  std::string at_;
  state *state_; // shared with the freezer
  pid_t freezer_;
};

} // namespace bench
#endif
