// SPDX-License-Identifier: BSD-2-Clause
// The memory of the process at its bound and behind it: nothing leaks, nobody spins, everybody gets on again.
#include "limits.hh"

#include "own_port.hh"

namespace {

using core::end_test;
using core::port;
using core::start_test;

std::string dir;

std::uint64_t pool_bytes() {
  ef_port_counters c{};
  c.size = sizeof c;
  assert_int_equal(ef_port_stats(nullptr, &c), 0);
  return c.pool_bytes;
}

void closing_gives_back_what_was_fetched_and_not_read(void **) {
  core::put(dir + "/f", core::pattern(500000));
  faulty::now.nowait_none = 1;
  std::uint64_t before = 0;
  for (int i = 0; i < 300; ++i) {
    int fd = core::open(dir + "/f", O_RDONLY, {}, port);
    core::wait(fd, EF_OPEN);
    char b[10];
    FAILS_WITH(ef_read(fd, b, sizeof b), EAGAIN);
    if (i % 2) core::wait(fd, EF_READ); // closed while the fetch runs, when it is over, and when a part was read
    if (i % 4 == 3) assert_int_equal(ef_read(fd, b, sizeof b), sizeof b);
    core::close(fd, port);
    if (i == 20) before = pool_bytes();
  }
  assert_true(pool_bytes() <= before + (1 << 20));
}

// Small pieces for many places meet the budget as any other bytes do.
void seeking_between_small_writes_is_bounded(void **) {
  ef_file_options o{};
  o.write_buffer_max = 128 * 1024;
  int fd = core::open(dir + "/p", O_WRONLY | O_CREAT | O_TRUNC, o, port);
  core::wait(fd, EF_OPEN);
  std::string model(100000, 0);
  long refused = 0;
  for (unsigned i = 0; i < 20000; ++i) {
    off_t at = i * 7919 % 100000;
    while (ef_seek(fd, at, SEEK_SET) < 0) {
      assert_int_equal(errno, EAGAIN);
      ++refused;
      core::wait(fd, EF_WRITE);
    }
    char c = static_cast<char>('a' + i % 26);
    core::write(fd, std::string(1, c));
    model[static_cast<std::size_t>(at)] = c;
    if (i % 1000 == 0) assert_true(pool_bytes() < (16u << 20));
  }
  assert_true(refused > 0);
  core::close(fd, port);
  std::string is = core::contents(dir + "/p");
  is.resize(model.size());
  assert_true(is == model);
}

// A file that holds whatever the pool has.
int hog() {
  ef_file_options o{};
  o.write_buffer_max = ef::limits::write_buffer_most;
  o.flush_interval_ms = 3600000;
  return core::open("/dev/shm/efio-hog", O_WRONLY | O_CREAT | O_TRUNC, o);
}
long fill(int fd) {
  static const std::string block(ef::limits::chunk_bytes, 'x');
  long n = 0;
  while (ef_write(fd, block.data(), block.size()) > 0) ++n;
  assert_true(errno == EAGAIN);
  return n;
}

// By two of them.
void fill_the_pool(const int *all) {
  faulty::now.hung = faulty::every_file;
  long n = fill(all[0]);
  for (int i = 0; n < ef::limits::large_chunks_max && i < 1000; ++i) { // the last ones come from the background
    ::usleep(5000);
    n += fill(all[1]);
  }
  assert_int_equal(n, ef::limits::large_chunks_max);
}

void a_writer_refused_for_want_of_chunks_is_told_when_one_is_back(void **) {
  int all[] = {hog(), hog()};
  fill_the_pool(all);
  ef_file_options o{};
  o.flush_interval_ms = 3600000; // room comes from the others alone
  int fd = core::open(dir + "/small", O_WRONLY | O_CREAT, o, port);
  core::wait(fd, EF_OPEN);
  std::string block(50000, 'y');
  FAILS_WITH(ef_write(fd, block.data(), block.size()), EAGAIN);
  assert_true(core::nothing_more(port)); // and not told of room that is not there
  assert_int_equal(ef_ready(fd) & EF_WRITE, 0);
  assert_int_equal(ef_write(fd, "a line\n", 7), 7); // a small one is to be had always
  faulty::now.hung = -1;
  for (int f : all) assert_int_equal(ef_flush(f), 0);
  assert_int_equal(core::next(port).events, EF_WRITE);
  core::wait(fd, EF_WRITE);
  assert_int_equal(ef_write(fd, block.data(), block.size()), block.size());
  core::close(fd, port);
  for (int f : all) core::close(f);
  assert_true(core::contents(dir + "/small") == "a line\n" + block);
}

std::size_t dropped_here(void *, std::uint64_t calls, std::uint64_t bytes, char *line, std::size_t size) {
  const int n = std::snprintf(line, size, "%d calls, %d bytes\n", static_cast<int>(calls), static_cast<int>(bytes));
  return static_cast<std::size_t>(n);
}

// The file has nothing to write: nothing of its own wakes the lane but the drop, and a small chunk will do.
void a_drop_for_want_of_chunks_is_marked_at_once(void **) {
  int all[] = {hog(), hog()};
  fill_the_pool(all);
  ef_file_options o{};
  o.when_full = EF_FULL_DROP;
  o.flush_interval_ms = 3600000;
  o.drop_mark = dropped_here;
  const int fd = core::open(dir + "/dropped", O_WRONLY | O_CREAT, o, port);
  core::wait(fd, EF_OPEN);
  const std::string block(50000, 'y');
  assert_int_equal(ef_write(fd, block.data(), block.size()), block.size());
  for (int ms = 0; core::stats(fd).accepted == 0 && ms < core::patience_ms; ++ms) ::usleep(1000);
  assert_true(core::stats(fd).accepted > 0);
  faulty::now.hung = -1;
  for (int f : all) core::close(f);
  core::close(fd, port);
  assert_string_equal(core::contents(dir + "/dropped").c_str(), "1 calls, 50000 bytes\n");
}

// Comes after the tests above: the pool has been at its bound.
void chunks_without_memory_behind_them_count_as_room(void **) {
  for (int i = 0; i < 100 && pool_bytes() > (4u << 20); ++i) ::usleep(100000);
  assert_true(pool_bytes() <= (4u << 20)); // given back
  faulty::now.hung = faulty::every_file;
  ef_file_options o{};
  o.flush_interval_ms = 3600000;
  int holder = core::open(dir + "/holder", O_WRONLY | O_CREAT, o, port);
  const std::string block(ef::limits::chunk_bytes, 'x');
  for (unsigned i = 0; i < ef::limits::large_chunks_kept; ++i)
    assert_int_equal(ef_write(holder, block.data(), block.size()), block.size());
  int fd = core::open(dir + "/other", O_WRONLY | O_CREAT, {}, port);
  core::wait(fd, EF_OPEN);
  assert_int_equal(ef_ready(fd), EF_WRITE);
  assert_int_equal(ef_wait(fd, EF_WRITE, 0), EF_WRITE);
  assert_int_equal(ef_write(fd, block.data(), block.size()), block.size());
  faulty::now.hung = -1;
  core::close(fd, port);
  core::close(holder, port);
}

void await_written(int fd, std::uint64_t n) {
  for (int ms = 0; core::stats(fd).written < n && ms < 1000; ++ms) ::usleep(1000);
  assert_int_equal(core::stats(fd).written, n);
}

// One file's disk hangs: the bytes of the next one, asked for in the same moment, do not wait for it. In turn the hung
// ones are asked for as well, or have piled up, which may be left to a flusher that naps.
void a_hung_file_holds_no_other(void **) {
  for (int i = 0; i < 20; ++i) {
    const bool piles_up = i % 2;
    std::string hung = dir + "/hung", fine = dir + "/fine";
    int os = ::open(hung.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(os >= 0);
    faulty::now.hung = os;
    int a = ef_fdopen(port, os, nullptr), b = core::open(fine, O_WRONLY | O_CREAT | O_TRUNC, {}, port);
    core::wait(a, EF_OPEN);
    core::wait(b, EF_OPEN);
    core::write(b, "y");
    assert_int_equal(ef_flush(b), 0);
    await_written(b, 1);
    ::usleep(i / 2 * 500);
    core::write(a, std::string(piles_up ? 300000 : 1, 'x'));
    core::write(b, "z");
    if (!piles_up) assert_int_equal(ef_flush(a), 0);
    assert_int_equal(ef_flush(b), 0);
    await_written(b, 2);
    assert_int_equal(core::stats(a).written, 0);
    faulty::now.hung = -1;
    assert_int_equal(ef_close(b), 0);
    core::close(a, port);
  }
}

// Whatever the disk does: who waits in another thread is told at once.
void a_close_ends_every_wait(void **) {
  for (unsigned bit : {EF_WRITE, EF_SYNC}) {
    ef_file_options o{};
    o.write_buffer_max = 128 * 1024;
    const int fd = core::open(dir + "/closed", O_WRONLY | O_CREAT, o, port);
    core::wait(fd, EF_OPEN);
    faulty::now.hung = faulty::every_file;
    fill(fd);
    std::atomic<int> said{0};
    std::thread waiter([&] { said = ef_wait(fd, bit, core::patience_ms / 2) < 0 ? errno : -1; });
    ::usleep(50'000); // it waits
    assert_int_equal(ef_close(fd), 0);
    waiter.join();
    assert_int_equal(said, EBADF);
    faulty::heal();
    assert_int_equal(core::drain(port), 0);
  }
}

int threads_called(const std::string &name) {
  int n = 0;
  DIR *tasks = ::opendir("/proc/self/task");
  assert_non_null(tasks);
  for (const dirent *d; (d = ::readdir(tasks));)
    n += core::contents(std::string("/proc/self/task/") + d->d_name + "/comm") == name + "\n";
  ::closedir(tasks);
  return n;
}

// Of many reads that hang some wait for a thread.
void threads_are_bounded(void **) {
  core::put(dir + "/many", core::pattern(100));
  faulty::now.nowait_miss = faulty::now.delay = 1024;
  faulty::now.delay_us = 300'000;
  std::vector<int> fds;
  for (int i = 0; i < 100; ++i) fds.push_back(core::open(dir + "/many", O_RDONLY, {}, port));
  int most = 0;
  for (int ms = 0; ms < 300; ms += 5) {
    most = std::max(most, threads_called("efio-read"));
    ::usleep(5000);
  }
  assert_in_range(most, ef::limits::readers_base + 1, ef::limits::readers_most);
  faulty::heal();
  for (int fd : fds) assert_int_equal(ef_close(fd), 0);
  assert_int_equal(core::drain(port), 0);
}

void read_ahead_is_bounded(void **) {
  const std::string all = core::pattern(4 << 20);
  core::put(dir + "/ahead", all);
  faulty::now.nowait_none = 1;
  ef_file_options o{};
  o.read_ahead_max = 128 * 1024;
  const int fd = core::open(dir + "/ahead", O_RDONLY, o, port);
  std::string got, b(10'000, 0);
  while (got.size() < all.size()) {
    const ssize_t n = ef_read(fd, b.data(), b.size());
    if (n < 0) core::wait(fd, EF_READ);
    got.append(b, 0, n < 0 ? 0 : static_cast<std::size_t>(n));
    assert_true(core::stats(fd).read_background <= got.size() + 3 * o.read_ahead_max / 2);
  }
  assert_true(got == all);
  core::close(fd, port);
}

} // namespace

int main() {
  faulty::install();
  faulty::now.memory_shown = false;
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, start_test, end_test)
  const CMUnitTest tests[] = {
      TEST(closing_gives_back_what_was_fetched_and_not_read),
      TEST(seeking_between_small_writes_is_bounded),
      TEST(a_writer_refused_for_want_of_chunks_is_told_when_one_is_back),
      TEST(a_drop_for_want_of_chunks_is_marked_at_once),
      TEST(chunks_without_memory_behind_them_count_as_room),
      TEST(a_hung_file_holds_no_other),
      TEST(a_close_ends_every_wait),
      TEST(threads_are_bounded),
      TEST(read_ahead_is_bounded),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  ::unlink("/dev/shm/efio-hog");
  if (!failed) core::remove(dir);
  return failed;
}
