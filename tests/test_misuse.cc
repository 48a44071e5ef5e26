// SPDX-License-Identifier: BSD-2-Clause
// What a host gives wrongly, each in turn: options, descriptors, ports of another process, NULL. It is told by its
// errno, and nothing is opened.
#include "core.hh"

#include <sys/socket.h>

namespace {

std::string dir;
ef_port *port;

template<class Change> void refused(Change change, int flags = O_RDWR | O_CREAT) {
  ef_file_options o{};
  o.size = sizeof o;
  change(o);
  FAILS_WITH(ef_openat(port, AT_FDCWD, (dir + "/none").c_str(), flags, 0600, &o), EINVAL);
  assert_int_equal(::access((dir + "/none").c_str(), F_OK), -1);
  const int fd = ::open("/dev/null", O_RDWR);
  FAILS_WITH(ef_fdopen(port, fd, &o), EINVAL);
  assert_int_equal(::close(fd), 0); // it is still the host's
}

void each_option_has_its_bounds(void **) {
  refused([](ef_file_options &o) { o.size -= 1; });
  refused([](ef_file_options &o) { o.write_buffer_max = 1; });
  refused([](ef_file_options &o) { o.write_buffer_max = SIZE_MAX; });
  refused([](ef_file_options &o) { o.read_ahead_max = 1; });
  refused([](ef_file_options &o) { o.read_ahead_max = SIZE_MAX; });
  refused([](ef_file_options &o) { o.flush_interval_ms = UINT32_MAX; });
  refused([](ef_file_options &o) { o.durable_interval_ms = UINT32_MAX; });
  refused([](ef_file_options &o) { o.preallocate_bytes = (std::uint64_t{1} << 40) + 1; });
  for (int wrong : {-1, 100}) {
    refused([&](ef_file_options &o) { o.order = wrong; });
    refused([&](ef_file_options &o) { o.cache = wrong; });
    refused([&](ef_file_options &o) { o.pattern = wrong; });
    refused([&](ef_file_options &o) { o.when_full = wrong; });
  }
}

// A descriptor that cannot be what is wished stays the host's, whole; one of a wrong kind is told by the open.
void what_is_no_file_is_told(void **) {
  struct {
    int fd, error;
  } now[] = {{-1, EBADF}, {::open(dir.c_str(), O_PATH), EBADF}, {1 << 20, EBADF}};
  for (const auto &c : now) FAILS_WITH(ef_fdopen(port, c.fd, nullptr), c.error);
  assert_int_equal(::close(now[1].fd), 0);
  ef_file_options o{};
  o.size = sizeof o;
  o.rotate_bytes = 1 << 20; // there is no path to rename
  const int file = ::open((dir + "/file").c_str(), O_WRONLY | O_CREAT, 0600);
  FAILS_WITH(ef_fdopen(port, file, &o), EINVAL);
  o.rotate_bytes = 0;
  o.rotate_seconds = 10;
  FAILS_WITH(ef_fdopen(port, file, &o), EINVAL);
  assert_int_equal(::close(file), 0);

  int pair[2], pipe[2];
  assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  assert_int_equal(::pipe(pipe), 0);
  const struct {
    int fd, error;
  } later[] = {{pair[0], ESPIPE}, {pipe[0], ESPIPE}, {::open(dir.c_str(), O_RDONLY), EISDIR}};
  for (const auto &c : later) {
    const int fd = ef_fdopen(port, c.fd, nullptr);
    assert_true(fd >= 0);
    core::wait(fd, EF_OPEN);
    char b;
    FAILS_WITH(ef_read(fd, &b, 1), c.error);
    ef_close(fd);
    assert_int_equal(core::drain(port), 0);
  }
  ::close(pair[1]), ::close(pipe[1]);
}

// As standard output mostly is: open for both, and written.
void a_terminal_is_written(void **) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) skip();
  assert_int_equal(::grantpt(terminal), 0);
  assert_int_equal(::unlockpt(terminal), 0);
  const int shown = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  assert_true(shown >= 0);
  const int fd = ef_fdopen(port, shown, nullptr);
  core::wait(fd, EF_OPEN);
  char b[16] = {};
  FAILS_WITH(ef_read(fd, b, 1), EBADF);
  core::write(fd, "shown");
  core::close(fd, port);
  assert_int_equal(::read(terminal, b, sizeof b), 5);
  assert_string_equal(b, "shown");
  ::close(terminal);
}

std::string read_pipe(int end, std::size_t bytes) {
  std::string got;
  char b[4096];
  for (pollfd q{end, POLLIN, 0}; got.size() < bytes;) {
    assert_int_equal(::poll(&q, 1, core::patience_ms), 1);
    const ssize_t n = ::read(end, b, sizeof b);
    assert_true(n > 0);
    got.append(b, static_cast<std::size_t>(n));
  }
  return got;
}

