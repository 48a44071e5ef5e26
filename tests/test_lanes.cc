// SPDX-License-Identifier: BSD-2-Clause
// Writes in the order of threads: what is refused, what the calls answer, what a sync covers, and what errors do.
#include "faulty.hh"
#include "stress.hh"

#include "core.hh"

#include <thread>

namespace {

std::string dir;

ef_file_options by_thread() {
  ef_file_options o{};
  o.order = EF_ORDER_THREAD;
  return o;
}

int open_log(const std::string &name, ef_file_options o = by_thread(), int flags = 0) {
  const int fd = core::open(dir + "/" + name, O_WRONLY | O_CREAT | O_TRUNC | flags, o);
  core::wait(fd, EF_OPEN);
  return fd;
}

// Each in a thread of its own, one after the other.
template<class Call> void in_threads(int count, Call call) {
  for (int i = 0; i < count; ++i) std::thread([&] { call(i); }).join();
}

std::size_t times(const std::string &text, const std::string &what) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

void only_what_is_written_has_it(void **) {
  ef_file_options o = by_thread();
  o.size = sizeof o;
  const std::string path = dir + "/refused";
  for (int access : {O_RDWR, O_RDONLY})
    FAILS_WITH(ef_openat(nullptr, AT_FDCWD, path.c_str(), access | O_CREAT, 0644, &o), EINVAL);
  o.order = 2;
  FAILS_WITH(ef_openat(nullptr, AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT, 0644, &o), EINVAL);
  const int kernel_fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0644);
  o.order = EF_ORDER_THREAD;
  FAILS_WITH(ef_fdopen(nullptr, kernel_fd, &o), EINVAL);
  ::close(kernel_fd);
  const int fd = open_log("places");
  FAILS_WITH(ef_seek(fd, 0, SEEK_SET), ESPIPE);
  core::close(fd);
}

void a_large_write_is_taken_in_part(void **) {
  const int fd = open_log("large");
  const std::string all = core::pattern(300'000);
  for (std::size_t at = 0; at < all.size();) {
    const ssize_t n = ef_write(fd, all.data() + at, all.size() - at);
    assert_in_range(n, 1, EF_ATOMIC);
    at += static_cast<std::size_t>(n);
  }
  core::close(fd);
  assert_true(core::contents(dir + "/large") == all);
}

// Of threads that are long gone, too, and one that did not write since.
void a_sync_covers_what_every_thread_wrote(void **) {
  ef_file_options o = by_thread();
  o.flush_interval_ms = 3600'000;
  const int fd = open_log("synced", o);
  for (int round = 1; round <= 3; ++round) {
    in_threads(20, [&](int i) { core::write(fd, "thread " + std::to_string(i) + " round\n"); });
    core::wait(fd, EF_SYNC);
    const std::string got = core::contents(dir + "/synced");
    for (int i = 0; i < 20; ++i)
      assert_int_equal(times(got, "thread " + std::to_string(i) + " round\n"), static_cast<std::size_t>(round));
    const ef_file_counters c = core::stats(fd);
    assert_int_equal(c.accepted, got.size());
    assert_int_equal(c.synced, got.size());
  }
  core::close(fd);
}

// One write after the other is cut in its middle: what a thread wrote by one call is not parted by another's.
void short_writes_part_no_record(void **) {
  faulty::now.short_write = 1024;
  for (int flags : {0, O_APPEND}) {
    ef_file_options o = by_thread();
    o.flush_interval_ms = 1;
    const int fd = open_log("short", o, flags);
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t)
      threads.emplace_back([=] {
        const std::string line = std::string(3000, static_cast<char>('a' + t)) + '\n';
        for (int i = 0; i < 50; ++i) {
          while (ef_write(fd, line.data(), line.size()) < 0) ::usleep(1000);
          ::usleep(300);
        }
      });
    for (auto &t : threads) t.join();
    core::close(fd);
    const std::string got = core::contents(dir + "/short");
    assert_int_equal(got.size(), 6 * 50 * 3001);
    for (std::size_t at = 0; at < got.size(); at += 3001)
      assert_int_equal(got.find_first_not_of(got[at], at), at + 3000);
  }
  faulty::heal();
}

