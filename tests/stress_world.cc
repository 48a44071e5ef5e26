// SPDX-License-Identifier: BSD-2-Clause
// Random worlds of calls, files, requests and failures, each from a number of its own: EFIO_SEED=N repeats them.
#include "call_world.hh"

namespace {

void every_call_of_every_world_agrees_with_the_model(void **) {
  const long worlds = core::amount(120, 20000);
  long steps = 0, events = 0, over = 0, failures = 0;
  for (long i = 0; i < worlds; ++i) {
    const std::string dir = core::directory(i % 3 == 0 ? "/dev/shm" : nullptr);
    {
      core::call_world w(dir, core::call_dice(static_cast<std::uint64_t>(i)));
      for (int k = 0; k < 500; ++k) w.step();
      w.end();
      steps += w.steps, events += w.events, over += w.over, failures += w.failures;
    }
    core::remove(dir);
  }
  std::printf("  %ld worlds: %ld calls, %ld events, %ld requests, %ld failures of the machine\n", worlds, steps, events,
              over, failures);
  assert_true(events > 0 && over > 0 && failures > 0);
}

} // namespace

int main() {
  faulty::install_for_requests();
  const CMUnitTest tests[] = {cmocka_unit_test(every_call_of_every_world_agrees_with_the_model)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