// Neither the age of its bytes nor a call has to come for that; and a sync means all of them.
void a_pipe_that_was_full_is_written_soon(void **) {
  int ends[2];
  assert_int_equal(::pipe2(ends, O_CLOEXEC), 0);
  ef_file_options o{};
  o.size = sizeof o;
  o.flush_interval_ms = 3600'000;
  const int fd = ef_fdopen(port, ends[1], &o);
  core::wait(fd, EF_OPEN);
  const std::string all = core::pattern(300'000);
  for (bool sync : {false, true}) {
    core::write(fd, all);
    assert_int_equal(sync ? ef_sync(fd) : ef_flush(fd), 0);
    assert_int_equal(core::next(port, 100).events, 0); // nobody has read yet
    assert_true(read_pipe(ends[0], all.size()) == all);
  }
  const ef_event e = core::next(port);
  assert_int_equal(e.events, EF_SYNC);
  assert_int_equal(e.error, 0);
  core::close(fd, port);
  ::close(ends[0]);
}

void advice_is_checked(void **) {
  core::put(dir + "/read", "text");
  const int fd = core::open(dir + "/read", O_RDONLY, {}, port),
            w = core::open(dir + "/w", O_WRONLY | O_CREAT, {}, port);
  core::wait(fd, EF_OPEN);
  FAILS_WITH(ef_advise(-1, 0, 0, EF_PATTERN_RANDOM), EBADF);
  FAILS_WITH(ef_advise(w, 0, 0, EF_PATTERN_RANDOM), EBADF);
  FAILS_WITH(ef_advise(fd, -1, 0, EF_WILL_NEED), EINVAL);
  FAILS_WITH(ef_advise(fd, 0, -1, EF_WILL_NEED), EINVAL);
  FAILS_WITH(ef_advise(fd, 0, 0, -1), EINVAL);
  FAILS_WITH(ef_advise(fd, 0, 0, EF_WILL_NEED + 1), EINVAL);
  FAILS_WITH(ef_advise(fd, 0, 4096, EF_PATTERN_RANDOM), EINVAL); // of the whole file only
  for (int pattern : {EF_PATTERN_RANDOM, EF_PATTERN_SEQUENTIAL, EF_PATTERN_ADAPTIVE})
    assert_int_equal(ef_advise(fd, 0, 0, pattern), 0);
  assert_true(core::read_all(fd) == "text");
  core::close(fd, port);
  core::close(w, port);
}

int port_of_the_parent() {
  ef_event e;
  ef_port_counters c{};
  c.size = sizeof c;
  const auto gone = [](long r) { return r == -1 && errno == ECHILD; };
  if (!gone(ef_port_next(port, &e, 1)) || !gone(ef_port_submit(port)) || !gone(ef_port_pending(port))) return 1;
  if (!gone(ef_port_fd(port)) || !gone(ef_port_stats(port, &c)) || !gone(ef_drain(port, 0))) return 2;
  if (!gone(ef_port_wake(port, nullptr, nullptr)) || !gone(ef_port_notify(port, nullptr, nullptr))) return 3;
  if (!gone(ef_port_abandon(port)) || !gone(ef_port_free(port))) return 4;
  if (!gone(ef_openat(port, AT_FDCWD, "/dev/null", O_RDONLY, 0, nullptr))) return 5;
  return gone(ef_fdopen(port, 0, nullptr)) ? 0 : 6;
}

void a_port_of_the_parent_is_of_no_use(void **) {
  assert_int_equal(core::in_child([] { return port_of_the_parent(); }), 0);
  assert_int_equal(ef_port_pending(port), 0); // here it is as before
}

void ports_are_asked_for_what_they_can_tell(void **) {
  ef_event e;
  ef_port_counters c{};
  c.size = 1;
  FAILS_WITH(ef_port_next(port, &e, 0), EINVAL);
  FAILS_WITH(ef_port_next(port, nullptr, 1), EFAULT);
  FAILS_WITH(ef_port_stats(port, &c), EINVAL);
  FAILS_WITH(ef_port_stats(port, nullptr), EFAULT);
  errno = 0;
  assert_null(ef_port_of(-1));
  assert_int_equal(errno, EBADF);
  ef_port *common = ef_port_default();
  assert_non_null(common);
  FAILS_WITH(ef_port_free(common), EBUSY);
  FAILS_WITH(ef_port_abandon(common), EBUSY);
  ef_port_options o{};
  o.size = sizeof o;
  o.engine = 100;
  errno = 0;
  assert_null(ef_port_new(&o));
  assert_int_equal(errno, EINVAL);
}

int start(void **) { return (port = ef_port_new(nullptr)) ? 0 : -1; }
int end(void **) { return ef_port_free(port); }

} // namespace

int main() {
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
  const CMUnitTest tests[] = {
      TEST(each_option_has_its_bounds),
      TEST(what_is_no_file_is_told),
      TEST(a_terminal_is_written),
      TEST(a_pipe_that_was_full_is_written_soon),
      TEST(advice_is_checked),
      TEST(a_port_of_the_parent_is_of_no_use),
      TEST(ports_are_asked_for_what_they_can_tell),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
