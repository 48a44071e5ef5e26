// SPDX-License-Identifier: BSD-2-Clause
// Numbers that are used anew: files are opened and closed all the time, while others go on using the numbers they once
// had. Whatever such a call answers, it reaches its own file or none.
#include "core_stress.hh"

#include <array>

namespace {

using stress::require;

constexpr int marks = 2, numbers = 64;
std::string dir;

// Numbers and whose they were when they were put here; owner in the low bits.
std::array<std::atomic<long>, numbers> seen;
std::atomic<long> opened{0}, reached{0}, refused{0};

std::string path_of(int mark) { return dir + "/" + static_cast<char>('a' + mark); }
std::string text_of(int mark, std::size_t n) { return std::string(n, static_cast<char>('a' + mark)); }

void open_and_close(stress::random &dice, long times) {
  for (long i = 0; i < times; ++i) {
    const auto mark = static_cast<int>(dice.below(marks));
    const std::string path = path_of(mark);
    const int flags = (dice.below(2) ? O_RDWR : O_WRONLY) | O_CREAT | O_APPEND | (dice.below(50) ? 0 : O_TRUNC);
    const int fd = ef_openat(nullptr, AT_FDCWD, path.c_str(), flags, 0600, nullptr);
    require(fd >= 0, "ef_openat");
    ++opened;
    seen[dice.below(numbers)].store(static_cast<long>(fd) * marks + mark, std::memory_order_relaxed); // a hint
    if (dice.below(3)) {
      const std::string text = text_of(mark, 1 + dice.below(300));
      require(ef_write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), "ef_write of its owner");
    }
    if (dice.below(8) == 0) ::sched_yield();
    require(ef_close(fd) == 0, "ef_close by its owner");
    if (i % 64 == 0) require(ef_drain(nullptr, core::most_patience_ms) == 0, "ef_drain"); // descriptors come back
  }
}

// With a number that may be open, closed, or somebody else's by now.
void intrude(stress::random &dice) {
  const long which = seen[dice.below(numbers)].load(std::memory_order_relaxed);
  if (which < 0) return;
  const int fd = static_cast<int>(which / marks), mark = static_cast<int>(which % marks);
  const std::string text = text_of(mark, 1 + dice.below(100));
  char b[64];
  ssize_t r;
  switch (dice.below(4)) {
  case 0:
    r = ef_pread(fd, b, sizeof b, static_cast<off_t>(dice.below(1000)), nullptr);
    for (ssize_t i = 0; i < r; ++i) require(b[i] == text[0], "a byte of its own file");
    break;
  case 1:
    r = ef_sync(fd);
    break;
  default:
    r = ef_write(fd, text.data(), text.size());
    require(r < 0 || r == static_cast<ssize_t>(text.size()), "all or nothing");
  }
  require(r >= 0 || errno == EBADF || errno == EAGAIN, "EBADF is all that a stale number answers");
  ++(r >= 0 ? reached : refused);
}

void no_number_reaches_another_file(void **) {
  faulty::now.delay = 50;
  for (auto &s : seen) s.store(-1, std::memory_order_relaxed);
  const long each = core::amount(5000, 250000);
  std::atomic<int> busy{4};
  stress::together(6, [&](int t, stress::random &dice) {
    if (t < 4) {
      open_and_close(dice, each);
      --busy;
    }
    while (t >= 4 && busy > 0) intrude(dice);
  });
  faulty::heal();
  require(ef_drain(nullptr, core::most_patience_ms) == 0, "ef_drain");
  for (int mark = 0; mark < marks; ++mark)
    require(core::contents(path_of(mark)).find_first_not_of(text_of(mark, 1)) == std::string::npos,
            "its own bytes alone");
  std::printf("  %ld files opened; calls with old numbers: %ld reached their file, %ld refused\n", opened.load(),
              reached.load(), refused.load());
  assert_true(reached > 0 && refused > 0);
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
  const CMUnitTest tests[] = {cmocka_unit_test(no_number_reaches_another_file)};
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
