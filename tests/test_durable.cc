// SPDX-License-Identifier: BSD-2-Clause
// Which line is on stable storage, durability that comes by itself, and what a crash leaves in the file.
#include "faulty.hh"
#include "stress.hh"

#include "core.hh"

#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

namespace {

std::string dir;

int open_log(const std::string &name, ef_file_options o = {}) {
  const int fd = core::open(dir + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, o);
  core::wait(fd, EF_OPEN);
  return fd;
}

std::uint64_t put(int fd, const std::string &s) {
  std::uint64_t seq = 0;
  stress::require(ef_write_seq(fd, s.data(), s.size(), &seq) == static_cast<ssize_t>(s.size()), "it is taken");
  return seq;
}

void a_line_is_durable_after_a_sync_and_not_before(void **) {
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) {
    ef_file_options o{};
    o.order = order;
    o.flush_interval_ms = 3600'000;
    const int fd = open_log("seq", o);
    const std::uint64_t first = put(fd, "first\n"), second = put(fd, "second\n");
    assert_true(first < second);
    assert_int_equal(ef_synced_up_to(fd, first), 0);
    core::wait(fd, EF_SYNC);
    assert_int_equal(ef_synced_up_to(fd, first), 1);
    assert_int_equal(ef_synced_up_to(fd, second), 1);
    std::uint64_t others = 0;
    std::thread([&] { others = put(fd, "of another thread\n"); }).join();
    const std::uint64_t third = put(fd, "third\n");
    assert_int_equal(ef_synced_up_to(fd, others), 0);
    assert_int_equal(ef_synced_up_to(fd, third), 0);
    ef_flush(fd); // written is not durable
    while (core::stats(fd).written < core::stats(fd).accepted) ::usleep(1000);
    assert_int_equal(ef_synced_up_to(fd, others), 0);
    core::wait(fd, EF_SYNC);
    assert_int_equal(ef_synced_up_to(fd, others), 1);
    assert_int_equal(ef_synced_up_to(fd, third), 1);
    assert_int_equal(ef_synced_up_to(fd, put(fd, "\n")), 0); // each byte of it
    FAILS_WITH(ef_synced_up_to(fd, order == EF_ORDER_CALL ? std::uint64_t{1} << 56 : 1), EINVAL);
    core::close(fd);
    FAILS_WITH(ef_synced_up_to(fd, first), EBADF);
  }
  std::uint64_t seq = 77;
  FAILS_WITH(ef_write_seq(12345, "x", 1, &seq), EBADF);
  assert_int_equal(seq, 77);
  const int fd = open_log("null");
  FAILS_WITH(ef_write_seq(fd, "x", 1, nullptr), EFAULT);
  core::close(fd);
  core::put(dir + "/reader", "x");
  const int reader = core::open(dir + "/reader", O_RDONLY);
  FAILS_WITH(ef_synced_up_to(reader, 0), EBADF);
  core::close(reader);
}

void what_was_dropped_is_never_called_durable(void **) {
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) {
    ef_file_options o{};
    o.order = order;
    o.when_full = EF_FULL_DROP;
    o.write_buffer_max = 128 << 10;
    const int fd = open_log("dropped", o);
    faulty::now.hung = faulty::every_file;
    const std::string line(60'000, 'x');
    std::uint64_t taken = 0, dropped = 0;
    while (core::stats(fd).dropped_calls == 0) taken = dropped, dropped = put(fd, line);
    assert_true(dropped > taken);
    FAILS_WITH(ef_synced_up_to(fd, dropped), EINVAL);
    faulty::heal();
    core::wait(fd, EF_SYNC);
    assert_int_equal(ef_synced_up_to(fd, taken), 1);
    FAILS_WITH(ef_synced_up_to(fd, dropped), EINVAL);
    assert_int_equal(ef_synced_up_to(fd, put(fd, line)), 0);
    core::close(fd);
  }
}

void what_could_not_be_synced_is_not_called_durable(void **) {
  const int fd = open_log("failed");
  const std::uint64_t seq = put(fd, "text");
  faulty::now.sync_errno = EIO;
  FAILS_WITH(ef_wait(fd, EF_SYNC, core::patience_ms), EIO);
  FAILS_WITH(ef_synced_up_to(fd, seq), EIO);
  faulty::heal();
  FAILS_WITH(ef_close(fd), EIO);
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
}

