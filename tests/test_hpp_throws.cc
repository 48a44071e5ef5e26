// SPDX-License-Identifier: BSD-2-Clause
// efio.hpp where there are exceptions: who asks for a value that is not there is thrown the error.
#include "hpp.hh"

namespace {

std::string dir;

template<class Call> int thrown(Call call) {
  try {
    call();
  } catch (const std::system_error &e) {
    return e.code().value();
  }
  return 0;
}

void constructors_throw_what_open_answers(void **) {
  ef::port p;
  assert_int_equal(thrown([] { ef::file f("", O_RDONLY); }), ENOENT);
  assert_int_equal(thrown([&] { ef::file f(p, "", O_RDONLY); }), ENOENT);
  ef::file f(p, (dir + "/new").c_str(), O_WRONLY | O_CREAT);
  assert_int_equal(f.write("seven b").value(), 7);
  assert_int_equal(thrown([&] { f.flush().value(); }), 0);
  f.close().value();
  assert_int_equal(thrown([&] { f.flush().value(); }), EBADF);
  assert_int_equal(thrown([&] { (void)f.write("x").value(); }), EBADF);
  auto n = f.seek(0, SEEK_SET);
  assert_int_equal(thrown([&] { (void)n.value(); }), EBADF);
  p.drain(core::patience_ms).value();
  assert_string_equal(core::contents(dir + "/new").c_str(), "seven b");
}

ef::job throws(ef::port &p, int &error) {
  ef::file f(p, (dir + "/none").c_str(), O_RDONLY);
  try {
    (co_await f.opened()).value();
  } catch (const std::system_error &e) {
    error = e.code().value();
  }
}

void what_is_awaited_throws_in_the_coroutine(void **) {
  ef::port p;
  int error = 0;
  const ef::job j = throws(p, error);
  hpp::until(p, [&] { return j.done(); });
  assert_int_equal(error, ENOENT);
}

void a_stream_throws_when_it_was_told_to(void **) {
  ef::ostream out(-1);
  out.exceptions(std::ios::badbit);
  int caught = 0;
  try {
    out << "x" << std::flush;
  } catch (const std::ios_base::failure &) {
    ++caught;
  }
  assert_int_equal(caught, 1);
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(constructors_throw_what_open_answers),
      cmocka_unit_test(what_is_awaited_throws_in_the_coroutine),
      cmocka_unit_test(a_stream_throws_when_it_was_told_to),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
