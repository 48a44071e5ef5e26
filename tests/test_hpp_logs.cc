// SPDX-License-Identifier: BSD-2-Clause
// What efio.hpp has for logs: numbers of lines that become durable, the order of threads, paths opened anew, rotation.
#include "hpp.hh"

#include <algorithm>

namespace {

std::string dir;

void a_number_tells_whether_its_line_is_durable(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/numbered";
    auto f = ef::file::open(p, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, {.flush_interval_ms = 3600000});
    std::uint64_t first = 0, second = 0;
    assert_int_equal(*f->write("one\n", first), 4);
    const auto early = f->synced_up_to(first);
    assert_true(early && !*early);
    assert_int_equal(*f->wait(EF_SYNC, core::patience_ms), EF_SYNC);
    const std::string_view two = "two\n";
    assert_int_equal(*f->write(std::as_bytes(std::span(two)), second), 4);
    assert_true(first < second);
    assert_true(*f->synced_up_to(first));
    assert_false(*f->synced_up_to(second));
    FAILED_WITH(f->synced_up_to(UINT64_MAX), EINVAL);
    GOOD(f->close());
    FAILED_WITH(f->synced_up_to(first), EBADF);
    FAILED_WITH(f->write("late", first), EBADF);
    GOOD(p.drain(core::patience_ms));
    assert_string_equal(core::contents(path).c_str(), "one\ntwo\n");
  });
}

void durability_comes_by_itself(void **) {
  ef::port p;
  auto f = ef::file::open(p, (dir + "/itself").c_str(), O_WRONLY | O_CREAT, {.durable_interval_ms = 5});
  std::uint64_t line = 0;
  assert_int_equal(*f->write("a line\n", line), 7);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(core::patience_ms);
  while (!*f->synced_up_to(line)) {
    assert_true(std::chrono::steady_clock::now() < end);
    ::usleep(1000);
  }
}

void the_order_of_threads_can_be_asked_for(void **) {
  const std::string path = dir + "/threads";
  auto f = ef::file::open(path.c_str(), O_WRONLY | O_CREAT, {.when_full = EF_FULL_WAIT, .order = EF_ORDER_THREAD});
  GOOD(f->wait(EF_OPEN, core::patience_ms));
  FAILED_WITH(f->seek(0, SEEK_SET), ESPIPE);
  std::thread other([&] { GOOD(f->write(std::string(1000, 'b'))); });
  GOOD(f->write(std::string(1000, 'a')));
  other.join();
  GOOD(f->close());
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  std::string all = core::contents(path);
  assert_int_equal(all.size(), 2000);
  assert_int_equal(std::count(all.begin(), all.end(), 'a'), 1000);
  FAILED_WITH(ef::file::open(path.c_str(), O_RDWR, {.order = EF_ORDER_THREAD}), EINVAL);
}

ef::job renew(ef::file &f, std::error_code &end, bool &over) {
  GOOD(f.reopen());
  end = (co_await f.opened()).error();
  over = true;
}

void a_renamed_log_is_opened_anew_and_awaited(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/log", old = path + ".old";
    auto f = ef::file::open(p, path.c_str(), O_WRONLY | O_CREAT | O_APPEND);
    GOOD(f->write("before\n"));
    GOOD(f->wait(EF_OPEN, core::patience_ms));
    assert_int_equal(::rename(path.c_str(), old.c_str()), 0);
    std::error_code end;
    bool over = false;
    const ef::job j = renew(*f, end, over);
    GOOD(f->write("after\n"));
    hpp::until(p, [&] { return over; });
    assert_false(static_cast<bool>(end));
    GOOD(f->close());
    GOOD(p.drain(core::patience_ms));
    assert_string_equal(core::contents(old).c_str(), "before\n");
    assert_string_equal(core::contents(path).c_str(), "after\n");
    ::unlink(path.c_str());
    FAILED_WITH(f->reopen(), EBADF);
    core::put(path, "");
    auto reads = ef::file::open(p, path.c_str(), O_RDONLY);
    FAILED_WITH(reads->reopen(), EBADF);
    ::unlink(path.c_str());
  });
}

// The pipe has no room, so that the reopening comes while it is waited for.
void a_path_that_cannot_be_opened_anew_says_why(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/anew";
    hpp::full_pipe pipe(path);
    ef::file f = pipe.open(p);
    hpp::until(p, [&] { return *p.dispatch() == 0; });
    std::error_code end;
    bool over = false;
    const ef::job j = renew(f, end, over);
    assert_false(j.done());
    assert_int_equal(::unlink(path.c_str()), 0);
    hpp::until(p, [&] { return pipe.all_came() && over; });
    assert_int_equal(end.value(), ENOENT);
  });
}

ef::job wait_for_open(ef::file &f) { GOOD(co_await f.opened()); }

// Its event waits in the queue when the next one begins, which takes its time: the pipe has no room.
void an_earlier_open_does_not_tell_of_a_later_one(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/later";
    hpp::full_pipe pipe(path);
    auto f = ef::file::open(p, path.c_str(), O_WRONLY, {.write_buffer_max = 128 << 10});
    const ef::job first = wait_for_open(*f);
    GOOD(f->wait(EF_OPEN, core::patience_ms));
    pipe.fill(*f);
    std::error_code end;
    bool over = false;
    const ef::job j = renew(*f, end, over);
    for (int i = 0; i < 5; ++i) GOOD(p.wait(5));
    assert_false(over);
    hpp::until(p, [&] { return pipe.all_came() && over; });
    assert_false(static_cast<bool>(end));
    assert_true(first.done());
    GOOD(f->close());
    ::unlink(path.c_str());
  });
}

int name_it(void *arg, const char *path, unsigned long count, char *to, std::size_t size) {
  return std::snprintf(to, size, "%s%s%lu", path, static_cast<const char *>(arg), count) < 0 ? EINVAL : 0;
}

void logs_are_rotated(void **) {
  const std::string numbered = dir + "/numbers", named = dir + "/names", line(100, 'x');
  char mark[] = "-of-";
  {
    auto a = ef::file::open(numbered.c_str(), O_WRONLY | O_CREAT, {.rotate_bytes = 1000, .rotate_keep = 2});
    auto b = ef::file::open(named.c_str(), O_WRONLY | O_CREAT,
                            {.rotate_bytes = 1000, .rotate_seconds = 3600, .rotate = name_it, .rotate_arg = mark});
    for (int i = 0; i < 45; ++i) GOOD(a->write(line) && b->write(line));
  }
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  assert_int_equal(core::contents(numbered).size(), 500);
  assert_int_equal(core::contents(numbered + ".1").size(), 1000);
  assert_int_equal(core::contents(numbered + ".2").size(), 1000);
  assert_int_equal(::access((numbered + ".3").c_str(), F_OK), -1);
  assert_int_equal(core::contents(named).size(), 500);
  for (int i = 1; i <= 4; ++i) assert_int_equal(core::contents(named + "-of-" + std::to_string(i)).size(), 1000);
  FAILED_WITH(ef::file::open("x", O_WRONLY, {.rotate_keep = 1001}), EINVAL);
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_number_tells_whether_its_line_is_durable),
      cmocka_unit_test(durability_comes_by_itself),
      cmocka_unit_test(the_order_of_threads_can_be_asked_for),
      cmocka_unit_test(a_renamed_log_is_opened_anew_and_awaited),
      cmocka_unit_test(a_path_that_cannot_be_opened_anew_says_why),
      cmocka_unit_test(an_earlier_open_does_not_tell_of_a_later_one),
      cmocka_unit_test(logs_are_rotated),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
