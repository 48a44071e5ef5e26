// SPDX-License-Identifier: BSD-2-Clause
// What a file has besides its bytes: its name on stable storage, and descriptors that go with it.
#include "own_port.hh"

namespace {

using core::port;

std::string dir;
std::atomic<int> names_synced, name_error;

int counted_sync_parent(int at, const char *path) {
  ++names_synced;
  return name_error ? -name_error.load() : ef::sys_kernel.sync_parent(at, path);
}

int start(void **state) {
  names_synced = name_error = 0;
  dir = core::directory();
  return core::start_test(state);
}
int end(void **state) {
  const int r = core::end_test(state);
  core::remove(dir);
  return r;
}

int open_file(int flags, ef_file_options o = {}) {
  const int fd = core::open(dir + "/log", flags, o, port);
  core::wait(fd, EF_OPEN);
  return fd;
}
void write_and_sync(int fd) {
  core::write(fd, "a line of the log\n");
  core::wait(fd, EF_SYNC);
}

void a_new_name_is_synced_once(void **) {
  const int fd = open_file(O_WRONLY | O_CREAT);
  assert_int_equal(names_synced, 0);
  for (int i = 0; i < 3; ++i) write_and_sync(fd);
  assert_int_equal(names_synced, 1);
  assert_int_equal(::rename((dir + "/log").c_str(), (dir + "/old").c_str()), 0);
  assert_int_equal(ef_reopen(fd), 0);
  core::wait(fd, EF_OPEN);
  for (int i = 0; i < 3; ++i) write_and_sync(fd);
  assert_int_equal(names_synced, 2);
  core::close(fd, port);
}

// Nobody has promised the name of a file that was there before.
void an_old_name_is_not_synced(void **) {
  core::put(dir + "/log", "");
  const int fd = open_file(O_WRONLY);
  write_and_sync(fd);
  assert_int_equal(names_synced, 0);
  core::close(fd, port);
}

void the_names_of_a_rotation_are_synced(void **) {
  core::put(dir + "/log", "");
  ef_file_options o{};
  o.rotate_bytes = 30;
  const int fd = open_file(O_WRONLY | O_APPEND, o);
  for (int i = 0; i < 4; ++i) write_and_sync(fd); // one line fits
  assert_int_equal(names_synced, 3);
  core::close(fd, port);
}

void a_name_that_is_not_durable_is_told(void **) {
  name_error = EIO;
  const int fd = open_file(O_WRONLY | O_CREAT);
  core::write(fd, "a line of the log\n");
  FAILS_WITH(ef_wait(fd, EF_SYNC, core::patience_ms), EIO);
  assert_int_equal(core::stats(fd).synced, 0);
  FAILS_WITH(ef_close(fd), EIO);
}

int descriptors() {
  int n = 0;
  DIR *d = ::opendir("/proc/self/fd");
  assert_non_null(d);
  while (::readdir(d)) ++n;
  ::closedir(d);
  return n;
}

void use_and_close(int at) {
  ef_file_options o{};
  o.size = sizeof o;
  o.rotate_bytes = 30;
  const int fd = ef_openat(port, at, "log", O_WRONLY | O_CREAT | O_APPEND, 0644, &o);
  assert_true(fd >= 0);
  core::wait(fd, EF_OPEN);
  ef_request q{};
  FAILS_WITH(ef_pwrite(fd, "x", 1, 0, &q), EINPROGRESS); // by a descriptor without O_APPEND
  while (!(core::next(port).events & EF_REQUEST)) {}
  for (int i = 0; i < 5; ++i) write_and_sync(fd);
  assert_int_equal(::renameat(at, "log", at, "away"), 0);
  assert_int_equal(ef_reopen(fd), 0);
  core::wait(fd, EF_OPEN);
  write_and_sync(fd);
  core::close(fd, port);
}

void all_descriptors_go_with_the_file(void **) {
  const int at = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(at >= 0);
  assert_true(ef_port_fd(port) >= 0); // the port's own
  use_and_close(at);
  const int before = descriptors();
  for (int i = 0; i < 3; ++i) use_and_close(at);
  assert_int_equal(descriptors(), before);
  ::close(at);
}

void a_write_at_an_offset_of_a_log_needs_a_descriptor(void **) {
  const int fd = open_file(O_WRONLY | O_CREAT | O_APPEND);
  assert_true(ef_port_fd(port) >= 0);
  rlimit all, few;
  assert_int_equal(::getrlimit(RLIMIT_NOFILE, &all), 0);
  const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(next);
  few = {static_cast<rlim_t>(next), all.rlim_max};
  assert_int_equal(::setrlimit(RLIMIT_NOFILE, &few), 0);
  ef_request q{};
  FAILS_WITH(ef_pwrite(fd, "x", 1, 3, &q), EINPROGRESS);
  const int error = core::next(port).error;
  assert_int_equal(::setrlimit(RLIMIT_NOFILE, &all), 0);
  assert_int_equal(error, EMFILE);
  FAILS_WITH(ef_pwrite(fd, "x", 1, 3, &q), EINPROGRESS);
  assert_int_equal(core::next(port).error, 0);
  core::close(fd, port);
  assert_true(core::contents(dir + "/log") == std::string("\0\0\0x", 4));
}

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) { t.sync_parent = counted_sync_parent; });
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
  const CMUnitTest tests[] = {
      TEST(a_new_name_is_synced_once),          TEST(an_old_name_is_not_synced),
      TEST(the_names_of_a_rotation_are_synced), TEST(a_name_that_is_not_durable_is_told),
      TEST(all_descriptors_go_with_the_file),   TEST(a_write_at_an_offset_of_a_log_needs_a_descriptor),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
