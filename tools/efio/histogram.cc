// SPDX-License-Identifier: BSD-2-Clause
// A bucket's number is the binary exponent and the six bits below the leading one.
#include "histogram.hh"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tool {

std::size_t histogram::bucket_of(std::int64_t ns) {
  int width = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(ns)));
  int shift = std::max(0, width - sub_bits - 1);
  return (static_cast<std::size_t>(shift) << sub_bits) + static_cast<std::size_t>(ns >> shift);
}

std::int64_t histogram::highest(std::size_t bucket) {
  std::size_t shift = std::max<std::size_t>(bucket >> sub_bits, 1) - 1;
  std::size_t mantissa = bucket - (shift << sub_bits);
  return static_cast<std::int64_t>(((mantissa + 1) << shift) - 1);
}

void histogram::add(std::int64_t ns) {
  ns = std::clamp<std::int64_t>(ns, 0, limit - 1);
  ++counts_[bucket_of(ns)];
  ++count_;
  least_ = std::min(least_, ns);
  most_ = std::max(most_, ns);
  sum_ += static_cast<double>(ns);
}

void histogram::add(const histogram &other) {
  for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  least_ = std::min(least_, other.least_);
  most_ = std::max(most_, other.most_);
  sum_ += other.sum_;
}

std::int64_t histogram::percentile(double share) const {
  auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t passed = 0;
  for (std::size_t i = 0; i < buckets; ++i) {
    passed += counts_[i];
    if (passed >= std::max<std::uint64_t>(wanted, 1)) return std::min(highest(i), most_);
  }
  return most_;
}

} // namespace tool
