// SPDX-License-Identifier: BSD-2-Clause
// Every public function with what it must refuse: an errno of the manual, no crash, nothing lost.
#include "core.hh"

namespace {

std::string dir;

void every_call_refuses(int fd, int error) {
  char b[8] = "x";
  iovec v{b, 1};
  struct stat st;
  ef_file_counters c{};
  c.size = sizeof c;
  FAILS_WITH(ef_read(fd, b, 1), error);
  FAILS_WITH(ef_readv(fd, &v, 1), error);
  FAILS_WITH(ef_peek(fd, &v, 1), error);
  FAILS_WITH(ef_consume(fd, 0), error);
  FAILS_WITH(ef_seek(fd, 0, SEEK_SET), error);
  FAILS_WITH(ef_write(fd, b, 1), error);
  FAILS_WITH(ef_writev(fd, &v, 1), error);
  FAILS_WITH(ef_watch(fd, EF_READ, nullptr), error);
  FAILS_WITH(ef_ready(fd), error);
  FAILS_WITH(ef_wait(fd, EF_READ, 0), error);
  FAILS_WITH(ef_wait(fd, EF_SYNC, 0), error);
  FAILS_WITH(ef_flush(fd), error);
  FAILS_WITH(ef_sync(fd), error);
  FAILS_WITH(ef_close(fd), error);
  FAILS_WITH(ef_fstat(fd, &st), error);
  FAILS_WITH(ef_file_stats(fd, &c), error);
  errno = 0;
  assert_null(ef_port_of(fd));
  assert_int_equal(errno, error);
}

void numbers_that_are_no_files_answer_ebadf(void **) {
  for (int fd : {-1, INT_MIN, INT_MAX, 0, 12345, (1 << 20) - 1, 1 << 20, 5 << 20 | 3}) every_call_refuses(fd, EBADF);
}

void a_closed_file_answers_ebadf_also_after_its_slot_is_used_again(void **) {
  int fd = core::open(dir + "/closed", O_RDWR | O_CREAT);
  core::wait(fd, EF_OPEN);
  assert_int_equal(ef_close(fd), 0);
  every_call_refuses(fd, EBADF);
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  every_call_refuses(fd, EBADF);
  bool again = false;
  for (int i = 0; i < 300 && !again; ++i) {
    int other = core::open(dir + "/other", O_RDWR | O_CREAT | O_TRUNC);
    again = (other & 0xfffff) == (fd & 0xfffff);
    FAILS_WITH(ef_write(fd, "stale", 5), EBADF);
    core::write(other, "own");
    core::close(other);
    assert_string_equal(core::contents(dir + "/other").c_str(), "own");
  }
  assert_true(again); // or the test shows nothing
}

void a_file_for_reading_refuses_writes_and_the_other_way_round(void **) {
  core::put(dir + "/r", "text");
  int r = core::open(dir + "/r", O_RDONLY), w = core::open(dir + "/w", O_WRONLY | O_CREAT);
  char b[8];
  iovec v{b, 1};
  FAILS_WITH(ef_write(r, "x", 1), EBADF);
  FAILS_WITH(ef_write(r, "x", 0), EBADF);
  FAILS_WITH(ef_writev(r, &v, 1), EBADF);
  FAILS_WITH(ef_flush(r), EBADF);
  FAILS_WITH(ef_sync(r), EBADF);
  FAILS_WITH(ef_wait(r, EF_SYNC, 10), EBADF);
  FAILS_WITH(ef_wait(r, EF_WRITE, 10), EBADF);
  FAILS_WITH(ef_watch(r, EF_WRITE | EF_SYNC, nullptr), EBADF);
  FAILS_WITH(ef_read(w, b, 1), EBADF);
  FAILS_WITH(ef_readv(w, &v, 1), EBADF);
  FAILS_WITH(ef_peek(w, &v, 1), EBADF);
  FAILS_WITH(ef_consume(w, 0), EBADF);
  assert_string_equal(core::read_all(r).c_str(), "text");
  core::close(r);
  core::close(w);
  assert_string_equal(core::contents(dir + "/w").c_str(), "");
}

void bad_buffers_and_lengths_are_refused_and_nothing_is_taken(void **) {
  int fd = core::open(dir + "/b", O_RDWR | O_CREAT | O_TRUNC);
  core::wait(fd, EF_OPEN);
  char b[8] = "abc";
  iovec good{b, 3}, null{nullptr, 3}, huge[2] = {{b, SSIZE_MAX}, {b, 1}};
  FAILS_WITH(ef_write(fd, nullptr, 3), EFAULT);
  FAILS_WITH(ef_write(fd, b, SIZE_MAX), EINVAL);
  FAILS_WITH(ef_write(fd, b, static_cast<std::size_t>(SSIZE_MAX) + 1), EINVAL);
  FAILS_WITH(ef_writev(fd, nullptr, 1), EFAULT);
  FAILS_WITH(ef_writev(fd, &null, 1), EFAULT);
  FAILS_WITH(ef_writev(fd, huge, 2), EINVAL);
  for (int n : {0, -1, 1025, INT_MAX, INT_MIN}) {
    FAILS_WITH(ef_writev(fd, &good, n), EINVAL);
    FAILS_WITH(ef_readv(fd, &good, n), EINVAL);
    FAILS_WITH(ef_peek(fd, &good, n), EINVAL);
  }
  assert_int_equal(ef_write(fd, nullptr, 0), 0);
  assert_int_equal(ef_write(fd, b, 0), 0);
  FAILS_WITH(ef_read(fd, nullptr, 3), EFAULT);
  FAILS_WITH(ef_read(fd, b, SIZE_MAX), EINVAL);
  FAILS_WITH(ef_readv(fd, &null, 1), EFAULT);
  FAILS_WITH(ef_peek(fd, nullptr, 1), EFAULT);
  FAILS_WITH(ef_consume(fd, 1), EINVAL);
  FAILS_WITH(ef_consume(fd, SIZE_MAX), EINVAL);
  assert_int_equal(ef_read(fd, nullptr, 0), 0);
  FAILS_WITH(ef_fstat(fd, nullptr), EFAULT);
  FAILS_WITH(ef_file_stats(fd, nullptr), EFAULT);
  ef_file_counters c{};
  FAILS_WITH(ef_file_stats(fd, &c), EINVAL);
  FAILS_WITH(ef_watch(fd, 1u << 20, nullptr), EINVAL);
  FAILS_WITH(ef_watch(fd, EF_ERROR, nullptr), EINVAL);
  FAILS_WITH(ef_wait(fd, 0, 0), EINVAL);
  FAILS_WITH(ef_wait(fd, EF_SYNC | EF_READ, 0), EINVAL);
  FAILS_WITH(ef_wait(fd, ~0u, 0), EINVAL);
  assert_int_equal(core::stats(fd).accepted, 0);
  core::close(fd);
  assert_string_equal(core::contents(dir + "/b").c_str(), "");
}

void bad_seeks_leave_the_position_alone(void **) {
  core::put(dir + "/s", "0123456789");
  int fd = core::open(dir + "/s", O_RDONLY);
  core::wait(fd, EF_OPEN);
  assert_int_equal(ef_seek(fd, 4, SEEK_SET), 4);
  FAILS_WITH(ef_seek(fd, -1, SEEK_SET), EINVAL);
  FAILS_WITH(ef_seek(fd, 0, 77), EINVAL);
  FAILS_WITH(ef_seek(fd, -5, SEEK_CUR), EINVAL);
  FAILS_WITH(ef_seek(fd, -11, SEEK_END), EINVAL);
  FAILS_WITH(ef_seek(fd, INT64_MAX, SEEK_CUR), EOVERFLOW);
  assert_string_equal(core::read_all(fd).c_str(), "456789");
  core::close(fd);
}

void opens_that_cannot_be_are_refused_at_once(void **) {
  FAILS_WITH(ef_open(nullptr, O_RDONLY), EFAULT);
  FAILS_WITH(ef_open("", O_RDONLY), ENOENT);
  FAILS_WITH(ef_open(std::string(5000, 'a').c_str(), O_RDONLY), ENAMETOOLONG);
  for (int flags : {O_PATH, O_DIRECT | O_RDWR, O_DIRECTORY, O_ACCMODE, 1 << 30})
    FAILS_WITH(ef_open("/etc/passwd", flags), EINVAL);
  FAILS_WITH(ef_openat(nullptr, 9999, "relative", O_RDONLY, 0, nullptr), EBADF);
  ef_file_options o{};
  FAILS_WITH(ef_openat(nullptr, AT_FDCWD, "/etc/passwd", O_RDONLY, 0, &o), EINVAL); // size
  auto with = [](auto set) {
    ef_file_options p{};
    p.size = sizeof p;
    set(p);
    errno = 0;
    return ef_openat(nullptr, AT_FDCWD, "/etc/passwd", O_RDONLY, 0, &p) == -1 && errno == EINVAL;
  };
  assert_true(with([](auto &p) { p.write_buffer_max = 1; }));
  assert_true(with([](auto &p) { p.write_buffer_max = SIZE_MAX; }));
  assert_true(with([](auto &p) { p.read_ahead_max = 1; }));
  assert_true(with([](auto &p) { p.flush_interval_ms = 3600001; }));
  assert_true(with([](auto &p) { p.when_full = 3; }));
  FAILS_WITH(ef_fdopen(nullptr, -1, nullptr), EBADF);
  FAILS_WITH(ef_fdopen(nullptr, 9999, nullptr), EBADF);
}

void bad_ports_are_refused(void **) {
  ef_port_options o{};
  assert_null(ef_port_new(&o));
  assert_int_equal(errno, EINVAL);
  o.size = sizeof o;
  o.engine = 77;
  assert_null(ef_port_new(&o));
  assert_int_equal(errno, EINVAL);
  o.engine = 0;
  o.wake = [](void *) {};
  o.notify = [](void *, const ef_event *, int) {};
  assert_null(ef_port_new(&o));
  assert_int_equal(errno, EINVAL);
  ef_event e;
  FAILS_WITH(ef_port_next(nullptr, nullptr, 1), EFAULT);
  FAILS_WITH(ef_port_next(nullptr, &e, 0), EINVAL);
  FAILS_WITH(ef_port_next(nullptr, &e, -1), EINVAL);
  FAILS_WITH(ef_port_free(nullptr), EBUSY);
  FAILS_WITH(ef_port_abandon(nullptr), EBUSY);
  FAILS_WITH(ef_port_stats(nullptr, nullptr), EFAULT);
  ef_port_counters c{};
  FAILS_WITH(ef_port_stats(nullptr, &c), EINVAL);
  ef_port *p = ef_port_new(nullptr);
  assert_non_null(p);
  int fd = core::open(dir + "/port", O_WRONLY | O_CREAT, {}, p);
  FAILS_WITH(ef_port_free(p), EBUSY);
  core::close(fd, p);
  assert_int_equal(ef_port_free(p), 0);
}

void a_second_reader_is_told_busy(void **) {
  core::put(dir + "/two", core::pattern(1 << 20));
  int fd = core::open(dir + "/two", O_RDONLY);
  core::wait(fd, EF_OPEN);
  std::atomic<long> busy{0}, served{0};
  auto read = [&] {
    char b[65536];
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(core::patience_ms);
    while ((busy < 10 || served == 0) && std::chrono::steady_clock::now() < end) {
      ssize_t r = ef_read(fd, b, sizeof b);
      if (r > 0) ++served;
      if (r == 0) ef_seek(fd, 0, SEEK_SET);
      if (r < 0 && errno == EBUSY) ++busy;
      if (r < 0 && errno != EBUSY && errno != EAGAIN) std::abort();
    }
  };
  std::thread a(read), b(read);
  a.join();
  b.join();
  assert_true(served > 0);
  assert_true(busy > 0);
  core::close(fd);
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(numbers_that_are_no_files_answer_ebadf), // first: before anything was opened
      cmocka_unit_test(a_closed_file_answers_ebadf_also_after_its_slot_is_used_again),
      cmocka_unit_test(a_file_for_reading_refuses_writes_and_the_other_way_round),
      cmocka_unit_test(bad_buffers_and_lengths_are_refused_and_nothing_is_taken),
      cmocka_unit_test(bad_seeks_leave_the_position_alone),
      cmocka_unit_test(opens_that_cannot_be_are_refused_at_once),
      cmocka_unit_test(bad_ports_are_refused),
      cmocka_unit_test(a_second_reader_is_told_busy),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
