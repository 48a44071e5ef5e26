// SPDX-License-Identifier: BSD-2-Clause
// The one clock: monotonic nanoseconds, unmoved by changes of the date.
#ifndef EF_CLOCK_HH
#define EF_CLOCK_HH

#include <time.h>

#include <cstdint>

namespace ef {

inline std::int64_t now_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

// A point in time from a caller's milliseconds: -1 = never, kept as -1.
inline std::int64_t deadline_ns(int timeout_ms) noexcept {
  return timeout_ms < 0 ? -1 : now_ns() + std::int64_t{timeout_ms} * 1'000'000;
}
// What is left until a deadline, never below 0; -1 for never.
inline std::int64_t left_ns(std::int64_t deadline) noexcept {
  if (deadline < 0) return -1;
  std::int64_t left = deadline - now_ns();
  return left > 0 ? left : 0;
}

} // namespace ef
#endif
