// SPDX-License-Identifier: BSD-2-Clause
// What the stress tests of lockfree/ share: threads, seeds, and forced preemption inside the operations under test.
#ifndef EF_STRESS_HH
#define EF_STRESS_HH

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sched.h>
#include <thread>
#include <unistd.h>
#include <vector>

// EFIO_SEED=n repeats a run as far as threads allow that; EFIO_LONG=1 makes it forty times longer; EFIO_STRESS_MS=n
// sets the time of each part. Four threads a core. Under `taskset -c 0` every switch is a forced one.
namespace stress {

inline int cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
inline int threads() { return std::clamp(4 * cores(), 4, 32); }

inline std::uint64_t seed() {
  static const std::uint64_t s = [] {
    const char *text = std::getenv("EFIO_SEED");
    std::uint64_t v = text ? std::strtoull(text, nullptr, 0)
                           : static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    std::printf("EFIO_SEED=%llu, %d threads\n", static_cast<unsigned long long>(v), threads());
    return v;
  }();
  return s;
}

inline std::chrono::milliseconds part(int ms) {
  if (const char *text = std::getenv("EFIO_STRESS_MS")) return std::chrono::milliseconds(std::atoi(text));
  return std::chrono::milliseconds(std::getenv("EFIO_LONG") ? 40 * ms : ms);
}

class random {
 public:
  explicit random(std::uint64_t n) : state_(seed() + n * 0x9e3779b97f4a7c15) {}
  std::uint64_t operator()() { // splitmix64
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  std::uint64_t below(std::uint64_t n) { return (*this)() % n; }

 private:
  std::uint64_t state_;
};

inline thread_local random *shaker; // of the threads that together() starts

// A point where the thread may lose the processor: one time in 64, and in 4096 for long.
inline void shake() {
  if (!shaker) return;
  std::uint64_t r = (*shaker)();
  if (r % 4096 == 0)
    usleep(50);
  else if (r % 64 == 0)
    sched_yield();
}

// std::atomic with such a point before each operation.
template<class T> class shaken {
 public:
  shaken() noexcept = default;
  shaken(T v) noexcept : value_(v) {}
  T load(std::memory_order o) const noexcept { return shake(), value_.load(o); }
  void store(T v, std::memory_order o) noexcept { shake(), value_.store(v, o); }
  T exchange(T v, std::memory_order o) noexcept { return shake(), value_.exchange(v, o); }
  T fetch_add(T v, std::memory_order o) noexcept { return shake(), value_.fetch_add(v, o); }
  T fetch_sub(T v, std::memory_order o) noexcept { return shake(), value_.fetch_sub(v, o); }
  T fetch_or(T v, std::memory_order o) noexcept { return shake(), value_.fetch_or(v, o); }
  bool compare_exchange_strong(T &e, T v, std::memory_order good, std::memory_order bad) noexcept {
    return shake(), value_.compare_exchange_strong(e, v, good, bad);
  }
  bool compare_exchange_weak(T &e, T v, std::memory_order good, std::memory_order bad) noexcept {
    return shake(), value_.compare_exchange_weak(e, v, good, bad);
  }
  const std::atomic<T> &plain() const noexcept { return value_; }

 private:
  std::atomic<T> value_{};
};

[[noreturn]] inline void failed(const char *what) {
  std::printf("FAILED: %s (EFIO_SEED=%llu)\n", what, static_cast<unsigned long long>(seed()));
  std::fflush(stdout);
#ifdef EF_FUZZ
  std::abort(); // the fuzzer keeps what led to it
#endif
  std::_Exit(1);
}
inline void require(bool good, const char *what) {
  if (!good) failed(what);
}

// Runs body(thread, random) in n threads at once and waits for them.
template<class Body> void together(int n, Body body) {
  seed();
  std::atomic<int> ready{0};
  std::vector<std::thread> all;
  for (int i = 0; i < n; ++i)
    all.emplace_back([&, i] {
      random mine(i), other(1000 + i);
      shaker = &other;
      ready.fetch_add(1, std::memory_order_acq_rel); // all begin at once, or nearly
      while (ready.load(std::memory_order_acquire) < n) sched_yield();
      body(i, mine);
      shaker = nullptr;
    });
  for (std::thread &t : all) t.join();
}

// True until the time is up; looks at the clock now and then.
class period {
 public:
  explicit period(int ms) : end_(std::chrono::steady_clock::now() + part(ms)) {}
  bool operator()() const { return std::chrono::steady_clock::now() < end_; }

 private:
  std::chrono::steady_clock::time_point end_;
};

// Waits for a condition, at most 20 s.
template<class Condition> void await(Condition c, const char *what) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!c()) {
    if (std::chrono::steady_clock::now() > end) failed(what);
    sched_yield();
  }
}

} // namespace stress
#endif
