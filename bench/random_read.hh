// SPDX-License-Identifier: BSD-2-Clause
// Many readers of random blocks around one event loop: what they ask for and what is measured of them is here, how the
// blocks are read is each contestant's own.
#ifndef EF_BENCH_RANDOM_READ_HH
#define EF_BENCH_RANDOM_READ_HH

#include "files.hh"
#include "histogram.hh"
#include "lateness.hh"
#include "timing.hh"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace bench {

constexpr std::size_t random_block = 4096;

// Each reader wants its next block from the moment on in which it has the one before: that is where its latency
// begins, whenever the contestant gets to asking for it. No block is asked for twice before all have been; where
// each has to be a miss the run is over then.
class random_run {
 public:
  random_run(const std::string &path, int readers, double seconds, bool misses);

  const std::string &path() const { return path_; }
  int readers() const { return static_cast<int>(wants_.size()); }
  char *buffer(int reader) { return buffers_.get() + static_cast<std::size_t>(reader) * random_block; }
  off_t offset(int reader) const { return wants_[static_cast<std::size_t>(reader)].offset; }

  // The reader's next offset; false: time is over.
  bool begin(int reader);
  // Its block has come, n bytes or a negated errno. The very first one is asked for alone and not counted: what a
  // contestant sets up with it, a ring or a thread, is there when time begins. True: it was this one, and all readers
  // begin now.
  bool end(int reader, ssize_t n);
  // Time is over and nothing is on its way any more.
  bool finished() const { return over_ && under_way_ == 0; }
  void tick() {
    if (begin_) timer_.tick();
  }

  void report(double *values) const; // as the rows' metrics
  // Of all blocks, those that were asked for.
  double share() const { return static_cast<double>(next_) / static_cast<double>(order_.size()); }
  double per_read_us() const { return seconds_ * 1e6 / static_cast<double>(counted_); }

 private:
  struct want {
    off_t offset;
    std::int64_t since;
  };
  void start();
  void stop(std::int64_t now);

  std::string path_;
  std::vector<want> wants_;
  std::vector<std::uint32_t> order_; // of the blocks
  std::size_t next_ = 0;
  std::unique_ptr<char, void (*)(void *)> buffers_;
  std::int64_t length_, begin_ = 0;
  int under_way_ = 0;
  bool misses_, over_ = false;
  piece_checker checker_;
  lateness timer_;
  histogram latencies_;
  usage used_{RUSAGE_SELF};
  double seconds_ = 0, cpu_ = 0, switches_ = 0, counted_ = 0;
};

// A descriptor of the kernel for the file, with the same advice for every contestant: POSIX_FADV_RANDOM, so that each
// miss reads its own block and no other.
int open_random(const std::string &path);

// ---- Contestants. Each returns when the run has finished.
void read_by_efio(random_run *run, int engine); // EF_ENGINE_
void read_by_uring(random_run *run);
void read_by_uv(random_run *run);
void read_by_aio(random_run *run);
void read_by_pread(random_run *run);

} // namespace bench
#endif
