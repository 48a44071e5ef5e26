// SPDX-License-Identifier: BSD-2-Clause
// A check that fails ends the process with its words; one that holds does nothing.
#include "check.hh"

#include "core.hh"

#include <csignal>

namespace {

void a_failed_check_says_what_and_ends_the_process(void **) {
  const std::string dir = core::directory(), said = dir + "/said";
  const int status = core::in_child([&]() -> int {
    if (!std::freopen(said.c_str(), "w", stderr)) return 1;
    std::signal(SIGABRT, [](int) { std::exit(42); }); // no core is left behind
    EF_CHECK(1 + 1 == 2);
    std::fputs("before\n", stderr);
    EF_CHECK(1 + 1 == 3);
    return 2;
  });
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 42);
  const std::string words = core::contents(said);
  assert_true(words.starts_with("before\nefio: internal error: 1 + 1 == 3 ("));
  assert_non_null(std::strstr(words.c_str(), "test_check.cc:"));
  core::remove(dir);
}

} // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(a_failed_check_says_what_and_ends_the_process)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
