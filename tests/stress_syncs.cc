// SPDX-License-Identifier: BSD-2-Clause
// Many threads wait until their lines are durable, on a disk that takes next to no time for it, so that rounds of the
// flush lane follow each other as fast as they can: nobody is forgotten, nobody is told too early.
#include "faulty.hh"

#include "core_stress.hh"

namespace {

using stress::require;

std::atomic<std::uint64_t> syncs;
std::atomic<bool> slow;
int quick_sync(int) {
  const std::uint64_t n = ++syncs;
  if (slow && n % 16 == 0) ::usleep(n % 7 * 30);
  return 0;
}

struct seen {
  std::atomic<long> durable{0}, late{0};
};

void wait_for_line(int fd, std::uint64_t sequence, int ms, seen &s) {
  const int r = ef_wait(fd, EF_SYNC, ms);
  require(r == EF_SYNC || (r == 0 && ms >= 0 && ms < core::patience_ms), "a sync that was waited for is over");
  if (r != EF_SYNC) return (void)++s.late;
  require(ef_synced_up_to(fd, sequence) == 1, "what was written before is durable");
  ++s.durable;
}

void nobody_is_forgotten(void **) {
  const std::string dir = core::directory();
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD})
    for (int threads : {3, 8, 40}) {
      slow = threads == 8;
      ef_file_options o{};
      o.order = order;
      o.when_full = EF_FULL_WAIT;
      const int fd = core::open(dir + "/log", O_WRONLY | O_CREAT | O_TRUNC, o);
      core::wait(fd, EF_OPEN);
      seen s;
      const long lines = core::amount(40000, 1000000) / threads;
      const std::uint64_t before = syncs;
      stress::together(threads, [&](int, stress::random &dice) {
        for (long i = 0; i < lines; ++i) {
          std::uint64_t sequence;
          require(ef_write_seq(fd, "a line\n", 7, &sequence) == 7, "taken");
          if (dice.below(64) == 0) require(ef_sync(fd) == 0, "ef_sync");
          const int ms = dice.below(32) ? core::patience_ms : static_cast<int>(dice.below(2));
          wait_for_line(fd, sequence, ms, s);
        }
      });
      std::printf("  %d threads: %ld durable by %lu syncs, %ld did not wait for it\n", threads, s.durable.load(),
                  static_cast<unsigned long>(syncs - before), s.late.load());
      const ef_file_counters c = core::stats(fd);
      require(c.accepted == static_cast<std::uint64_t>(lines) * static_cast<unsigned>(threads) * 7, "all were taken");
      core::close(fd);
    }
  core::remove(dir);
}

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) {
    t.fdatasync = quick_sync;
    t.sync_parent = [](int, const char *) { return 0; };
  });
  const CMUnitTest tests[] = {cmocka_unit_test(nobody_is_forgotten)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
