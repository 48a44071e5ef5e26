// SPDX-License-Identifier: BSD-2-Clause
// Random worlds of calls, files, requests and failures, each from a number of its own: EFIO_SEED=N repeats them. Files
// given as arguments are worlds that a fuzzer has made.
#include "call_world.hh"

#include <filesystem>

namespace {

void every_call_of_every_world_agrees_with_the_model(void **) {
  const long worlds = core::amount(80, 20000);
  core::world_counts all{};
  const std::string dirs[] = {core::directory(), core::directory("/dev/shm")};
  for (long i = 0; i < worlds; ++i) {
    const core::world_counts c = core::live(dirs[i % 3 == 0], core::call_dice(static_cast<std::uint64_t>(i)));
    all.steps += c.steps, all.events += c.events, all.over += c.over, all.failures += c.failures;
    all.rotations += c.rotations;
  }
  std::printf("  %ld worlds: %ld calls, %ld events, %ld requests, %ld rotations, %ld failures of the machine\n", worlds,
              all.steps, all.events, all.over, all.rotations, all.failures);
  assert_true(all.events > 0 && all.over > 0 && all.failures > 0);
  assert_true(all.rotations > 0 || worlds < 1000);
  for (const std::string &d : dirs) {
    assert_true(std::filesystem::is_empty(d));
    core::remove(d);
  }
}

int play(int count, char **files) {
  const std::string dir = core::directory("/dev/shm");
  for (int i = 0; i < count; ++i) {
    std::printf("%s\n", files[i]);
    const std::string bytes = core::contents(files[i]);
    core::live(dir, core::call_dice(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size()));
  }
  core::remove(dir);
  std::printf("%d worlds of a fuzzer\n", count);
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  faulty::install_for_requests();
  if (argc > 1) return play(argc - 1, argv + 1);
  const CMUnitTest tests[] = {cmocka_unit_test(every_call_of_every_world_agrees_with_the_model)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
