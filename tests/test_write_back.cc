// SPDX-License-Identifier: BSD-2-Clause
// Dirty pages on their way to the disk: in portions, errors told once and never covered by a sync, nothing left in the
// page cache where that was asked for; and disk space taken ahead.
#include "faulty.hh"
#include "own_port.hh"

#include <sys/vfs.h>

namespace {

using core::expect, core::port;

constexpr int log_flags = O_WRONLY | O_CREAT | O_APPEND, plain_flags = O_WRONLY | O_CREAT | O_TRUNC;
constexpr std::size_t megabyte = 1 << 20;
std::string dir, path;

// A portion: how many were begun; whether they wait, and what they answer then.
std::atomic<int> portions, answer;
std::atomic<bool> held;
int held_write_back(int fd, off_t bytes) {
  ++portions;
  while (held) ::usleep(200);
  return answer ? -answer.load() : ef::sys_kernel.write_back(fd, bytes);
}
std::atomic<int> allocations, allocate_error;
int counted_allocate(int fd, off_t from, off_t bytes) {
  ++allocations;
  return allocate_error ? -allocate_error.load() : ef::sys_kernel.allocate(fd, from, bytes);
}

int start(void **state) {
  dir = core::directory();
  path = dir + "/file";
  portions = answer = allocations = allocate_error = 0;
  held = false;
  return core::start_test(state);
}
int end(void **state) {
  held = false;
  const int r = core::end_test(state);
  core::remove(dir);
  return r;
}

bool in_memory() {
  struct statfs fs;
  assert_int_equal(::statfs(dir.c_str(), &fs), 0);
  return fs.f_type == 0x01021994; // tmpfs
}
#define ON_A_DISK()                                                                                                    \
  if (in_memory()) skip()

int open_file(int flags, ef_file_options o = {}) {
  o.flush_interval_ms = 5;
  const int fd = core::open(path, flags, o, port);
  core::wait(fd, EF_OPEN);
  return fd;
}
template<class Fn> void wait_until(Fn fn) {
  for (int i = 0; !fn(); ++i) {
    assert_true(i < 200'000);
    ::usleep(200);
  }
}
void expect_written(int fd) {
  assert_int_equal(ef_flush(fd), 0);
  wait_until([=] { return core::stats(fd).written == core::stats(fd).accepted; });
}

void they_are_begun_while_the_file_is_written(void **) {
  ON_A_DISK();
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD})
    for (int flags : {log_flags, plain_flags}) {
      portions = 0;
      ef_file_options o{};
      o.order = order;
      const int fd = open_file(flags, o);
      const std::string text = core::pattern(megabyte / 16);
      std::size_t all = 0;
      for (int n = 1; n <= 4; ++n)
        for (; portions < n; all += text.size()) { // the next one is begun when the one before is over
          core::write(fd, text);
          expect_written(fd);
        }
      core::close(fd, port);
      assert_true(all >= 32 * megabyte);
      assert_int_equal(core::contents(path).size(), all);
      assert_int_equal(::unlink(path.c_str()), 0);
    }
}

// A file that is written, with a portion under way that will be told of lost pages once it is not held any more.
int open_and_lose_pages() {
  const int fd = open_file(plain_flags);
  held = true;
  answer = EIO;
  core::write(fd, core::pattern(9 * megabyte));
  expect_written(fd);
  wait_until([] { return portions == 1; });
  return fd;
}

// The kernel has told a portion of lost pages, and nobody else any more. No sync may say that they are safe.
void a_sync_does_not_cover_what_a_portion_was_told(void **) {
  ON_A_DISK();
  const int fd = open_and_lose_pages();
  assert_int_equal(ef_sync(fd), 0); // fdatasync itself will succeed
  for (ef_event e; (e = core::next(port, 30)).events;) assert_false(e.events & EF_SYNC);
  held = false;
  const ef_event e = expect(EF_SYNC);
  assert_int_equal(e.error, EIO);
  FAILS_WITH(ef_write(fd, "x", 1), EIO);
  FAILS_WITH(ef_sync(fd), EIO);
  assert_int_equal(core::stats(fd).synced, 0);
  assert_true(ef_watch(fd, EF_CLOSE, nullptr) >= 0);
  FAILS_WITH(ef_close(fd), EIO);
  assert_int_equal(expect(EF_CLOSE).error, EIO);
}

void lost_pages_are_told_without_a_sync(void **) {
  ON_A_DISK();
  const int fd = open_and_lose_pages();
  held = false;
  assert_int_equal(expect(EF_ERROR).error, EIO);
  FAILS_WITH(ef_write(fd, "x", 1), EIO);
  FAILS_WITH(ef_close(fd), EIO);
  assert_true(core::contents(path) == core::pattern(9 * megabyte)); // written they were
}

