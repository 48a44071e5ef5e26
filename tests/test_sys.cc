// SPDX-License-Identifier: BSD-2-Clause
// The wrappers over the kernel: whatever a call answers is a count or a negated errno, an interruption is not told, and
// where a kernel or a file system lacks something the other way is taken.
#include "sys.hh"

#include "core.hh"

#include <dlfcn.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

namespace {

std::string dir;

// The C library's calls stand here before its own: the next `times` calls of `name` fail, or do nothing and answer 0.
struct {
  const char *name = "";
  int error = 0, times = 0, calls = 0;
} planned;

void plan(const char *name, int error, int times = 1) { planned = {name, error, times, 0}; }

bool fails(const char *name) {
  if (std::strcmp(name, planned.name) != 0) return false;
  ++planned.calls;
  if (planned.times == 0) return false;
  --planned.times;
  errno = planned.error;
  return true;
}

} // namespace

#define STANDS_FOR(result, name, specifier, parameters, arguments)                                                     \
  extern "C" result name parameters specifier {                                                                        \
    static const auto real = reinterpret_cast<result(*) parameters>(::dlsym(RTLD_NEXT, #name));                        \
    return fails(#name) ? -1 : real arguments;                                                                         \
  }
STANDS_FOR(int, dup3, noexcept, (int fd, int by, int flags), (fd, by, flags))
STANDS_FOR(int, fstatat, noexcept, (int at, const char *path, struct stat *out, int flags), (at, path, out, flags))
STANDS_FOR(int, fstat, noexcept, (int fd, struct stat *out), (fd, out))
STANDS_FOR(int, fstatfs, noexcept, (int fd, struct statfs *out), (fd, out))
STANDS_FOR(int, renameat2, noexcept, (int at, const char *from, int to_at, const char *to, unsigned flags),
           (at, from, to_at, to, flags))
STANDS_FOR(int, renameat, noexcept, (int at, const char *from, int to_at, const char *to), (at, from, to_at, to))
STANDS_FOR(int, flock, noexcept, (int fd, int how), (fd, how))
STANDS_FOR(int, statx, noexcept, (int at, const char *path, int flags, unsigned mask, struct statx *out),
           (at, path, flags, mask, out))
STANDS_FOR(ssize_t, preadv, , (int fd, const iovec *iov, int count, off_t at), (fd, iov, count, at))
STANDS_FOR(ssize_t, pwritev, , (int fd, const iovec *iov, int count, off_t at), (fd, iov, count, at))
STANDS_FOR(ssize_t, pwritev2, , (int fd, const iovec *iov, int count, off_t at, int flags), (fd, iov, count, at, flags))
STANDS_FOR(ssize_t, writev, , (int fd, const iovec *iov, int count), (fd, iov, count))
STANDS_FOR(int, poll, , (pollfd * all, nfds_t count, int ms), (all, count, ms))
STANDS_FOR(int, fdatasync, , (int fd), (fd))
STANDS_FOR(int, fsync, , (int fd), (fd))
STANDS_FOR(int, sync_file_range, , (int fd, off_t at, off_t bytes, unsigned flags), (fd, at, bytes, flags))
STANDS_FOR(int, fallocate, , (int fd, int mode, off_t at, off_t bytes), (fd, mode, at, bytes))
STANDS_FOR(int, ftruncate, noexcept, (int fd, off_t length), (fd, length))
STANDS_FOR(int, syncfs, noexcept, (int fd), (fd))
STANDS_FOR(int, close, , (int fd), (fd))

namespace {
bool no_cachestat = false; // as in an older kernel
}

extern "C" long syscall(long number, ...) noexcept {
  static const auto real = reinterpret_cast<long (*)(long, ...)>(::dlsym(RTLD_NEXT, "syscall"));
  if (number == 451 && no_cachestat) {
    errno = ENOSYS;
    return -1;
  }
  if (number == SYS_preadv2 && fails("preadv2")) return -1;
  long a[6];
  va_list all;
  va_start(all, number);
  for (long &one : a) one = va_arg(all, long);
  va_end(all);
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

namespace {

struct call {
  const char *name;
  ssize_t (*run)(int fd);
  ssize_t good; // its answer
};

char byte;
const iovec one{&byte, 1};
const ef::sys_table &k = ef::sys_kernel;

const call calls[] = {
    {"dup3", [](int fd) -> ssize_t { return k.replace(fd, fd + 1000) == -EBADF ? 0 : -1; }, 0},
    {"flock", [](int fd) -> ssize_t { return k.lock(fd, true); }, 0},
    {"preadv", [](int fd) { return k.preadv(fd, &one, 1, 0); }, 1},
    {"preadv2", [](int fd) { return k.preadv_with(fd, &one, 1, 0, 0); }, 1},
    {"pwritev", [](int fd) { return k.pwritev(fd, &one, 1, 0); }, 1},
    {"pwritev2", [](int fd) { return k.pwritev_at(fd, &one, 1, 0, 0); }, 1},
    {"writev", [](int fd) { return k.writev(fd, &one, 1); }, 1},
    {"poll", [](int fd) -> ssize_t { return k.writable_now(fd); }, 1},
    {"fdatasync", [](int fd) -> ssize_t { return k.fdatasync(fd); }, 0},
    {"sync_file_range", [](int fd) -> ssize_t { return k.write_back(fd, 1); }, 0},
    {"ftruncate", [](int fd) -> ssize_t { return k.release_behind(fd, 10); }, 0},
    {"syncfs", [](int fd) -> ssize_t { return k.sync_system(fd); }, 0},
    {"fsync", [](int) -> ssize_t { return k.sync_parent(AT_FDCWD, (dir + "/f").c_str()); }, 0},
    {"statx",
     [](int fd) -> ssize_t {
       struct stat st;
       return k.stat_now(fd, &st);
     },
     0},
    {"fstatat",
     [](int) -> ssize_t {
       struct stat st;
       return k.stat_at(AT_FDCWD, (dir + "/f").c_str(), &st);
     },
     0},
};

int open_one() {
  core::put(dir + "/f", "0123456789");
  const int fd = k.openat(AT_FDCWD, (dir + "/f").c_str(), O_RDWR, 0);
  assert_true(fd > 2);
  return fd;
}

void an_interrupted_call_is_made_again(void **) {
  const int fd = open_one();
  for (const call &c : calls) {
    plan(c.name, EINTR, 3);
    const ssize_t r = c.run(fd);
    std::printf("  %s: %zd after %d calls\n", c.name, r, planned.calls);
    assert_int_equal(r, c.good);
    assert_int_equal(planned.calls, 4);
  }
  assert_int_equal(k.close(fd), 0);
}

void an_error_is_told_as_it_is(void **) {
  const int fd = open_one();
  for (const call &c : calls) {
    if (std::strcmp(c.name, "dup3") == 0 || std::strcmp(c.name, "poll") == 0) continue; // below
    plan(c.name, EIO);
    assert_int_equal(c.run(fd), -EIO);
    assert_int_equal(planned.calls, 1);
  }
  plan("poll", EIO); // the write will tell it
  assert_int_equal(k.writable_now(fd), 1);
  assert_int_equal(k.close(fd), 0);
}

void a_descriptor_is_closed_once_whatever_close_answers(void **) {
  const int fd = open_one();
  plan("close", EINTR);
  assert_int_equal(k.close(fd), 0);
  assert_int_equal(planned.calls, 1);
  plan("close", EIO);
  assert_int_equal(k.close(fd), -EIO);
  assert_int_equal(planned.calls, 1);
  assert_int_equal(k.close(fd), 0);
}

void a_number_that_another_open_takes_is_replaced_all_the_same(void **) {
  const int fd = open_one(), by = open_one();
  plan("dup3", EBUSY, 2);
  assert_int_equal(k.replace(fd, by), 0);
  assert_int_equal(planned.calls, 3);
  assert_int_equal(::pwrite(by, "x", 1, 3), 1);
  assert_int_equal(k.preadv(fd, &one, 1, 3), 1);
  assert_int_equal(byte, 'x');
  plan("", 0);
  assert_int_equal(k.replace(fd, -1), -EBADF);
  k.close(by), k.close(fd);
}

void a_rename_replaces_nothing_also_where_the_kernel_cannot_promise_it(void **) {
  const std::string from = dir + "/from", to = dir + "/to";
  for (int lacking : {0, EINVAL, ENOSYS}) {
    core::put(from, "new");
    core::put(to, "old");
    plan("renameat2", lacking, lacking != 0);
    assert_int_equal(k.rename(AT_FDCWD, from.c_str(), to.c_str(), false), -EEXIST);
    assert_string_equal(core::contents(to).c_str(), "old");
    ::unlink(to.c_str());
    plan("renameat2", lacking, lacking != 0);
    assert_int_equal(k.rename(AT_FDCWD, from.c_str(), to.c_str(), false), 0);
    assert_string_equal(core::contents(to).c_str(), "new");
  }
  core::put(from, "newer");
  plan("renameat", EINTR);
  assert_int_equal(k.rename(AT_FDCWD, from.c_str(), to.c_str(), true), 0);
  assert_string_equal(core::contents(to).c_str(), "newer");
  plan("renameat2", EROFS);
  assert_int_equal(k.rename(AT_FDCWD, to.c_str(), from.c_str(), false), -EROFS);
}

void facts_and_sizes_are_told_or_their_error(void **) {
  const int fd = open_one();
  ef::file_facts facts{};
  plan("fstatfs", EIO); // costs speed only
  assert_int_equal(k.facts(fd, &facts), 0);
  assert_true(S_ISREG(facts.mode) && !facts.in_memory);
  plan("fstat", EIO);
  assert_int_equal(k.facts(fd, &facts), -EIO);
  plan("fstat", EIO);
  assert_int_equal(k.cached_share(fd, 10), -EIO);
  plan("statx", EIO);
  assert_int_equal(k.direct_alignment(fd), -EIO);
  plan("", 0);
  assert_int_equal(k.cached_share(fd, 0), 0);
  struct stat seen, want;
  assert_int_equal(k.stat_now(fd, &seen), 0);
  assert_int_equal(::fstat(fd, &want), 0);
  assert_true(seen.st_ino == want.st_ino && seen.st_dev == want.st_dev && seen.st_size == 10);
  assert_int_equal(k.advise(fd, 0, 0, 1000), -EINVAL);
  k.close(fd);
  const int null = k.openat(AT_FDCWD, "/dev/null", O_RDONLY, 0);
  assert_int_equal(k.stat_now(null, &seen), 0);
  assert_true(S_ISCHR(seen.st_mode) && seen.st_rdev == makedev(1, 3));
  k.close(null);
}

// cachestat is younger than some kernels, and forbidden to some callers: then bytes are asked for here and there.
void what_is_in_memory_is_sampled_where_it_is_not_told(void **) {
  core::put(dir + "/f", core::pattern(1 << 20));
  const int fd = k.openat(AT_FDCWD, (dir + "/f").c_str(), O_RDONLY, 0);
  plan("preadv2", 0, 0);
  const int told = k.cached_share(fd, 1 << 30);
  assert_true((told > 0 && told <= 100) || told == -EOPNOTSUPP); // sampled as well where the kernel is older
  no_cachestat = true;
  plan("preadv2", 0, 0);
  const int share = k.cached_share(fd, 1 << 30);
  if (share != -EOPNOTSUPP) assert_int_equal(share, 100); // it has just been written
  assert_true(planned.calls == (share == 100 ? 16 : 1));
  plan("preadv2", EAGAIN, 100);
  assert_int_equal(k.cached_share(fd, 1 << 30), 0);
  assert_int_equal(planned.calls, 16);
  plan("preadv2", EIO);
  assert_int_equal(k.cached_share(fd, 1 << 30), -EIO);
  assert_int_equal(planned.calls, 1);
  no_cachestat = false;
  k.close(fd);
}

void the_directory_of_a_path_is_synced_however_it_is_written(void **) {
  const int at = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY);
  plan("", 0);
  core::put(dir + "/f", "");
  for (const char *path : {"f", "./f"}) assert_int_equal(k.sync_parent(at, path), 0);
  assert_int_equal(k.sync_parent(at, "/etc"), 0);
  assert_int_equal(k.sync_parent(at, "none/f"), -ENOENT);
  assert_int_equal(k.sync_parent(at, (std::string(PATH_MAX, 'd') + "/f").c_str()), -ENAMETOOLONG);
  plan("fsync", EINVAL); // of a file system that has no such thing
  assert_int_equal(k.sync_parent(at, "f"), 0);
  ::close(at);
}

// With a standard descriptor closed, files of ours get none of their numbers.
void nobody_gets_the_numbers_of_the_standard_streams(void **) {
  const int status = core::in_child([] {
    ::close(0);
    const int fd = k.openat(AT_FDCWD, (dir + "/f").c_str(), O_RDONLY, 0);
    if (fd < 3 || ::fcntl(0, F_GETFD) != -1) return 1;
    if (!(::fcntl(fd, F_GETFD) & FD_CLOEXEC)) return 2;
    rlimit few;
    ::getrlimit(RLIMIT_NOFILE, &few);
    few.rlim_cur = static_cast<rlim_t>(fd) + 1; // 0 is free, none above 2
    ::setrlimit(RLIMIT_NOFILE, &few);
    if (k.openat(AT_FDCWD, (dir + "/f").c_str(), O_RDONLY, 0) != -EMFILE) return 3;
    return ::fcntl(0, F_GETFD) == -1 ? 0 : 4;
  });
  assert_int_equal(status, 0);
}

void a_second_descriptor_is_of_the_same_file(void **) {
  const int fd = open_one();
  plan("", 0);
  ::rename((dir + "/f").c_str(), (dir + "/elsewhere").c_str());
  core::put(dir + "/f", "another");
  const int other = ef::open_same_file(fd, O_RDONLY);
  assert_true(other > 2);
  assert_int_equal(k.preadv(other, &one, 1, 9), 1);
  assert_int_equal(byte, '9');
  k.close(other), k.close(fd);
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(an_interrupted_call_is_made_again),
      cmocka_unit_test(an_error_is_told_as_it_is),
      cmocka_unit_test(a_descriptor_is_closed_once_whatever_close_answers),
      cmocka_unit_test(a_number_that_another_open_takes_is_replaced_all_the_same),
      cmocka_unit_test(a_rename_replaces_nothing_also_where_the_kernel_cannot_promise_it),
      cmocka_unit_test(facts_and_sizes_are_told_or_their_error),
      cmocka_unit_test(what_is_in_memory_is_sampled_where_it_is_not_told),
      cmocka_unit_test(the_directory_of_a_path_is_synced_however_it_is_written),
      cmocka_unit_test(nobody_gets_the_numbers_of_the_standard_streams),
      cmocka_unit_test(a_second_descriptor_is_of_the_same_file),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  plan("", 0);
  core::remove(dir);
  return failed;
}
