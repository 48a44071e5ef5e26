// SPDX-License-Identifier: BSD-2-Clause
// Disks, limits and objects that fail: told as the manual says, nothing invented, nothing lost in silence, no abort.
#include "own_port.hh"

#include <sys/mount.h>

namespace {

using core::end_test;
using core::expect;
using core::port;
using core::start_test;

std::string dir;

std::string lines(int from, int to) {
  std::string s;
  char b[32];
  for (int i = from; i < to; ++i) {
    std::snprintf(b, sizeof b, "line %09d of this\n", i);
    s += b;
  }
  return s;
}

// Trouble that has passed by the time that its event is taken is told with its name all the same.
void trouble_that_passed_keeps_its_name(void **) {
  faulty::now.write_errno = ENOSPC;
  ef_file_options o{};
  o.flush_interval_ms = 10;
  int fd = core::open(dir + "/passed", O_WRONLY | O_CREAT, o, port);
  core::write(fd, "a line\n");
  for (int ms = 0; core::stats(fd).write_trouble == 0 && ms < core::patience_ms; ++ms) ::usleep(1000);
  faulty::heal();
  for (int ms = 0; core::stats(fd).written == 0 && ms < core::patience_ms; ++ms) ::usleep(1000);
  assert_int_equal(core::stats(fd).write_trouble, 0);
  assert_int_equal(expect(EF_ERROR).error, ENOSPC);
  core::close(fd, port);
  assert_true(core::contents(dir + "/passed") == "a line\n");
}

// Also to one who has begun to wait before the open has failed.
void a_sync_of_a_file_that_cannot_be_opened_tells_why(void **) {
  faulty::now.open_errno = ENOENT;
  for (int i = 0; i < 50; ++i) {
    faulty::now.delay = 1024;
    int fd = core::open(dir + "/none", O_WRONLY | O_CREAT, {}, port);
    ef_write(fd, "a line\n", 7); // or ENOENT
    FAILS_WITH(ef_wait(fd, EF_SYNC, core::patience_ms), ENOENT);
    ef_close(fd);
  }
  assert_int_equal(core::drain(port), 0);
  faulty::heal();
}

// Accepted bytes are kept while there is no room and go on when there is; in between the caller is told and refused.
void no_space_is_told_and_passes(int error) {
  std::string path = dir + "/full" + std::to_string(error);
  faulty::now.write_errno = error;
  ef_file_options o{};
  o.write_buffer_max = 256 * 1024;
  o.flush_interval_ms = 10;
  int fd = core::open(path, O_WRONLY | O_CREAT, o, port), n = 0;
  std::string line;
  do {
    line = lines(n, n + 1);
  } while (ef_write(fd, line.data(), line.size()) > 0 && ++n);
  assert_int_equal(errno, EAGAIN);
  ef_event e = expect(EF_ERROR);
  assert_int_equal(e.error, error);
  assert_int_equal(core::stats(fd).write_trouble, error);
  const std::uint64_t tries = core::stats(fd).flushes;
  for (int ms = 0; core::stats(fd).flushes < tries + 3 && ms < core::patience_ms; ++ms) ::usleep(1000);
  assert_true(core::nothing_more(port)); // it is told once
  assert_int_equal(core::stats(fd).error, 0);
  assert_int_equal(core::stats(fd).lost, 0);
  assert_int_equal(ef_sync(fd), 0);
  assert_int_equal(expect(EF_SYNC).error, error);
  FAILS_WITH(ef_wait(fd, EF_SYNC, core::patience_ms), error);
  faulty::heal();
  expect(EF_WRITE);
  core::write(fd, lines(n, n + 100));
  assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
  assert_int_equal(core::stats(fd).write_trouble, 0);
  core::close(fd, port);
  assert_true(core::contents(path) == lines(0, n + 100));
}
void a_full_disk_keeps_bytes_and_resumes(void **) {
  for (int e : {ENOSPC, EDQUOT, EFBIG}) no_space_is_told_and_passes(e);
}

void a_budget_holds_what_it_says(void **) {
  faulty::now.write_errno = ENOSPC;
  ef_file_options o{};
  o.write_buffer_max = 256 * 1024;
  int fd = core::open(dir + "/budget", O_WRONLY | O_CREAT, o, port);
  const std::string all = core::pattern(256 * 1024);
  for (std::size_t at = 0; at < all.size(); at += EF_ATOMIC)
    assert_int_equal(ef_write(fd, all.data() + at, EF_ATOMIC), EF_ATOMIC);
  FAILS_WITH(ef_write(fd, all.data(), EF_ATOMIC), EAGAIN);
  faulty::heal();
  core::close(fd, port);
  assert_true(core::contents(dir + "/budget") == all);
  // Of a larger call it takes what it holds, and says so.
  faulty::now.write_errno = ENOSPC;
  fd = core::open(dir + "/part", O_WRONLY | O_CREAT, o, port);
  assert_int_equal(ef_write(fd, (all + all).data(), 2 * all.size()), all.size());
  faulty::heal();
  core::close(fd, port);
  assert_true(core::contents(dir + "/part") == all);
}

void closing_on_a_full_disk_gives_up_and_says_so(void **) {
  int fd = core::open("/dev/full", O_WRONLY, {}, port);
  core::write(fd, "into nothing");
  ef_watch(fd, EF_CLOSE, nullptr);
  assert_int_equal(ef_close(fd), 0);
  ef_event e = core::next(port);
  assert_int_equal(e.events, EF_CLOSE);
  assert_int_equal(e.error, ENOSPC);
}

void an_io_error_sticks(void **) {
  faulty::now.write_errno = EIO;
  int fd = core::open(dir + "/eio", O_WRONLY | O_CREAT, {}, port);
  int other = core::open(dir + "/fine", O_WRONLY | O_CREAT, {}, port);
  core::wait(fd, EF_OPEN);
  core::write(fd, "lost bytes");
  assert_int_equal(ef_flush(fd), 0);
  ef_event e = expect(EF_ERROR);
  assert_int_equal(e.fd, fd);
  assert_int_equal(e.error, EIO);
  faulty::heal();
  for (int i = 0; i < 3; ++i) {
    FAILS_WITH(ef_write(fd, "x", 1), EIO);
    FAILS_WITH(ef_sync(fd), EIO);
    FAILS_WITH(ef_flush(fd), EIO);
  }
  ef_file_counters c = core::stats(fd);
  assert_int_equal(c.error, EIO);
  assert_int_equal(c.lost, 10);
  assert_int_equal(c.written, 0);
  FAILS_WITH(ef_close(fd), EIO);
  core::write(other, "others go on");
  core::close(other, port);
  assert_string_equal(core::contents(dir + "/eio").c_str(), "");
  assert_string_equal(core::contents(dir + "/fine").c_str(), "others go on");
}

void a_failed_sync_is_final(void **) {
  faulty::now.sync_errno = EIO;
  int fd = core::open(dir + "/sync", O_WRONLY | O_CREAT, {}, port);
  core::write(fd, "in the page cache");
  assert_int_equal(ef_sync(fd), 0);
  assert_int_equal(expect(EF_SYNC | EF_ERROR).error, EIO);
  faulty::heal(); // the kernel would say 0 now
  FAILS_WITH(ef_sync(fd), EIO);
  FAILS_WITH(ef_wait(fd, EF_SYNC, 1000), EIO);
  assert_int_equal(core::stats(fd).synced, 0);
  FAILS_WITH(ef_close(fd), EIO);
}

void a_close_error_is_told(void **) {
  faulty::now.close_errno = EIO;
  int fd = core::open(dir + "/close", O_WRONLY | O_CREAT, {}, port);
  core::write(fd, "x");
  ef_watch(fd, EF_CLOSE, nullptr);
  assert_int_equal(ef_close(fd), 0);
  assert_int_equal(core::next(port).error, EIO);
}

void a_read_error_is_told_once_after_the_bytes_before_it(void **) {
  core::put(dir + "/re", core::pattern(10000));
  int fd = core::open(dir + "/re", O_RDONLY, {}, port);
  faulty::now.nowait_miss = 1024;
  faulty::now.read_errno = EIO;
  char b[100];
  FAILS_WITH(ef_read(fd, b, 100), EAGAIN);
  ssize_t r;
  while ((r = ef_read(fd, b, 100)) < 0 && errno == EAGAIN) core::wait(fd, EF_READ);
  assert_int_equal(r, -1);
  assert_int_equal(errno, EIO);
  faulty::heal();
  assert_true(core::read_all(fd) == core::pattern(10000));
  core::close(fd, port);
}

void a_write_of_nothing_is_no_progress_and_no_loop(void **) {
  faulty::now.zero_write = 1024;
  ef_file_options o{};
  o.flush_interval_ms = 20;
  int fd = core::open(dir + "/zero", O_WRONLY | O_CREAT, o, port);
  core::write(fd, "kept");
  ef_flush(fd);
  ::usleep(200000); // a loop would count thousands
  assert_true(core::stats(fd).flushes < 40);
  faulty::heal();
  core::close(fd, port);
  assert_string_equal(core::contents(dir + "/zero").c_str(), "kept");
}

void the_file_size_limit_is_an_errno_not_a_signal(void **) {
  rlimit old, small{100000, RLIM_INFINITY};
  assert_int_equal(::getrlimit(RLIMIT_FSIZE, &old), 0);
  small.rlim_max = old.rlim_max;
  assert_int_equal(::setrlimit(RLIMIT_FSIZE, &small), 0);
  ef_file_options o{};
  o.flush_interval_ms = 10;
  int fd = core::open(dir + "/limit", O_WRONLY | O_CREAT, o, port);
  core::write(fd, lines(0, 8000));
  ef_flush(fd);
  assert_int_equal(expect(EF_ERROR).error, EFBIG);
  assert_int_equal(::setrlimit(RLIMIT_FSIZE, &old), 0);
  core::close(fd, port); // room again: everything arrives
  assert_true(core::contents(dir + "/limit") == lines(0, 8000));
}

void a_full_file_system_loses_nothing_accepted(void **) {
  std::string m = dir + "/mnt";
  ::mkdir(m.c_str(), 0755);
  if (::mount("tmpfs", m.c_str(), "tmpfs", 0, "size=4m") != 0) {
    std::printf("  needs root to mount a 4 MiB tmpfs: skipped\n");
    skip();
  }
  core::put(m + "/ballast", core::pattern(2 << 20));
  ef_file_options o{};
  o.flush_interval_ms = 10;
  int fd = core::open(m + "/log", O_WRONLY | O_CREAT, o, port), n = 0;
  for (std::string l; n < 120000; ++n) { // 2.9 MiB into 2 MiB; the rest fits the budget
    l = lines(n, n + 1);
    if (ef_write(fd, l.data(), l.size()) < 0) break;
  }
  assert_int_equal(expect(EF_ERROR).error, ENOSPC);
  ::unlink((m + "/ballast").c_str());
  core::wait(fd, EF_WRITE);
  core::close(fd, port);
  assert_true(core::contents(m + "/log") == lines(0, n));
  assert_int_equal(::umount(m.c_str()), 0);
}

void what_is_no_file_is_refused(void **) {
  ::mkfifo((dir + "/fifo").c_str(), 0644);
  struct {
    std::string path;
    int flags, error;
  } cases[] = {{dir, O_RDONLY, EISDIR},
               {dir, O_WRONLY, EISDIR},
               {dir + "/fifo", O_WRONLY, ENXIO}, // nobody reads: told, not waited for
               {dir + "/fifo", O_RDONLY, ESPIPE},
               {"/proc/self/mem/x", O_RDONLY, ENOTDIR}};
  for (auto &c : cases) {
    int fd = core::open(c.path, c.flags, {}, port);
    core::wait(fd, EF_OPEN);
    char b[4];
    FAILS_WITH(c.flags == O_RDONLY ? ef_read(fd, b, 4) : ef_write(fd, b, 4), c.error);
    FAILS_WITH(ef_close(fd), c.error);
  }
}

void a_removed_file_is_written_and_read_on(void **) {
  int fd = core::open(dir + "/gone", O_RDWR | O_CREAT, {}, port);
  core::wait(fd, EF_OPEN);
  assert_int_equal(::unlink((dir + "/gone").c_str()), 0);
  std::string all = core::pattern(200000);
  core::write(fd, all);
  assert_int_equal(ef_seek(fd, 0, SEEK_SET), 0);
  assert_true(core::read_all(fd) == all);
  core::close(fd, port);
}

void a_proc_file_of_size_0_is_read(void **) {
  int fd = core::open("/proc/self/status", O_RDONLY, {}, port);
  assert_true(core::read_all(fd).find("VmRSS") != std::string::npos);
  core::close(fd, port);
}

void dropping_counts_and_waiting_waits(void **) {
  faulty::now.delay = 1024;
  faulty::now.delay_us = 3000;
  ef_file_options o{};
  o.write_buffer_max = 128 * 1024;
  o.when_full = EF_FULL_DROP;
  int fd = core::open(dir + "/drop", O_WRONLY | O_CREAT, o, port), n = 0;
  for (; core::stats(fd).dropped_calls < 100; ++n)
    assert_int_equal(ef_write(fd, core::pattern(1000).data(), 1000), 1000);
  ef_file_counters c = core::stats(fd);
  assert_int_equal(c.accepted + c.dropped, 1000u * static_cast<unsigned>(n));
  core::close(fd, port);
  assert_int_equal(core::contents(dir + "/drop").size(), c.accepted);
  o.when_full = EF_FULL_WAIT;
  fd = core::open(dir + "/wait", O_WRONLY | O_CREAT, o, port);
  std::string all;
  for (int i = 0; i < 2000; ++i) {
    std::string l = lines(i * 50, i * 50 + 50);
    assert_int_equal(ef_write(fd, l.data(), l.size()), l.size());
    all += l;
  }
  core::close(fd, port);
  assert_true(core::contents(dir + "/wait") == all);
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, start_test, end_test)
  const CMUnitTest tests[] = {
      TEST(a_full_disk_keeps_bytes_and_resumes),
      TEST(a_budget_holds_what_it_says),
      TEST(trouble_that_passed_keeps_its_name),
      TEST(closing_on_a_full_disk_gives_up_and_says_so),
      TEST(a_sync_of_a_file_that_cannot_be_opened_tells_why),
      TEST(an_io_error_sticks),
      TEST(a_failed_sync_is_final),
      TEST(a_close_error_is_told),
      TEST(a_read_error_is_told_once_after_the_bytes_before_it),
      TEST(a_write_of_nothing_is_no_progress_and_no_loop),
      TEST(the_file_size_limit_is_an_errno_not_a_signal),
      TEST(a_full_file_system_loses_nothing_accepted),
      TEST(what_is_no_file_is_refused),
      TEST(a_removed_file_is_written_and_read_on),
      TEST(a_proc_file_of_size_0_is_read),
      TEST(dropping_counts_and_waiting_waits),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
