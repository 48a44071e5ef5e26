// SPDX-License-Identifier: BSD-2-Clause
// Latencies of any number of operations in little memory that never grows: 64 steps to each doubling, as in Gil Tene's
// HdrHistogram, so that a percentile is right to 1.6 %.
#ifndef EF_BENCH_HISTOGRAM_HH
#define EF_BENCH_HISTOGRAM_HH

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace bench {

class histogram {
 public:
  void add(std::int64_t ns) {
    ++counts_[place_of(static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0)))];
    ++all_;
  }
  void add(const histogram &other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    all_ += other.all_;
  }
  double count() const { return static_cast<double>(all_); }
  double us(double share) const {
    auto wanted = static_cast<std::uint64_t>(share * count());
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i)
      if ((seen += counts_[i]) > wanted || seen == all_) return static_cast<double>(least_of(i)) / 1e3;
    return 0;
  }

 private:
  static constexpr unsigned order = 6, steps = 1u << order, doublings_max = 34; // up to 18 minutes
  // Below 2 * steps each nanosecond has a place; then each doubling has as many places as the one before.
  static std::size_t place_of(std::uint64_t ns) {
    if (ns < 2 * steps) return ns;
    unsigned doubling = static_cast<unsigned>(std::bit_width(ns)) - 1 - order;
    return std::min<std::size_t>(doubling * steps + (ns >> doubling), places - 1);
  }
  static std::uint64_t least_of(std::size_t place) {
    if (place < 2 * steps) return place;
    std::size_t doubling = place / steps - 1;
    return static_cast<std::uint64_t>(place - doubling * steps) << doubling;
  }
  static constexpr std::size_t places = (doublings_max + 2) * steps;
  std::array<std::uint64_t, places> counts_{};
  std::uint64_t all_ = 0;
};

} // namespace bench
#endif
