// SPDX-License-Identifier: BSD-2-Clause
// interleave.hh in cmocka tests: holds<S>() for code that must survive all executions, breaks<S>() for the controls
// that must not. Includes cmocka.h, so it comes last.
#ifndef EF_INTERLEAVE_CMOCKA_HH
#define EF_INTERLEAVE_CMOCKA_HH

#include "interleave.hh"

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>

extern "C" {
#include <cmocka.h>
}

namespace interleave {

// EFIO_LONG=1: one preemption more, within reason. EF_MUTANT=1: the first failure is all that counts.
template<class Scenario> void holds(const char *name, bounds b) {
  if (std::getenv("EFIO_LONG")) {
    ++b.preemptions;
    b.executions = 3'000'000;
  }
  result r = explore<Scenario>(name, b);
  std::printf("  %s: %llu executions, %d preemptions, %d old values%s\n", name,
              static_cast<unsigned long long>(r.executions), b.preemptions, b.stale, r.complete ? "" : ", not all");
  std::fflush(stdout);
  if (!r.failed) return;
  report(r);
  if (std::getenv("EF_MUTANT")) std::_Exit(1);
  fail_msg("%s: %s", name, r.what.c_str());
}

template<class Scenario> void breaks(const char *name, const bounds &b) {
  result r = explore<Scenario>(name, b);
  std::printf("  %s: found after %llu executions: %s\n", name, static_cast<unsigned long long>(r.executions),
              r.what.c_str());
  std::fflush(stdout);
  assert_true(r.failed);
}

} // namespace interleave
#endif
