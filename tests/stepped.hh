// SPDX-License-Identifier: BSD-2-Clause
// A call that is held before any one of its instructions, in the library, the C library and the kernel's page of
// functions alike: the processor's single-step flag (TF) makes each a SIGTRAP. So what another thread does meanwhile
// happens in every place between two instructions, one after the other, not where luck has it.
#ifndef EF_TESTS_STEPPED_HH
#define EF_TESTS_STEPPED_HH

#include <atomic>
#include <cstdint>

#include <signal.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

// A sanitizer's runtime has its own idea of signals and goes through its memory in each call.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && !defined(EF_YIELDS)
#define EF_STEPPING 1
#endif

namespace stepped {

constexpr long long flag = 0x100; // TF of the flags register
constexpr int longest_ms = 10;    // the other thread may need what the held one has

inline std::atomic<long> steps, hold_at; // hold_at < 0: nowhere
inline std::atomic<bool> held, go_on;

inline void at_an_instruction(int, siginfo_t *, void *context) {
#ifdef EF_STEPPING
  if (steps.fetch_add(1, std::memory_order_relaxed) != hold_at.load(std::memory_order_relaxed)) return;
  held.store(true, std::memory_order_release); // all that came before is seen
  const timespec moment{0, 20'000};
  for (long us = 0; us < longest_ms * 1000L && !go_on.load(std::memory_order_acquire); us += 70)
    ::nanosleep(&moment, nullptr);                                         // with the kernel's slack of 50 us
  static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_EFL] &= ~flag; // what is left runs freely
#else
  (void)context;
#endif
}
// Before run(), by either thread.
inline void prepare(long at) { steps = 0, held = false, go_on = false, hold_at = at; }

// Calls fn, and is held before that instruction of it until go_on, but not longer than longest_ms. One thread at a
// time.
template<class Fn> void run(Fn fn) {
#ifdef EF_STEPPING
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | static_cast<unsigned long long>(flag));
  fn();
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~static_cast<unsigned long long>(flag));
#else
  fn();
#endif
}

// False: this machine does not step (another processor, a sanitizer's build, valgrind).
inline bool install() {
#ifdef EF_STEPPING
  struct sigaction a {};
  a.sa_sigaction = at_an_instruction;
  a.sa_flags = SA_SIGINFO | SA_RESTART;
  if (::sigaction(SIGTRAP, &a, nullptr) != 0) return false;
  prepare(-1);
  run([] { ::getppid(); });
  return steps > 0;
#else
  return false;
#endif
}

} // namespace stepped

#endif
