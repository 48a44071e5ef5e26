// SPDX-License-Identifier: BSD-2-Clause
// A call that is held before any one of its instructions, in the library, the C library and the kernel's page of
// functions alike: the processor's single-step flag (TF) makes each a SIGTRAP. So what another thread does meanwhile
// happens in every place between two instructions, one after the other, not where luck has it.
#ifndef EF_TESTS_STEPPED_HH
#define EF_TESTS_STEPPED_HH

#include "stress.hh"

#include <signal.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <semaphore>
#include <string>
#include <thread>

// A sanitizer's runtime has its own idea of signals and goes through its memory in each call.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && !defined(EF_YIELDS)
#define EF_STEPPING 1
#endif

namespace stepped {

constexpr long long flag = 0x100; // TF of the flags register
constexpr int longest_ms = 10;    // the other thread may need what the held one has

inline std::atomic<long> steps, hold_at; // hold_at < 0: nowhere
inline std::atomic<bool> held, go_on;
inline std::atomic<long> trials;   // begun and ended
inline thread_local long stepping; // in which of them
inline std::atomic<int> worker;    // who called step_here

inline void at_an_instruction(int, siginfo_t *, void *context) {
#ifdef EF_STEPPING
  long long &flags = static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_EFL];
  if (stepping != trials.load(std::memory_order_acquire)) { // a thread that slept in between
    flags &= ~flag;
    return;
  }
  if (steps.fetch_add(1, std::memory_order_relaxed) != hold_at.load(std::memory_order_relaxed)) return;
  held.store(true, std::memory_order_release); // all that came before is seen
  const int error = errno;
  const timespec moment{0, 20'000};
  for (long us = 0; us < longest_ms * 1000L && !go_on.load(std::memory_order_acquire); us += 70)
    ::nanosleep(&moment, nullptr); // with the kernel's slack of 50 us
  errno = error;
  flags &= ~flag; // what is left runs freely
#else
  (void)context;
#endif
}
// Before run(), by either thread.
inline void prepare(long at) { steps = 0, held = false, go_on = false, hold_at = at, ++trials; }

// Calls fn, and is held before that instruction of it until go_on, but not longer than longest_ms. One thread at a
// time.
template<class Fn> void run(Fn fn) {
#ifdef EF_STEPPING
  stepping = trials;
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | static_cast<unsigned long long>(flag));
  fn();
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~static_cast<unsigned long long>(flag));
#else
  fn();
#endif
}

// From here on this thread, a worker of the library's, is stepped through until it was held or nobody steps any more.
inline void step_here() {
#ifdef EF_STEPPING
  worker = ::gettid();
  stepping = trials;
  sigset_t trap;
  ::sigemptyset(&trap);
  ::sigaddset(&trap, SIGTRAP);
  ::pthread_sigmask(SIG_UNBLOCK, &trap, nullptr);
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | static_cast<unsigned long long>(flag));
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

inline void doze() {
  const timespec moment{0, 1};
  ::nanosleep(&moment, nullptr); // some 50 us
}
// Until it is so, for some milliseconds.
template<class Condition> bool soon(Condition is_so) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
  for (; !is_so(); doze())
    if (std::chrono::steady_clock::now() > end) return false;
  return true;
}

enum class trial { done, too_late, no_such_instruction }; // too late: the call went on before the other had begun

// A thread whose calls are held: always the same, so that what it knows of files goes on from trial to trial.
class caller {
 public:
  using call = ssize_t (*)();
  caller() = default;
  caller(const caller &) = delete;
  ~caller() {
    wanted_ = nullptr;
    begin_.release();
    thread_.join();
  }
  // call() there, held before instruction `at` of it, or asleep before it comes to that; then meanwhile() here. What it
  // answered: result, error. Until it is over afterwards(), every millisecond.
  template<class Fn> trial hold(long at, call wanted, Fn meanwhile, void (*afterwards)() = nullptr) {
    wanted_ = wanted;
    prepare(at);
    begin_.release();
    bool happened = false;
    for (int i = 0; !held; ++i) {
      if (over_.try_acquire_for(std::chrono::microseconds(20)))
        return held ? trial::too_late : trial::no_such_instruction;
      if (happened && afterwards) afterwards();
      if (i != 300) continue;
      meanwhile(); // it sleeps: what comes after that has to wake it up
      happened = true;
    }
    if (!happened) meanwhile();
    go_on = true;
    while (!over_.try_acquire_for(std::chrono::milliseconds(1)))
      if (afterwards) afterwards();
    return trial::done;
  }
  ssize_t result = 0;
  int error = 0;

 private:
  void work() {
    for (;;) {
      begin_.acquire();
      if (!wanted_) return;
      run([this] {
        result = wanted_();
        error = errno;
      });
      over_.release();
    }
  }
  call wanted_ = nullptr; // none: the thread ends
  std::binary_semaphore begin_{0}, over_{0};
  std::thread thread_{[this] { work(); }};
};

inline bool worker_sleeps() { // and is not just without a processor
  const std::string name = "/proc/self/task/" + std::to_string(worker) + "/stat";
  FILE *f = std::fopen(name.c_str(), "r");
  char state = 0;
  const bool known = f && std::fscanf(f, "%*d (%*[^)]) %c", &state) == 1;
  if (f) std::fclose(f);
  return known && state == 'S';
}

// A worker that calls step_here is held before instruction `at` of what it does from there on: start() brings it there,
// then meanwhile() here.
template<class Start, class Fn> trial hold_worker(long at, Start start, Fn meanwhile) {
  prepare(at);
  start();
  long last = 0;
  for (int quiet = 0; !held && quiet < (last > 0 ? 40 : 40000); doze()) {
    const long now = steps;
    if (now != last)
      quiet = 0;
    else if (now == 0 || worker_sleeps()) // it has not come there, or is through
      ++quiet;
    last = now;
  }
  const bool there = held;
  if (there) meanwhile();
  go_on = true;
  ++trials;
  return there ? trial::done : trial::no_such_instruction;
}

// try_at(n) for every step-th n, others in each run, until there is no such instruction. EFIO_STEP sets the step; with
// EFIO_LONG=1 it is 1. Returns how many were done.
template<class Try> long each_place(long usual_step, Try try_at) {
  const char *text = std::getenv("EFIO_STEP");
  const long step = text ? std::max(std::atol(text), 1L) : std::getenv("EFIO_LONG") ? 1 : usual_step;
  long n = static_cast<long>(stress::seed() % static_cast<std::uint64_t>(step)), count = 0;
  for (int missed = 0; missed < 3;) { // not every trial takes the same way
    const trial t = try_at(n);
    if (t == trial::too_late) continue;
    n += step;
    missed = t == trial::done ? 0 : missed + 1;
    count += t == trial::done;
  }
  return count;
}

} // namespace stepped

#endif
