// SPDX-License-Identifier: BSD-2-Clause
// Clocks, processor time and context switches; and how results are kept from being optimized away.
#ifndef EF_BENCH_TIMING_HH
#define EF_BENCH_TIMING_HH

#include <sys/resource.h>
#include <time.h>

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace bench {

inline std::int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

// What the calling thread has run.
inline std::int64_t thread_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

inline void pause_ns(long ns) {
  timespec t{0, ns};
  nanosleep(&t, nullptr);
}

// A pair of readings around one call. The fences keep the call's instructions between the readings.
#if defined(__x86_64__)
inline std::uint64_t ticks_before() {
  _mm_lfence();
  std::uint64_t t = __rdtsc();
  _mm_lfence();
  return t;
}
inline std::uint64_t ticks_after() {
  unsigned processor;
  std::uint64_t t = __rdtscp(&processor);
  _mm_lfence();
  return t;
}
inline double ns_per_tick() {
  std::int64_t n = now_ns();
  std::uint64_t t = ticks_before();
  pause_ns(20'000'000);
  std::int64_t passed = now_ns() - n;
  return static_cast<double>(passed) / static_cast<double>(ticks_after() - t);
}
#else
inline std::uint64_t ticks_before() { return static_cast<std::uint64_t>(now_ns()); }
inline std::uint64_t ticks_after() { return static_cast<std::uint64_t>(now_ns()); }
inline double ns_per_tick() { return 1; }
#endif

// Processor time and context switches of who (RUSAGE_SELF, RUSAGE_THREAD) since the object was made.
class usage {
 public:
  explicit usage(int who) : who_(who) { getrusage(who, &before_); }
  static double so_far(int who) { return usage(who).seconds_before(); }
  double cpu_seconds() const { return seconds(read()) - seconds_before(); }
  double voluntary() const { return static_cast<double>(read().ru_nvcsw - before_.ru_nvcsw); }
  double involuntary() const { return static_cast<double>(read().ru_nivcsw - before_.ru_nivcsw); }

 private:
  double seconds_before() const { return seconds(before_); }
  rusage read() const {
    rusage u;
    getrusage(who_, &u);
    return u;
  }
  static double seconds(const rusage &u) {
    return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
  }
  int who_;
  rusage before_;
};

// The compiler must assume that value is used and that memory changed.
template<class T> inline void keep(const T &value) { asm volatile("" : : "r,m"(value) : "memory"); }

} // namespace bench
#endif
