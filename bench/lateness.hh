// SPDX-License-Identifier: BSD-2-Clause
// How late a loop calls its 1 ms timer: what everybody else on the loop feels.
#ifndef EF_BENCH_LATENESS_HH
#define EF_BENCH_LATENESS_HH

#include "harness.hh"
#include "timing.hh"

#include <algorithm>
#include <vector>

namespace bench {

constexpr double timer_seconds = 0.001;

class lateness {
 public:
  lateness() { late_.reserve(100'000); }

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

  // To be called once, before the others: a timer that was never called is late by all the time there was.
  void finish() {
    if (late_.empty()) late_.push_back(static_cast<double>(now_ns() - begin_) / 1e6);
    std::sort(late_.begin(), late_.end());
  }
  double ms(double share) const { return percentile(late_, share); }
  double ran_most_ms() const { return static_cast<double>(ran_most_) / 1e6; }
  double ticks() const { return static_cast<double>(late_.size()); }

 private:
  std::int64_t begin_ = now_ns(), last_ = 0, ran_ = 0, ran_most_ = 0;
  std::vector<double> late_;
};

} // namespace bench
#endif