// Also while it is being written all the time, and with other threads' lanes.
void durability_comes_by_itself(void **) {
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) {
    ef_file_options o{};
    o.order = order;
    o.flush_interval_ms = 3600'000; // nothing but the other interval makes it move
    o.durable_interval_ms = 20;
    const int fd = open_log("interval", o);
    for (int round = 0; round < 5; ++round) {
      std::uint64_t seq = 0;
      std::thread([&] { seq = put(fd, "line\n"); }).join();
      stress::await([&] { return ef_synced_up_to(fd, seq) == 1; }, "it becomes durable");
    }
    std::atomic<bool> stop{false};
    std::thread writer([&] {
      while (!stop) put(fd, "busy\n"), ::usleep(100);
    });
    for (int round = 0; round < 5; ++round) {
      const std::uint64_t seq = put(fd, "mine\n");
      stress::await([&] { return ef_synced_up_to(fd, seq) == 1; }, "it becomes durable in between");
    }
    stop = true;
    writer.join();
    const std::uint64_t syncs = core::stats(fd).syncs;
    stress::await([&] { return core::stats(fd).synced == core::stats(fd).accepted; }, "the last ones as well");
    ::usleep(200'000);
    assert_true(core::stats(fd).syncs <= syncs + 2); // nothing new: nothing to do
    core::close(fd);
  }
  ef_file_options o{};
  o.size = sizeof o;
  o.durable_interval_ms = 3600'001;
  FAILS_WITH(ef_openat(nullptr, AT_FDCWD, (dir + "/x").c_str(), O_WRONLY | O_CREAT, 0600, &o), EINVAL);
}

// One call of fdatasync serves all who came before it.
void many_who_wait_share_a_sync(void **) {
  const int fd = open_log("group");
  faulty::now.delay = 1024;
  faulty::now.delay_us = 4000;
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        const std::uint64_t seq = put(fd, "line\n");
        stress::require(ef_wait(fd, EF_SYNC, core::patience_ms) == EF_SYNC, "a sync ends");
        stress::require(ef_synced_up_to(fd, seq) == 1, "what was waited for is durable");
      }
    });
  for (auto &t : threads) t.join();
  faulty::heal();
  const std::uint64_t syncs = core::stats(fd).syncs;
  std::printf("    %d durable lines, %d syncs\n", 16 * 20, static_cast<int>(syncs));
  assert_true(syncs < 16 * 20 / 2);
  core::close(fd);
}

// ---- Crashes

volatile sig_atomic_t left_behind = -1;
void on_crash(int signal) {
  left_behind = ef_crash_flush(5000);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

// In the child: many threads write, one of them dies. What it answers went through a pipe to us before.
[[noreturn]] void crash(int order, int result) {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::signal(SIGSEGV, on_crash);
  ef_file_options o{};
  o.order = order;
  o.flush_interval_ms = 3600'000;
  const int fd = open_log("crash", o);
  std::vector<std::thread> threads;
  std::atomic<int> done{0};
  std::atomic<bool> die{false};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 3000; ++i) put(fd, std::to_string(t) + " " + std::to_string(i) + " a line of the log\n");
      ++done;
      while (!die) ::usleep(100);
      if (t == 0) ::raise(SIGSEGV);
      for (;;) ::pause();
    });
  while (done < 4) ::usleep(100);
  stress::require(::write(result, "all", 3) == 3, "told");
  die = true;
  for (;;) ::pause();
}

void a_crash_leaves_what_was_accepted(void **) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  skip(); // they take the signal themselves, or allow no threads in a child
#endif
  for (int round = 0; round < 10; ++round) {
    int result[2];
    assert_int_equal(::pipe(result), 0);
    const pid_t child = ::fork();
    if (child == 0) crash(round % 2 ? EF_ORDER_THREAD : EF_ORDER_CALL, result[1]);
    int status;
    assert_int_equal(::waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    char told[3];
    assert_int_equal(::read(result[0], told, 3), 3);
    ::close(result[0]);
    ::close(result[1]);
    const std::string got = core::contents(dir + "/crash");
    int next[4] = {};
    std::size_t lines = 0;
    for (std::size_t at = 0, end; at < got.size(); at = end + 1, ++lines) {
      end = got.find('\n', at);
      assert_true(end != std::string::npos);
      int t = -1, i = -1;
      char rest[40];
      assert_int_equal(std::sscanf(got.substr(at, end - at).c_str(), "%d %d %39[^\n]", &t, &i, rest), 3);
      assert_in_range(t, 0, 3);
      assert_int_equal(next[t]++, i);
      assert_string_equal(rest, "a line of the log");
    }
    assert_int_equal(lines, 4 * 3000);
  }
}

void a_crash_flush_is_bounded(void **) {
  assert_int_equal(ef_crash_flush(0), 0);
  const int fd = open_log("stuck");
  faulty::now.hung = faulty::every_file;
  core::write(fd, "text");
  errno = 5;
  assert_int_equal(ef_crash_flush(50), 1);
  assert_int_equal(errno, 5);
  faulty::heal();
  assert_int_equal(ef_crash_flush(core::patience_ms), 0);
  assert_string_equal(core::contents(dir + "/stuck").c_str(), "text");
  core::close(fd);
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_crash_leaves_what_was_accepted), // forks: before there are threads
      cmocka_unit_test(a_line_is_durable_after_a_sync_and_not_before),
      cmocka_unit_test(what_was_dropped_is_never_called_durable),
      cmocka_unit_test(what_could_not_be_synced_is_not_called_durable),
      cmocka_unit_test(durability_comes_by_itself),
      cmocka_unit_test(many_who_wait_share_a_sync),
      cmocka_unit_test(a_crash_flush_is_bounded),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