void a_full_disk_keeps_the_lines_of_all(void **) {
  ef_file_options o = by_thread();
  o.flush_interval_ms = 5;
  const int fd = open_log("full", o);
  faulty::now.write_errno = ENOSPC;
  in_threads(8, [&](int i) { core::write(fd, "line " + std::to_string(i) + "\n"); });
  ::usleep(50'000);
  assert_int_equal(core::stats(fd).write_trouble, ENOSPC);
  faulty::now.write_errno = 0;
  core::close(fd);
  for (int i = 0; i < 8; ++i) assert_int_equal(times(core::contents(dir + "/full"), "line " + std::to_string(i)), 1);
}

void an_error_sticks_for_all_threads(void **) {
  ef_file_options o = by_thread();
  o.flush_interval_ms = 1;
  const int fd = open_log("bad", o);
  in_threads(4, [&](int) { core::write(fd, "text\n"); });
  core::wait(fd, EF_SYNC);
  faulty::now.write_errno = EIO;
  in_threads(4, [&](int) {
    ssize_t r;
    while ((r = ef_write(fd, "lost\n", 5)) == 5) ::usleep(1000);
    stress::require(r == -1 && errno == EIO, "the error sticks");
  });
  faulty::heal();
  FAILS_WITH(ef_close(fd), EIO); // and it is closed
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  assert_int_equal(times(core::contents(dir + "/bad"), "text\n"), 4);
}

// The budget is the file's, whoever writes.
void all_threads_share_the_budget(void **) {
  ef_file_options o = by_thread();
  o.write_buffer_max = 1 << 20;
  const int fd = open_log("budget", o);
  faulty::now.hung = faulty::every_file;
  std::atomic<std::uint64_t> taken{0};
  in_threads(8, [&](int) {
    const std::string line(1000, 'x');
    while (ef_write(fd, line.data(), line.size()) > 0) taken += 1000;
    stress::require(errno == EAGAIN, "the budget is full");
  });
  assert_true(taken <= (1 << 20) && taken > (1 << 20) / 4);
  faulty::heal();
  core::wait(fd, EF_WRITE);
  core::close(fd);
  assert_int_equal(core::contents(dir + "/budget").size(), taken);
}

// Also by the shortest way, by which a thread goes on in the chunk that it has.
void nobody_writes_after_the_close(void **) {
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) {
    ef_file_options o = by_thread();
    o.order = order;
    const int fd = open_log("closed", o);
    std::atomic<int> step{0};
    std::thread writer([&] {
      const std::string line(100, 'x');
      for (int i = 0; i < 3000; ++i) stress::require(ef_write(fd, line.data(), line.size()) == 100, "it is taken");
      step = 1;
      while (step != 2) ::usleep(100);
      stress::require(ef_write(fd, line.data(), line.size()) == -1 && errno == EBADF, "the file is closed");
    });
    while (step != 1) ::usleep(100);
    faulty::now.hung = faulty::every_file; // what it has is not taken from it by being written
    ef_flush(fd);
    assert_int_equal(ef_close(fd), 0);
    step = 2;
    writer.join();
    faulty::heal();
    assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
    assert_int_equal(core::contents(dir + "/closed").size(), 300'000);
  }
}

// A slot's next life has the other order.
void an_order_is_for_one_life(void **) {
  for (int i = 0; i < 40; ++i) {
    ef_file_options o{};
    o.order = i % 2 ? EF_ORDER_THREAD : EF_ORDER_CALL;
    const int fd = open_log("life", o);
    std::string want;
    in_threads(5, [&](int t) {
      core::write(fd, std::to_string(t));
      want += std::to_string(t);
      ef_flush(fd);
    });
    core::close(fd);
    std::string got = core::contents(dir + "/life");
    if (o.order == EF_ORDER_THREAD) std::sort(got.begin(), got.end());
    assert_string_equal(got.c_str(), want.c_str());
  }
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(only_what_is_written_has_it),
      cmocka_unit_test(a_large_write_is_taken_in_part),
      cmocka_unit_test(a_sync_covers_what_every_thread_wrote),
      cmocka_unit_test(short_writes_part_no_record),
      cmocka_unit_test(a_full_disk_keeps_the_lines_of_all),
      cmocka_unit_test(an_error_sticks_for_all_threads),
      cmocka_unit_test(all_threads_share_the_budget),
      cmocka_unit_test(nobody_writes_after_the_close),
      cmocka_unit_test(an_order_is_for_one_life),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
