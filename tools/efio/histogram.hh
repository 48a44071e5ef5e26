// SPDX-License-Identifier: BSD-2-Clause
// Latencies in buckets of equal relative width, after HdrHistogram (Gil Tene): 19 KiB whatever is counted, and an
// answer is at most 1/64 above the truth.
#ifndef EFIO_TOOL_HISTOGRAM_HH
#define EFIO_TOOL_HISTOGRAM_HH

#include <array>
#include <cstddef>
#include <cstdint>

namespace tool {

class histogram {
 public:
  void add(std::int64_t ns);
  void add(const histogram &other);

  std::uint64_t count() const { return count_; }
  std::int64_t least() const { return count_ ? least_ : 0; }
  std::int64_t most() const { return most_; }
  double mean() const { return count_ ? sum_ / static_cast<double>(count_) : 0; }

  // The latency that this share (0 .. 1) of all did not exceed.
  std::int64_t percentile(double share) const;

  // The buckets, some of them empty, in order.
  static constexpr std::size_t size() { return buckets; }
  std::uint64_t at(std::size_t bucket) const { return counts_[bucket]; }
  static std::int64_t highest(std::size_t bucket); // what still falls into it

 private:
  static constexpr int sub_bits = 6;
  static constexpr std::int64_t limit = std::int64_t{1} << 42; // 73 minutes; more counts as this
  static constexpr std::size_t buckets = (42 - sub_bits + 1) << sub_bits;
  static std::size_t bucket_of(std::int64_t ns);
  std::array<std::uint64_t, buckets> counts_ = {};
  std::uint64_t count_ = 0;
  std::int64_t least_ = limit, most_ = 0;
  double sum_ = 0;
};

} // namespace tool
#endif
