// SPDX-License-Identifier: BSD-2-Clause
// Programs around an event loop that rows compare. Each loop's file announces its own, so that a loop whose library is
// missing can be left out.
#ifndef EF_BENCH_LOOPS_HH
#define EF_BENCH_LOOPS_HH

#include "files.hh"
#include "harness.hh"
#include "lateness.hh"
#include "timing.hh"

#include <string>
#include <vector>

namespace bench {

constexpr std::size_t loop_record = 4096;                                // of a cached read
constexpr std::size_t timed_record = 65536, timed_record_most = 1 << 20; // of one beside a timer
constexpr double timer_alone_seconds = 0.2;

// The cached file, read one record after the other, around and around, until the time is over.
class cached_run {
 public:
  explicit cached_run(double seconds) : end_(now_ns() + static_cast<std::int64_t>(seconds * 1e9)) {}

  void count() { ++reads_; }
  bool over() { return reads_ % 64 == 0 && now_ns() >= end_; }
  void report(double *values) const {
    double reads = static_cast<double>(reads_), ns = static_cast<double>(now_ns() - begin_);
    values[0] = ns / reads / 1e3;
    values[1] = thread_.voluntary() / reads;
    values[2] = all_.voluntary() / reads;
    values[3] = all_.cpu_seconds() * 1e6 / reads;
  }

 private:
  std::int64_t begin_ = now_ns(), end_;
  std::uint64_t reads_ = 0;
  usage thread_{RUSAGE_THREAD}, all_{RUSAGE_SELF};
};

// A file read once beside a timer: how late the timer is called, how fast the file comes, what it costs.
class timed_run {
 public:
  timed_run(const std::string &path, std::size_t record) : record(record), size_(file_size(path)) {}

  const std::size_t record; // bytes of one read
  lateness timer;

  // Around what the loop's thread does to get bytes: did it sleep in there?
  void before_read() { sleeps_before_ = sleeps(); }
  void after_read() { slept_ += sleeps() - sleeps_before_; }
  void take(const char *data, std::size_t n) {
    right_ &= checker_.right(data, n, bytes_);
    bytes_ += n;
  }
  bool right() const { return right_ && bytes_ == size_; } // what was taken is the file

  // The end; the figures are known from then on.
  void finish() {
    seconds_ = static_cast<double>(now_ns() - begin_) / 1e9;
    cpu_ = used_.cpu_seconds();
    timer.finish();
  }
  double slept() const { return static_cast<double>(slept_); }
  double mb_per_second() const { return static_cast<double>(bytes_) / 1e6 / seconds_; }
  double cpu_seconds_per_gb() const { return cpu_ * 1e9 / static_cast<double>(bytes_); }

 private:
  static long sleeps() {
    rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nvcsw;
  }
  std::int64_t begin_ = now_ns();
  usage used_{RUSAGE_SELF}; // of all threads
  long sleeps_before_ = 0, slept_ = 0;
  std::size_t bytes_ = 0, size_;
  piece_checker checker_;
  bool right_ = true;
  double seconds_ = 0, cpu_ = 0;
};

struct cached_program {
  const char *name;
  void (*run)(const std::string &path, cached_run *);
};

struct timed_program {
  const char *loop, *name;
  void (*run)(const std::string &path, timed_run *);
  bool reads = true; // else it is the timer alone, for a moment
};

std::vector<cached_program> &cached_programs();
std::vector<timed_program> &timed_programs();
const timed_program *find_timed(const std::string &loop, const std::string &name); // nullptr: there is none

// Reads the file by it, cold or as it is, and checks what it read.
timed_run run_timed(const timed_program &p, const std::string &path, bool cold, std::size_t record);

struct announce {
  announce(std::vector<cached_program> cached, std::vector<timed_program> timed) {
    cached_programs().insert(cached_programs().end(), cached.begin(), cached.end());
    timed_programs().insert(timed_programs().end(), timed.begin(), timed.end());
  }
};

} // namespace bench
#endif
