// SPDX-License-Identifier: BSD-2-Clause
// How old what waits is told to be, and how long writes took: with a disk that stands still, and never too little.
#include "faulty.hh"

#include "core.hh"

#include <mutex>

namespace {

std::string dir;
using clock_used = std::chrono::steady_clock;

long ms_since(clock_used::time_point t) {
  return static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(clock_used::now() - t).count());
}
int open_log(const char *name, int order, unsigned interval_ms = 2) {
  ef_file_options o{};
  o.order = order;
  o.flush_interval_ms = interval_ms;
  ::unlink((dir + "/" + name).c_str());
  const int fd = core::open(dir + "/" + name, O_WRONLY | O_CREAT, o);
  core::wait(fd, EF_OPEN);
  return fd;
}
void await_all_written(int fd) {
  for (int ms = 0; core::stats(fd).written < core::stats(fd).accepted && ms < core::patience_ms; ++ms) ::usleep(1000);
}
template<class Fn> void both_orders(Fn fn) {
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) fn(order);
}

void both_grow_while_the_disk_stands_still(void **) {
  both_orders([](int order) {
    const int fd = open_log("still", order);
    assert_int_equal(core::stats(fd).oldest_ms, 0);
    assert_int_equal(core::stats(fd).flush_us_max, 0);
    faulty::now.hung = faulty::every_file;
    core::write(fd, "first\n");
    const auto accepted = clock_used::now();
    ef_file_counters c = core::stats(fd);
    assert_in_range(c.oldest_ms, 1, core::patience_ms);
    while (core::stats(fd).flush_us_max < 300'000 && ms_since(accepted) < core::patience_ms) {
      core::write(fd, "more\n");
      ::usleep(5000);
      const long least = ms_since(accepted);
      assert_true(core::stats(fd).oldest_ms >= static_cast<std::uint64_t>(least));
    }
    const std::uint64_t longest = core::stats(fd).flush_us_max; // of one under way
    assert_true(longest >= 300'000);
    faulty::now.hung = -1;
    await_all_written(fd);
    c = core::stats(fd);
    assert_int_equal(c.oldest_ms, 0);
    assert_true(c.flush_us_max >= longest); // it stays
    core::close(fd);
  });
}

// Each try is a turn of the lane, which does not make the bytes younger.
void it_grows_while_the_disk_is_full(void **) {
  both_orders([](int order) {
    faulty::now.write_errno = ENOSPC;
    const int fd = open_log("full", order);
    core::write(fd, "first\n");
    const auto accepted = clock_used::now();
    for (long least = 0; least < 200; ::usleep(1000)) {
      core::write(fd, "more\n");
      least = ms_since(accepted);
      assert_true(core::stats(fd).oldest_ms >= static_cast<std::uint64_t>(least));
    }
    faulty::heal();
    await_all_written(fd);
    assert_int_equal(core::stats(fd).oldest_ms, 0);
    core::close(fd);
  });
}

// A quiet file: what comes then is no older than it is, in spite of the time before.
void what_comes_after_a_rest_is_young(void **) {
  both_orders([](int order) {
    const int fd = open_log("rest", order);
    for (int i = 0; i < 2; ++i) {
      core::write(fd, "before\n");
      await_all_written(fd);
      ::usleep(1'500'000);
      faulty::now.hung = faulty::every_file;
      const auto before = clock_used::now();
      core::write(fd, "after\n");
      const std::uint64_t told = core::stats(fd).oldest_ms;
      assert_in_range(told, 1, ms_since(before) + 1);
      ::usleep(50'000); // the lane has begun its turn
      const std::uint64_t later = core::stats(fd).oldest_ms;
      assert_in_range(later, 50, ms_since(before) + 1);
      faulty::now.hung = -1;
      await_all_written(fd);
    }
    core::close(fd);
  });
}

void bytes_of_a_file_that_is_not_open_yet_grow_old(void **) {
  faulty::now.open_errno = EACCES;
  faulty::now.delay = 1024;
  faulty::now.delay_us = 100'000;
  const int fd = core::open(dir + "/none", O_WRONLY | O_CREAT);
  core::write(fd, "given up\n"); // or it was too late, and the next line says so
  core::wait(fd, EF_OPEN);
  for (int ms = 0; core::stats(fd).lost < 9 && ms < core::patience_ms; ++ms) ::usleep(1000);
  assert_int_equal(core::stats(fd).oldest_ms, 0);
  FAILS_WITH(ef_close(fd), EACCES);
}

void a_seldom_flushed_file_tells_its_age(void **) {
  const int fd = open_log("seldom", EF_ORDER_CALL, 3600'000);
  core::write(fd, "waits\n");
  const auto accepted = clock_used::now();
  ::usleep(100'000);
  const long least = ms_since(accepted);
  assert_true(core::stats(fd).oldest_ms >= static_cast<std::uint64_t>(least));
  core::close(fd);
}

// The calls of one writer: where each ends in the stream, and when it had returned.
struct call {
  std::uint64_t end;
  clock_used::time_point returned;
};
struct history {
  std::mutex lock;
  std::vector<call> calls;
};

// Looks at the file while it is written to, in bursts and with rests: whatever waited during the whole look had been
// accepted no longer ago than it tells.
void it_is_never_told_younger(void **) {
  const int fd = open_log("racing", EF_ORDER_CALL, 1);
  faulty::now.delay = 300;
  faulty::now.delay_us = 8000;
  faulty::now.short_write = 100;
  history h;
  std::atomic<bool> over{false};
  std::thread writer([&] {
    unsigned seed = 1;
    std::uint64_t end = 0;
    for (const auto began = clock_used::now(); ms_since(began) < 3000;) {
      seed = seed * 1664525 + 1013904223;
      const std::string s(100 + (seed >> 16) % 3000, 'x');
      core::write(fd, s);
      end += s.size();
      const call c{end, clock_used::now()};
      h.lock.lock();
      h.calls.push_back(c);
      h.lock.unlock();
      ::usleep(seed >> 28 ? (seed >> 20) % 300 : 15'000);
    }
    over = true;
  });
  long looked = 0;
  for (std::size_t first = 0; !over; ::usleep(50)) {
    const auto before = clock_used::now();
    const std::uint64_t told = core::stats(fd).oldest_ms, written = core::stats(fd).written;
    h.lock.lock();
    while (first < h.calls.size() && h.calls[first].end <= written) ++first;
    const bool waits = first < h.calls.size() && h.calls[first].returned < before;
    const auto least = waits ? before - h.calls[first].returned : clock_used::duration{};
    h.lock.unlock();
    if (!waits) continue;
    ++looked;
    assert_true(std::chrono::milliseconds(told) >= least);
  }
  writer.join();
  assert_true(looked > 100);
  faulty::heal();
  core::close(fd);
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, faulty::heal_around, faulty::heal_around)
  const CMUnitTest tests[] = {
      TEST(both_grow_while_the_disk_stands_still), TEST(it_grows_while_the_disk_is_full),
      TEST(what_comes_after_a_rest_is_young),      TEST(bytes_of_a_file_that_is_not_open_yet_grow_old),
      TEST(a_seldom_flushed_file_tells_its_age),   TEST(it_is_never_told_younger),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
