// SPDX-License-Identifier: BSD-2-Clause
// What the stress tests of the core share: how much is done, the ways in which a file is served, and a second run on
// one core.
#ifndef EF_TESTS_CORE_STRESS_HH
#define EF_TESTS_CORE_STRESS_HH

#include "faulty.hh"
#include "stress.hh"

#include "core.hh"

namespace core {

// The program runs again with this in the environment, all its threads on one core.
constexpr const char *one_core_variable = "EFIO_ONE_CORE";

// `usual`, or `many` with EFIO_LONG=1; less where everything is slow, but something.
inline long amount(long usual, long many) {
  long n = std::getenv("EFIO_LONG") ? many : usual;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(EF_YIELDS)
  n /= 8;
#endif
  if (std::getenv(one_core_variable)) n /= 3;
  return n > 0 ? n : 1;
}

struct mode {
  const char *name, *under;
  bool no_nowait, faults;
};
constexpr mode modes[] = {
    {"page cache", nullptr, false, false},          {"no RWF_NOWAIT", nullptr, true, false},
    {"in memory", "/dev/shm", false, false},        {"faulty", nullptr, false, true},
    {"faulty, in memory", "/dev/shm", false, true},
};

inline void set_up(const mode &m) {
  faulty::heal();
  faulty::now.nowait_none = m.no_nowait;
  if (!m.faults) return;
  faulty::now.nowait_miss = faulty::now.short_read = 300;
  faulty::now.short_write = 700;
  faulty::now.delay = 30;
}

// A faulty trial in which nothing went wrong does not count.
template<class Test> void in_each_mode(Test test) {
  for (const mode &m : modes) {
    set_up(m);
    std::uint64_t faults = faulty::now.shorts + faulty::now.delays;
    bool counts = false;
    std::printf("  %s\n", m.name);
    for (int trial = 0; trial < 50 && !counts; ++trial) {
      std::string dir = directory(m.under);
      test(dir, m);
      remove(dir);
      counts = !m.faults || faulty::now.shorts + faulty::now.delays > faults;
    }
    assert_true(counts);
  }
  faulty::heal();
}

// After a good run on all cores: the whole program once more on one. Does not return if there is more than one.
inline int again_on_one_core(int failed, char **argv) {
  if (failed || std::getenv(one_core_variable) || stress::cores() == 1) return failed;
  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
  sched_setaffinity(0, sizeof one, &one);
  ::setenv(one_core_variable, "1", 1);
  std::printf("on one core\n");
  std::fflush(stdout);
  std::fflush(stderr);
  ::execv("/proc/self/exe", argv);
  stress::failed("exec");
}

} // namespace core
#endif
