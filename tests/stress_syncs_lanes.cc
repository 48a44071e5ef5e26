// SPDX-License-Identifier: BSD-2-Clause
// A thread in the order of threads asks for durability and is stopped in the middle of the call, while others go on
// and the disk is full for its line: the bytes of the others do not stand for its own.
#include "faulty.hh"

#include "core_stress.hh"

#include <csignal>
#include <cstring>
#include <ucontext.h>

namespace {

using stress::require;

constexpr std::size_t mine = 50, others = 400;
std::atomic<long> written, durable; // lines of the thread that is stopped

ssize_t often_full(int fd, const iovec *iov, int count, off_t offset) {
  long lines = 0;
  for (int i = 0; i < count; ++i) {
    const auto *p = static_cast<const char *>(iov[i].iov_base);
    lines += std::count(p, p + iov[i].iov_len, '\n');
  }
  if (lines && faulty::random32() % 4) return -ENOSPC;
  const ssize_t r = ef::sys_kernel.pwritev(fd, iov, count, offset);
  if (r > 0) written += lines; // it is not short here
  return r;
}
int slow_sync(int) {
  const long n = written;
  ::usleep(500);
  durable = n;
  return 0;
}

// The processor traps after each instruction of the one thread that asks for it, and after so many the thread sleeps.
// ThreadSanitizer would hold the signals back.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
constexpr std::uint64_t trap_flag = 0x100;
volatile long steps_left;
void step(int, siginfo_t *, void *context) {
  steps_left = steps_left - 1;
  if (steps_left > 0) return;
  const int saved = errno;
  static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_EFL] &= ~static_cast<long long>(trap_flag);
  ::usleep(800);
  errno = saved;
}

int wait_stopped_once(int fd, long after) {
  struct sigaction a = {};
  a.sa_sigaction = step;
  a.sa_flags = SA_SIGINFO;
  require(::sigaction(SIGTRAP, &a, nullptr) == 0, "sigaction");
  steps_left = after;
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | trap_flag);
  const int r = ef_wait(fd, EF_SYNC, core::patience_ms);
  __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~trap_flag);
  return r;
}
#else
int wait_stopped_once(int fd, long) { return ef_wait(fd, EF_SYNC, core::patience_ms); }
#endif

// 1..16: of this thread.
unsigned lane_of_mine(int fd) {
  std::uint64_t sequence;
  require(ef_write_seq(fd, "x", 1, &sequence) == 1, "taken");
  return static_cast<unsigned>(sequence >> 56);
}

void nobody_answers_for_others(void **) {
  const std::string dir = core::directory();
  ef_file_options o{};
  o.order = EF_ORDER_THREAD;
  o.when_full = EF_FULL_WAIT;
  o.flush_interval_ms = 1;
  const int fd = core::open(dir + "/log", O_WRONLY | O_CREAT | O_TRUNC, o);
  core::wait(fd, EF_OPEN);
  std::atomic<bool> over{false};
  std::atomic<int> known{0};
  std::atomic<long> full{0};
  const long lines = core::amount(2000, 50000);
  stress::together(16, [&](int, stress::random &dice) {
    const unsigned lane = lane_of_mine(fd);
    ++known;
    while (known < 16) ::usleep(100);
    if (lane == 1) {
      const std::string text(others, 'A');
      while (!over)
        require(ef_write(fd, text.data(), text.size()) == static_cast<ssize_t>(others), "taken"), ::usleep(100);
    } else if (lane == 2 || lane == 3) {
      while (!over) (void)ef_wait(fd, EF_SYNC, core::patience_ms), ::usleep(static_cast<unsigned>(dice.below(1000)));
    } else if (lane == 16) {
      std::string text(mine, 'B');
      text.back() = '\n';
      for (long i = 0; i < lines; ++i) {
        ::usleep(static_cast<unsigned>(dice.below(300)));
        require(ef_write(fd, text.data(), text.size()) == static_cast<ssize_t>(mine), "taken");
        for (int r = 0; r != EF_SYNC;) {
          r = wait_stopped_once(fd, static_cast<long>(1 + dice.below(800)));
          require(r == EF_SYNC || (r == -1 && errno == ENOSPC), "durable, or the disk is full");
          full += r != EF_SYNC;
        }
        require(durable > i, "its own line is durable");
      }
      over = true;
    }
  });
  std::printf("  %ld lines, %ld times full\n", lines, full.load());
  require(full > 0, "the disk was full");
  core::close(fd);
  core::remove(dir);
}

} // namespace

int main() {
  static const ef::sys_table small_disk = [] {
    ef::sys_table t = ef::sys_kernel;
    t.pwritev = often_full;
    t.fdatasync = slow_sync;
    t.sync_parent = [](int, const char *) { return 0; };
    return t;
  }();
  faulty::seed();
  ef::sys = &small_disk;
  const CMUnitTest tests[] = {cmocka_unit_test(nobody_answers_for_others)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
