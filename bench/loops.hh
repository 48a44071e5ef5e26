// SPDX-License-Identifier: BSD-2-Clause
// Programs around an event loop that rows compare. Each loop's file announces its own, so that a loop whose library is
// missing can be left out.
#ifndef EF_BENCH_LOOPS_HH
#define EF_BENCH_LOOPS_HH

#include "files.hh"
#include "harness.hh"
#include "timing.hh"

#include <algorithm>
#include <string>
#include <vector>

namespace bench {

constexpr std::size_t loop_record = 4096;  // of a cached read
constexpr std::size_t cold_record = 65536; // of a cold one
constexpr double timer_seconds = 0.001, timer_alone_seconds = 0.2;

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

// A cold file read once beside a timer: how late the timer is called, how fast the file comes.
class timed_run {
 public:
  timed_run() { late_.reserve(100'000); }

  // A repeating timer's callback: late by what is beyond the interval since the call before. How long this thread
  // itself ran in between tells lateness of the loop's own making from that of a busy machine.
  void tick() {
    std::int64_t now = now_ns(), ran = thread_ns();
    if (last_) {
      late_.push_back(std::max(0.0, (static_cast<double>(now - last_) / 1e9 - timer_seconds) * 1e3));
      ran_most_ = std::max(ran_most_, ran - ran_);
    }
    last_ = now;
    ran_ = ran;
  }
  // Around what the loop's thread does to get bytes: did it sleep in there?
  void before_read() { sleeps_before_ = sleeps(); }
  void after_read() { slept_ += sleeps() - sleeps_before_; }
  void take(const char *data, std::size_t n) { sum_.add(data, n); }
  const checksum &sum() const { return sum_; }

  void report(double *values) {
    double seconds = static_cast<double>(now_ns() - begin_) / 1e9;
    if (late_.empty()) late_.push_back(seconds * 1e3); // the timer was never called
    std::sort(late_.begin(), late_.end());
    const double shares[] = {0.5, 0.99, 0.999, 1};
    for (int i = 0; i < 4; ++i) values[i] = percentile(late_, shares[i]);
    values[4] = static_cast<double>(ran_most_) / 1e6;
    values[5] = static_cast<double>(slept_);
    values[6] = static_cast<double>(sum_.bytes) / 1e6 / seconds;
    values[7] = static_cast<double>(late_.size());
  }

 private:
  static long sleeps() {
    rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nvcsw;
  }
  std::int64_t begin_ = now_ns(), last_ = 0, ran_ = 0, ran_most_ = 0;
  long sleeps_before_ = 0, slept_ = 0;
  std::vector<double> late_;
  checksum sum_;
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

struct announce {
  announce(std::vector<cached_program> cached, std::vector<timed_program> timed) {
    cached_programs().insert(cached_programs().end(), cached.begin(), cached.end());
    timed_programs().insert(timed_programs().end(), timed.begin(), timed.end());
  }
};

} // namespace bench
#endif
