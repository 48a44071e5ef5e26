// SPDX-License-Identifier: BSD-2-Clause
// Starting threads.
#include "thread.hh"

#include "limits.hh"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace ef {
namespace {

std::atomic<int> running{0};

struct start_info {
  char name[16];
  void (*run)(void *);
  void *arg;
};

void *enter(void *p) {
  start_info info = *static_cast<start_info *>(p);
  std::free(p);
  pthread_setname_np(pthread_self(), info.name);
  // When woken, a batch thread does not preempt a normal one: the caller that wakes a flusher goes on. It gets the same
  // share of the processor otherwise. Not being allowed to only costs the caller's tail latency.
  sched_param none{};
  pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
  info.run(info.arg);
  running.fetch_sub(1, std::memory_order_relaxed); // a count for statistics
  return nullptr;
}

// Sanitizers put large objects on the stack of whoever they instrument.
std::size_t stack_bytes() noexcept {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 4 * limits::thread_stack_bytes;
#else
  return limits::thread_stack_bytes;
#endif
}

} // namespace

int start_thread(const char *name, void (*run)(void *), void *arg) noexcept {
  auto *info = static_cast<start_info *>(std::malloc(sizeof(start_info)));
  if (!info) return -ENOMEM;
  std::strncpy(info->name, name, sizeof info->name - 1);
  info->name[sizeof info->name - 1] = 0;
  info->run = run;
  info->arg = arg;
  sigset_t all, old;
  sigfillset(&all);
  // A fault of our own code must still be reported where it happens.
  for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) sigdelset(&all, s);
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, stack_bytes());
  pthread_sigmask(SIG_SETMASK, &all, &old);
  running.fetch_add(1, std::memory_order_relaxed);
  pthread_t id;
  int error = pthread_create(&id, &attr, enter, info);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  pthread_attr_destroy(&attr);
  if (error) {
    running.fetch_sub(1, std::memory_order_relaxed);
    std::free(info);
  }
  return -error;
}

int threads_running() noexcept { return running.load(std::memory_order_relaxed); }
void threads_forget() noexcept { running.store(0, std::memory_order_relaxed); }

} // namespace ef
