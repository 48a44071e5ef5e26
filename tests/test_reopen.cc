// SPDX-License-Identifier: BSD-2-Clause
// ef_reopen: what was accepted before goes to the old file, what comes after to the new one, and no call's bytes are
// parted.
#include "own_port.hh"

#include <sys/file.h>

#include <functional>
#include <map>

namespace {

using core::end_test;
using core::expect;
using core::port;
using core::start_test;

std::string dir;

constexpr int log_flags = O_WRONLY | O_CREAT | O_APPEND;
int open_log(const std::string &path, int flags = log_flags, ef_file_options o = {}) {
  return core::open(path, flags, o, port);
}
void rename_log(const std::string &path, int n) {
  assert_int_equal(::rename(path.c_str(), (path + "." + std::to_string(n)).c_str()), 0);
}
void reopen_and_wait(int fd) {
  assert_int_equal(ef_reopen(fd), 0);
  core::wait(fd, EF_OPEN);
}

void bytes_before_go_to_the_old_file_and_bytes_after_to_the_new(void **) {
  for (int flags : {log_flags, O_WRONLY | O_CREAT, log_flags | O_TRUNC, O_WRONLY | O_CREAT | O_EXCL}) {
    const std::string log = dir + "/log" + std::to_string(flags);
    int fd = open_log(log, flags);
    core::write(fd, "one\n");
    core::wait(fd, EF_OPEN);
    rename_log(log, 1);
    core::write(fd, "two\n");
    assert_int_equal(ef_reopen(fd), 0);
    core::write(fd, "three\n");
    core::close(fd, port);
    assert_string_equal(core::contents(log + ".1").c_str(), "one\ntwo\n");
    assert_string_equal(core::contents(log).c_str(), "three\n");
  }
}

void a_file_with_nothing_to_write_is_opened_anew_too(void **) {
  int fd = open_log(dir + "/quiet");
  core::wait(fd, EF_OPEN);
  rename_log(dir + "/quiet", 1);
  reopen_and_wait(fd);
  assert_int_equal(::access((dir + "/quiet").c_str(), F_OK), 0);
  rename_log(dir + "/quiet", 2);
  assert_int_equal(ef_reopen(fd), 0);
  core::close(fd, port); // asked for before: done
  assert_int_equal(::access((dir + "/quiet").c_str(), F_OK), 0);
}

void without_a_rename_it_goes_on_in_the_same_file(void **) {
  for (int flags : {log_flags, O_WRONLY | O_CREAT, log_flags | O_TRUNC}) {
    const std::string log = dir + "/same" + std::to_string(flags);
    int fd = open_log(log, flags);
    for (int i = 0; i < 10; ++i) {
      core::write(fd, std::to_string(i));
      assert_int_equal(ef_reopen(fd), 0);
    }
    core::close(fd, port);
    assert_string_equal(core::contents(log).c_str(), "0123456789");
  }
}

// As logrotate's `create`: somebody else makes the new file, perhaps with something in it.
void what_is_in_the_new_file_stays(void **) {
  for (int flags : {log_flags, O_WRONLY | O_CREAT | O_TRUNC}) {
    const std::string log = dir + "/made" + std::to_string(flags);
    int fd = open_log(log, flags);
    core::wait(fd, EF_OPEN);
    core::write(fd, "old");
    rename_log(log, 1);
    core::put(log, "head ");
    reopen_and_wait(fd);
    if (!(flags & O_APPEND)) assert_int_equal(ef_seek(fd, 0, SEEK_CUR), 5);
    core::write(fd, "new");
    core::close(fd, port);
    assert_string_equal(core::contents(log + ".1").c_str(), "old");
    assert_string_equal(core::contents(log).c_str(), "head new");
  }
}

void a_failed_open_keeps_the_old_file_and_tells(void **) {
  const std::string sub = dir + "/sub", log = sub + "/log";
  for (int error : {EMFILE, EACCES, ENOENT}) {
    ::mkdir(sub.c_str(), 0755);
    int fd = open_log(log);
    core::wait(fd, EF_OPEN);
    core::write(fd, "one ");
    assert_int_equal(::rename(log.c_str(), (dir + "/moved").c_str()), 0);
    if (error == ENOENT)
      assert_int_equal(::rmdir(sub.c_str()), 0);
    else
      faulty::now.open_errno = error;
    assert_int_equal(ef_watch(fd, 0, nullptr), 0);
    assert_int_equal(ef_reopen(fd), 0);
    assert_int_equal(expect(EF_ERROR).error, error);
    core::wait(fd, EF_OPEN);
    core::write(fd, "two ");
    assert_int_equal(ef_flush(fd), 0);
    faulty::heal();
    ::mkdir(sub.c_str(), 0755);
    assert_true(core::nothing_more(port)); // once
    reopen_and_wait(fd);
    core::write(fd, "three");
    core::close(fd, port);
    assert_string_equal(core::contents(dir + "/moved").c_str(), "one two ");
    assert_string_equal(core::contents(log).c_str(), "three");
    assert_int_equal(::unlink(log.c_str()), 0);
  }
}

void an_event_tells_when_it_is_done(void **) {
  int fd = open_log(dir + "/told");
  core::wait(fd, EF_OPEN);
  faulty::now.delay = 1024;
  faulty::now.delay_us = 20000;
  rename_log(dir + "/told", 1);
  assert_int_equal(ef_reopen(fd), 0);
  while (ef_watch(fd, EF_OPEN, nullptr) == 0) // the first one may be that of the first open, told late
    assert_int_equal(expect(EF_OPEN).error, 0);
  assert_int_equal(::access((dir + "/told").c_str(), F_OK), 0);
  core::close(fd, port);
}

void other_files_are_refused(void **) {
  char byte = 0;
  FAILS_WITH(ef_reopen(9999), EBADF);
  core::put(dir + "/r", "x");
  int fd = open_log(dir + "/r", O_RDONLY);
  FAILS_WITH(ef_reopen(fd), EBADF);
  core::close(fd, port);
  fd = open_log(dir + "/r", O_RDWR);
  FAILS_WITH(ef_reopen(fd), EINVAL);
  core::close(fd, port);
  fd = open_log(dir, O_WRONLY | O_TMPFILE);
  FAILS_WITH(ef_reopen(fd), EINVAL);
  core::close(fd, port);
  fd = ef_fdopen(port, ::open((dir + "/r").c_str(), O_WRONLY), nullptr);
  assert_true(fd >= 0);
  FAILS_WITH(ef_reopen(fd), EINVAL);
  core::close(fd, port);
  fd = open_log(dir + "/no/log", O_WRONLY);
  ef_wait(fd, EF_OPEN, core::patience_ms);
  FAILS_WITH(ef_reopen(fd), ENOENT);
  FAILS_WITH(ef_write(fd, &byte, 1), ENOENT);
  FAILS_WITH(ef_close(fd), ENOENT);
  FAILS_WITH(ef_reopen(fd), EBADF);
}

void another_type_of_file_is_not_taken(void **) {
  const std::string log = dir + "/kind";
  int fd = open_log(log);
  core::wait(fd, EF_OPEN);
  rename_log(log, 1);
  assert_int_equal(::symlink("/dev/null", log.c_str()), 0);
  assert_int_equal(ef_reopen(fd), 0);
  assert_int_equal(expect(EF_ERROR).error, EINVAL);
  core::write(fd, "kept");
  core::close(fd, port);
  assert_string_equal(core::contents(log + ".1").c_str(), "kept");
}

void an_error_that_sticks_ends_it(void **) {
  int fd = open_log(dir + "/stuck");
  core::wait(fd, EF_OPEN);
  faulty::now.write_errno = EIO;
  core::write(fd, "lost");
  assert_int_equal(ef_reopen(fd), 0);
  core::wait(fd, EF_OPEN);
  FAILS_WITH(ef_reopen(fd), EIO);
  FAILS_WITH(ef_close(fd), EIO);
}

// The bytes of the old file wait for room in it; those behind wait for them.
void a_full_disk_delays_it_and_loses_nothing(void **) {
  ef_file_options o{};
  o.flush_interval_ms = 5;
  int fd = open_log(dir + "/full", log_flags, o);
  core::wait(fd, EF_OPEN);
  faulty::now.write_errno = ENOSPC;
  core::write(fd, "old");
  rename_log(dir + "/full", 1);
  assert_int_equal(ef_reopen(fd), 0);
  core::write(fd, "new");
  assert_int_equal(expect(EF_ERROR).error, ENOSPC);
  assert_int_equal(::access((dir + "/full").c_str(), F_OK), -1);
  faulty::heal();
  core::wait(fd, EF_OPEN);
  core::close(fd, port);
  assert_string_equal(core::contents(dir + "/full.1").c_str(), "old");
  assert_string_equal(core::contents(dir + "/full").c_str(), "new");
}

// ---- What is synced, in which order

std::vector<std::pair<char, ino_t>> steps; // s: fdatasync, w: writev, a: sync of all
std::atomic<int> stepping;
ino_t inode(int fd) {
  struct stat st;
  assert_int_equal(::fstat(fd, &st), 0);
  return st.st_ino;
}
int noted_fdatasync(int fd) {
  if (stepping) steps.push_back({'s', inode(fd)});
  return faulty::do_fdatasync(fd);
}
int noted_syncfs(int fd) {
  if (stepping) steps.push_back({'a', inode(fd)});
  return ef::sys_kernel.sync_system(fd);
}

void sync_covers_both_files(bool by_request) {
  for (bool asked_before : {true, false}) {
    const std::string log = dir + "/sync" + std::to_string(2 * by_request + asked_before);
    int fd = open_log(log);
    core::wait(fd, EF_OPEN);
    struct stat old, now;
    assert_int_equal(::stat(log.c_str(), &old), 0);
    if (asked_before) core::wait(fd, EF_SYNC);
    steps.clear();
    stepping = 1;
    if (ef_request q{}; by_request) {
      FAILS_WITH(ef_pwrite(fd, "old", 3, 0, &q), EINPROGRESS);
      assert_int_equal(expect(EF_REQUEST).error, 0);
    } else {
      core::write(fd, "old");
    }
    rename_log(log, 1);
    reopen_and_wait(fd);
    core::write(fd, "new");
    core::wait(fd, EF_SYNC);
    stepping = 0;
    assert_int_equal(::stat(log.c_str(), &now), 0);
    assert_int_equal(core::stats(fd).synced, core::stats(fd).accepted);
    assert_int_equal(steps.size(), 2);
    assert_true(steps[0] == (asked_before ? std::pair('s', old.st_ino) : std::pair('s', now.st_ino)));
    assert_true(steps[1] == (asked_before ? std::pair('s', now.st_ino) : std::pair('a', now.st_ino)));
    core::close(fd, port);
  }
}
void a_sync_covers_both_files(void **) { sync_covers_both_files(false); }
void a_sync_covers_requests_of_the_old_file(void **) { sync_covers_both_files(true); }

void a_failed_sync_of_the_old_file_is_final(void **) {
  int fd = open_log(dir + "/final");
  core::wait(fd, EF_SYNC);
  core::write(fd, "old");
  rename_log(dir + "/final", 1);
  faulty::now.sync_errno = EIO;
  assert_int_equal(ef_reopen(fd), 0);
  core::wait(fd, EF_OPEN);
  faulty::heal();
  FAILS_WITH(ef_sync(fd), EIO);
  FAILS_WITH(ef_close(fd), EIO);
}

std::atomic<int> lost{0}; // what the kernel says of the pages of a file that is left
int noted_lost_pages(int) { return -lost.load(std::memory_order_relaxed); }

// By the time of the next sync, which is of the whole system, the kernel may have told it to somebody else.
void pages_lost_before_are_told(void **) {
  int fd = open_log(dir + "/lost");
  core::wait(fd, EF_OPEN);
  core::write(fd, "old");
  rename_log(dir + "/lost", 1);
  lost.store(EIO, std::memory_order_relaxed);
  assert_int_equal(ef_reopen(fd), 0);
  core::wait(fd, EF_OPEN);
  lost.store(0, std::memory_order_relaxed);
  FAILS_WITH(ef_sync(fd), EIO);
  FAILS_WITH(ef_close(fd), EIO);
}

void writes_at_an_offset_follow(void **) {
  const std::string log = dir + "/at";
  int fd = open_log(log);
  core::wait(fd, EF_OPEN);
  auto put_at = [&](const char *s, off_t at) {
    ef_request q{};
    FAILS_WITH(ef_pwrite(fd, s, std::strlen(s), at, &q), EINPROGRESS);
    assert_int_equal(expect(EF_REQUEST).error, 0);
    assert_int_equal(q.result, std::strlen(s));
  };
  put_at("old", 2);
  rename_log(log, 1);
  reopen_and_wait(fd);
  put_at("new", 1);
  core::write(fd, "end");
  core::close(fd, port);
  assert_true(core::contents(log + ".1") == std::string("\0\0old", 5));
  assert_true(core::contents(log) == std::string("\0newend", 7));
}

// ---- Whole calls

// Each call's bytes are one letter, so that a parted call shows.
void calls_longer_than_a_chunk_stay_whole(void **) {
  faulty::now.short_write = 300;
  const std::string log = dir + "/long";
  for (int flags : {log_flags, O_WRONLY | O_CREAT}) {
    ef_file_options o{};
    o.flush_interval_ms = 1;
    int fd = open_log(log, flags, o), files = 0;
    core::wait(fd, EF_OPEN);
    std::thread rotator([&] {
      for (; files < 60; ++files) {
        rename_log(log, files + 1);
        reopen_and_wait(fd);
        ::usleep(500);
      }
    });
    std::map<char, std::size_t> length;
    std::string sent;
    for (int i = 0; i < 400; ++i) {
      std::string s(1000 + faulty::random32() % 700000, static_cast<char>('a' + i % 26));
      ssize_t r = ef_write(fd, s.data(), s.size());
      if (r < 0) {
        core::wait(fd, EF_WRITE);
        continue;
      }
      s.resize(static_cast<std::size_t>(r)); // a short count is that call's
      sent += s;
      sent += '|';
      assert_true(core::stats(fd).accepted > 0);
    }
    rotator.join();
    core::close(fd, port);
    std::string found;
    std::size_t at = 0;
    for (int i = 1; i <= files + 1; ++i) {
      const std::string part = core::contents(i <= files ? log + "." + std::to_string(i) : log);
      assert_false(part == "(no file)");
      std::size_t done = 0;
      while (done < part.size()) { // each file is a row of whole calls
        const std::size_t end = sent.find('|', at);
        assert_true(part.compare(done, end - at, sent, at, end - at) == 0);
        done += end - at;
        at = end + 1;
      }
      assert_int_equal(done, part.size());
      ::unlink((log + "." + std::to_string(i)).c_str());
    }
    ::unlink(log.c_str());
    assert_int_equal(at, sent.size());
  }
  assert_true(faulty::now.shorts > 0);
}

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) {
    t.fdatasync = noted_fdatasync;
    t.sync_system = noted_syncfs;
    t.lost_pages = noted_lost_pages;
  });
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, start_test, end_test)
  const CMUnitTest tests[] = {
      TEST(bytes_before_go_to_the_old_file_and_bytes_after_to_the_new),
      TEST(a_file_with_nothing_to_write_is_opened_anew_too),
      TEST(without_a_rename_it_goes_on_in_the_same_file),
      TEST(what_is_in_the_new_file_stays),
      TEST(a_failed_open_keeps_the_old_file_and_tells),
      TEST(an_event_tells_when_it_is_done),
      TEST(other_files_are_refused),
      TEST(another_type_of_file_is_not_taken),
      TEST(an_error_that_sticks_ends_it),
      TEST(a_full_disk_delays_it_and_loses_nothing),
      TEST(a_sync_covers_both_files),
      TEST(a_sync_covers_requests_of_the_old_file),
      TEST(a_failed_sync_of_the_old_file_is_final),
      TEST(pages_lost_before_are_told),
      TEST(writes_at_an_offset_follow),
      TEST(calls_longer_than_a_chunk_stay_whole),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
