// SPDX-License-Identifier: BSD-2-Clause
// Readers of random blocks: offsets, contents, latencies.
#include "random_read.hh"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

namespace bench {

random_run::random_run(const std::string &path, int readers, double seconds, bool misses)
    : path_(path), wants_(static_cast<std::size_t>(readers)), order_(file_size(path) / random_block),
      buffers_(static_cast<char *>(std::aligned_alloc(random_block, wants_.size() * random_block)), std::free),
      length_(static_cast<std::int64_t>(seconds * 1e9)), misses_(misses) {
  if (order_.empty() || !buffers_) fail("no file, or no memory");
  std::memset(buffers_.get(), 0, wants_.size() * random_block); // page faults are not what is measured
  std::iota(order_.begin(), order_.end(), 0u);
  // Another order each time: what the disk itself remembers of the last one helps nobody.
  std::shuffle(order_.begin(), order_.end(), std::mt19937(static_cast<unsigned>(now_ns())));
}

void random_run::start() {
  used_ = usage(RUSAGE_SELF);
  begin_ = now_ns();
  for (want &w : wants_) w.since = begin_;
}

bool random_run::begin(int reader) {
  if (over_ || (misses_ && next_ == order_.size())) return false;
  wants_[static_cast<std::size_t>(reader)].offset = static_cast<off_t>(order_[next_ % order_.size()] * random_block);
  ++next_;
  ++under_way_;
  return true;
}

bool random_run::end(int reader, ssize_t n) {
  want &w = wants_[static_cast<std::size_t>(reader)];
  --under_way_;
  if (n != random_block) fail("read of 4 KiB: %s", n < 0 ? std::strerror(static_cast<int>(-n)) : "short");
  if (!checker_.right(buffer(reader), random_block, static_cast<std::size_t>(w.offset)))
    fail("the bytes are not those of the file");
  if (over_) return false;
  if (!begin_) {
    start();
    return true;
  }
  std::int64_t now = now_ns();
  latencies_.add(now - w.since);
  w.since = now;
  if (now - begin_ >= length_ || (misses_ && next_ == order_.size())) stop(now);
  return false;
}

void random_run::stop(std::int64_t now) {
  over_ = true;
  seconds_ = static_cast<double>(now - begin_) / 1e9;
  cpu_ = used_.cpu_seconds();
  switches_ = used_.voluntary() + used_.involuntary();
  counted_ = latencies_.count();
  timer_.finish();
}

void random_run::report(double *values) const {
  values[0] = counted_ / seconds_ / 1e3;
  values[1] = cpu_ * 1e6 / counted_;
  values[2] = latencies_.us(0.5);
  values[3] = latencies_.us(0.99);
  values[4] = latencies_.us(0.999);
  values[5] = switches_ / counted_;
  values[6] = timer_.ms(0.999);
  values[7] = timer_.ms(1);
}

int open_random(const std::string &path) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) != 0) fail("%s: %s", path.c_str(), std::strerror(errno));
  return fd;
}

} // namespace bench