// Told after the last write, when the file is closed already.
void lost_pages_are_told_by_the_close(void **) {
  ON_A_DISK();
  const int fd = open_and_lose_pages();
  assert_true(ef_watch(fd, EF_CLOSE, nullptr) >= 0);
  assert_int_equal(ef_close(fd), 0);
  ::usleep(20'000);
  held = false;
  assert_int_equal(expect(EF_CLOSE).error, EIO);
}

void where_the_kernel_has_no_such_call_nothing_is_lost(void **) {
  ON_A_DISK();
  for (int error : {ENOSYS, EINVAL, ESPIPE, EOPNOTSUPP}) {
    portions = 0;
    answer = error;
    const int fd = open_file(plain_flags);
    for (int i = 0; i < 30; ++i) core::write(fd, core::pattern(megabyte)), expect_written(fd);
    core::wait(fd, EF_SYNC);
    core::close(fd, port);
    assert_in_range(portions, 1, 2); // and it is not asked for ever
  }
}

// A disk that is stuck with our pages takes no thread from other files, nor from this one.
void one_that_is_stuck_holds_nobody_up(void **) {
  ON_A_DISK();
  held = true;
  std::vector<int> fds;
  for (int i = 0; i < 5; ++i) {
    path = dir + "/file" + std::to_string(i);
    fds.push_back(open_file(plain_flags));
    core::write(fds.back(), core::pattern(9 * megabyte));
    expect_written(fds.back());
  }
  for (int fd : fds) {
    core::write(fd, "more");
    expect_written(fd);
  }
  assert_in_range(portions, 1, 2);
  held = false;
  for (int fd : fds) assert_int_equal(ef_close(fd), 0);
  core::drain(port);
}

void streaming_leaves_nothing_in_the_page_cache(void **) {
  ON_A_DISK();
  if (ef::sys_kernel.cached_share(0, 1) == -ENOSYS) skip();
  ef_file_options o{};
  o.cache = EF_CACHE_STREAMING;
  const int fd = open_file(log_flags, o);
  assert_int_equal(core::stats(fd).cache, EF_CACHE_STREAMING);
  const std::string text = core::pattern(megabyte);
  const int look = ::open(path.c_str(), O_RDWR);
  assert_true(look >= 0);
  const int before = ef::sys_kernel.cached_share(look, megabyte);
  for (int i = 0; i < 100; ++i) {
    core::write(fd, text);
    expect_written(fd);
  }
  wait_until([&] { return before < 0 || ef::sys_kernel.cached_share(look, 100 * megabyte) <= 25; });
  core::close(fd, port);
  if (before >= 0) assert_int_equal(ef::sys_kernel.cached_share(look, 100 * megabyte), 0);
  ::close(look);
  std::string all = core::contents(path);
  for (int i = 0; i < 100; ++i) assert_int_equal(all.compare(i * megabyte, megabyte, text), 0);
}

// ---- Space ahead

std::uint64_t allocated() {
  struct stat st;
  assert_int_equal(::stat(path.c_str(), &st), 0);
  return static_cast<std::uint64_t>(st.st_blocks) * 512;
}

void space_is_taken_ahead_and_given_back(void **) {
  ON_A_DISK();
  if (core::on_fuse(dir)) skip();
  for (int flags : {plain_flags, log_flags}) {
    allocations = 0;
    ef_file_options o{};
    o.preallocate_bytes = 4 * megabyte;
    const int fd = open_file(flags, o);
    std::string all;
    for (int i = 0; i < 9; ++i) { // 900 KiB
      all += core::pattern(100'000, i);
      core::write(fd, core::pattern(100'000, i));
      expect_written(fd);
    }
    assert_int_equal(allocations, 1);
    assert_true(allocated() >= 4 * megabyte);
    struct stat st;
    assert_int_equal(::stat(path.c_str(), &st), 0);
    assert_int_equal(st.st_size, all.size());
    core::close(fd, port);
    assert_true(core::contents(path) == all);
    if (flags == plain_flags) assert_true(allocated() < 2 * megabyte);
    assert_int_equal(::unlink(path.c_str()), 0);
  }
}

void a_log_that_is_rotated_takes_no_more_than_it_may_have(void **) {
  ON_A_DISK();
  if (core::on_fuse(dir)) skip();
  ef_file_options o{};
  o.preallocate_bytes = 64 * megabyte;
  o.rotate_bytes = megabyte;
  const int fd = open_file(log_flags, o);
  for (int i = 0; i < 5; ++i) {
    core::write(fd, core::pattern(300'000));
    expect_written(fd);
    assert_true(allocated() < 2 * megabyte);
  }
  core::close(fd, port);
  assert_true(allocations >= 2);
  path += ".1";
  assert_true(allocated() < 2 * megabyte);
}

void a_disk_that_gives_no_space_is_written_all_the_same(void **) {
  for (int error : {ENOSPC, EOPNOTSUPP, EDQUOT, EIO}) {
    allocate_error = error;
    ef_file_options o{};
    o.preallocate_bytes = megabyte;
    const int fd = open_file(plain_flags, o);
    std::string all;
    for (int i = 0; i < 10; ++i) {
      core::write(fd, core::pattern(200'000, i));
      all += core::pattern(200'000, i);
      expect_written(fd);
    }
    core::close(fd, port);
    assert_true(core::contents(path) == all);
  }
  assert_true(allocations <= 8); // asked again after a megabyte more, or never
  ef_file_options o{};
  o.size = sizeof o;
  o.preallocate_bytes = (std::uint64_t{1} << 40) + 1;
  FAILS_WITH(ef_openat(port, AT_FDCWD, path.c_str(), plain_flags, 0644, &o), EINVAL);
}

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) {
    t.write_back = held_write_back;
    t.allocate = counted_allocate;
  });
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
  const CMUnitTest tests[] = {
      TEST(they_are_begun_while_the_file_is_written),
      TEST(a_sync_does_not_cover_what_a_portion_was_told),
      TEST(lost_pages_are_told_without_a_sync),
      TEST(lost_pages_are_told_by_the_close),
      TEST(where_the_kernel_has_no_such_call_nothing_is_lost),
      TEST(one_that_is_stuck_holds_nobody_up),
      TEST(streaming_leaves_nothing_in_the_page_cache),
      TEST(space_is_taken_ahead_and_given_back),
      TEST(a_log_that_is_rotated_takes_no_more_than_it_may_have),
      TEST(a_disk_that_gives_no_space_is_written_all_the_same),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
