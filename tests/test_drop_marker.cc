// SPDX-License-Identifier: BSD-2-Clause
// Gaps of EF_FULL_DROP are marked: where they are, once, with counts that add up to what was dropped.
#include "faulty.hh"

#include "limits.hh"

#include "core.hh"

namespace {

std::string dir;
constexpr std::size_t record_bytes = 1000;
constexpr std::size_t budget = 16 * ef::limits::chunk_bytes;

// The host's side: what it was told.
struct host {
  std::atomic<int> inside{0};
  std::atomic<std::uint64_t> asked{0}, calls{0}, bytes{0};
  std::size_t answer = SIZE_MAX; // instead of the length
  std::size_t size = 0;
};
std::string mark_of(std::uint64_t calls, std::uint64_t bytes) {
  return "dropped " + std::to_string(calls) + " calls, " + std::to_string(bytes) + " bytes\n";
}
std::size_t compose(void *arg, std::uint64_t calls, std::uint64_t bytes, char *line, std::size_t size) {
  auto *h = static_cast<host *>(arg);
  assert_int_equal(h->inside.fetch_add(1), 0); // never two at a time
  ++h->asked;
  h->calls += calls;
  h->bytes += bytes;
  h->size = size;
  const std::string s = mark_of(calls, bytes);
  std::memcpy(line, s.data(), s.size());
  --h->inside;
  return h->answer == SIZE_MAX ? s.size() : h->answer;
}

int open_log(const std::string &name, host *h, int order, int flags = 0, ef_file_options o = {}) {
  if (!o.write_buffer_max) o.write_buffer_max = budget;
  o.when_full = EF_FULL_DROP;
  o.order = order;
  o.drop_mark = compose;
  o.drop_mark_arg = h;
  ::unlink((dir + "/" + name).c_str());
  const int fd = core::open(dir + "/" + name, O_WRONLY | O_CREAT | flags, o);
  core::wait(fd, EF_OPEN);
  return fd;
}

std::string record(int thread, int i, std::size_t n = record_bytes) {
  char head[32];
  std::snprintf(head, sizeof head, "%02d %09d ", thread, i);
  std::string s = head;
  s.resize(n - 1, static_cast<char>('a' + i % 26));
  return s + '\n';
}
void write_whole(int fd, const std::string &s) { assert_int_equal(ef_write(fd, s.data(), s.size()), s.size()); }

// Records until `drops` of them were dropped; what was accepted.
std::string overfill(int fd, std::uint64_t drops) {
  std::string accepted;
  for (int i = 0;; ++i) {
    const std::uint64_t before = core::stats(fd).dropped_calls;
    if (before >= drops) return accepted;
    write_whole(fd, record(0, i));
    if (core::stats(fd).dropped_calls == before) accepted += record(0, i);
  }
}
template<class Fn> void await(Fn fn) {
  for (int ms = 0; !fn() && ms < core::patience_ms; ++ms) ::usleep(1000);
  assert_true(fn());
}
void let_one_through(int fd) {
  const std::uint64_t before = core::stats(fd).written;
  faulty::now.let_through = 1;
  await([&] { return core::stats(fd).written > before; });
}

struct kind {
  const char *name;
  int order, flags;
};
constexpr kind kinds[] = {{"calls", EF_ORDER_CALL, 0},
                          {"appended", EF_ORDER_CALL, O_APPEND},
                          {"threads", EF_ORDER_THREAD, 0},
                          {"threads-appended", EF_ORDER_THREAD, O_APPEND}};

void only_what_drops_has_marks(void **) {
  for (int full : {EF_FULL_EAGAIN, EF_FULL_WAIT}) {
    ef_file_options o{};
    o.size = sizeof o;
    o.when_full = full;
    o.drop_mark = compose;
    FAILS_WITH(ef_openat(nullptr, AT_FDCWD, (dir + "/no").c_str(), O_WRONLY | O_CREAT, 0644, &o), EINVAL);
    const int kernel_fd = ::open(dir.c_str(), O_WRONLY | O_TMPFILE, 0600);
    if (kernel_fd >= 0) FAILS_WITH(ef_fdopen(nullptr, kernel_fd, &o), EINVAL);
    ::close(kernel_fd);
  }
}

// There is room for a chunk, and not so much that the lane marks by itself.
void the_next_call_comes_behind_the_mark(void **) {
  for (const kind &k : kinds) {
    host h;
    faulty::now.hung = faulty::every_file;
    const int fd = open_log(k.name, &h, k.order, k.flags);
    std::string all = overfill(fd, 7);
    assert_int_equal(h.asked, 0); // there was no room for it
    let_one_through(fd);
    write_whole(fd, record(0, 1'000'000));
    all += mark_of(7, 7 * record_bytes) + record(0, 1'000'000);
    assert_int_equal(h.asked, 1);
    assert_int_equal(core::stats(fd).accepted, all.size()); // marks are counted
    assert_int_equal(core::stats(fd).dropped, 7 * record_bytes);
    faulty::now.hung = -1;
    core::close(fd);
    assert_true(core::contents(dir + "/" + k.name) == all);
    assert_int_equal(h.asked, 1);
  }
}

// In the order of calls: what would still fit into the rest of a chunk, too, if it comes where chunks are taken.
void nothing_on_the_slow_way_overtakes_the_mark(void **) {
  host h;
  faulty::now.hung = faulty::every_file;
  const int fd = open_log("rest", &h, EF_ORDER_CALL);
  std::string all = overfill(fd, 3), line = "small\n";
  iovec one{line.data(), line.size()};
  assert_int_equal(ef_writev(fd, &one, 1), 6); // not there
  let_one_through(fd);
  assert_int_equal(ef_writev(fd, &one, 1), 6);
  faulty::now.hung = -1;
  core::close(fd);
  assert_true(core::contents(dir + "/rest") == all + mark_of(4, 3 * record_bytes + 6) + line);
}

void closing_marks_if_there_is_room(void **) {
  for (const kind &k : kinds) {
    host h;
    faulty::now.hung = faulty::every_file;
    const int fd = open_log(k.name, &h, k.order, k.flags);
    const std::string all = overfill(fd, 5);
    let_one_through(fd);
    assert_int_equal(ef_close(fd), 0);
    assert_int_equal(h.asked, 1);
    faulty::now.hung = -1;
    assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
    assert_true(core::contents(dir + "/" + k.name) == all + mark_of(5, 5 * record_bytes));
  }
}

void closing_without_room_calls_nobody_afterwards(void **) {
  for (const kind &k : kinds) {
    host h;
    faulty::now.hung = faulty::every_file;
    const int fd = open_log(k.name, &h, k.order, k.flags);
    const std::string all = overfill(fd, 5);
    assert_int_equal(ef_close(fd), 0);
    faulty::now.hung = -1;
    assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
    assert_int_equal(h.asked, 0);
    assert_true(core::contents(dir + "/" + k.name) == all);
  }
}

// The last line comes without another call, and without waiting for its age.
void the_lane_marks_when_nobody_writes(void **) {
  for (const kind &k : kinds)
    for (std::size_t most : {std::size_t{128 * 1024}, budget}) {
      host h;
      ef_file_options o{};
      o.flush_interval_ms = 3600'000;
      o.write_buffer_max = most;
      faulty::now.hung = faulty::every_file;
      const int fd = open_log(k.name, &h, k.order, k.flags, o);
      const std::string all = overfill(fd, 9), line = mark_of(9, 9 * record_bytes);
      faulty::now.hung = -1;
      await([&] { return core::contents(dir + "/" + k.name).size() == all.size() + line.size(); });
      assert_int_equal(core::stats(fd).accepted, all.size() + line.size());
      assert_int_equal(h.asked, 1);
      core::close(fd);
      std::string got = core::contents(dir + "/" + k.name);
      if (k.order == EF_ORDER_CALL) assert_true(got == all + line);
      const std::size_t at = got.find(line); // or in another lane
      assert_true(at != std::string::npos && at % record_bytes == 0);
      assert_true(got.erase(at, line.size()) == all);
    }
}

// While the disk is full the lane tries again by itself; drops do not press it.
void a_gap_of_a_full_disk_is_marked(void **) {
  host h;
  ef_file_options o{};
  o.flush_interval_ms = 5;
  faulty::now.write_errno = ENOSPC;
  const int fd = open_log("full", &h, EF_ORDER_CALL, 0, o);
  const std::string all = overfill(fd, 100) + mark_of(100, 100 * record_bytes);
  faulty::heal();
  await([&] { return core::contents(dir + "/full") == all; });
  core::close(fd);
}

void after_an_error_nobody_is_asked(void **) {
  host h;
  faulty::now.hung = faulty::every_file;
  const int fd = open_log("eio", &h, EF_ORDER_CALL);
  overfill(fd, 2);
  faulty::now.write_errno = EIO;
  faulty::now.hung = -1;
  await([&] { return core::stats(fd).error == EIO; });
  FAILS_WITH(ef_write(fd, "x", 1), EIO);
  FAILS_WITH(ef_close(fd), EIO);
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  assert_int_equal(h.asked, 0);
}

void the_host_may_want_no_line(void **) {
  host h;
  h.answer = 0;
  faulty::now.hung = faulty::every_file;
  const int fd = open_log("none", &h, EF_ORDER_CALL);
  std::string all = overfill(fd, 4);
  for (std::size_t round = 2, first = all.size(); round < 14; ++round) { // what was to hold the line is given back
    faulty::now.hung = -1;
    await([&] { return core::stats(fd).written == all.size(); });
    faulty::now.hung = faulty::every_file;
    const std::string more = overfill(fd, 4 * round);
    assert_true(more.size() >= first / 2);
    all += more;
  }
  faulty::now.hung = -1;
  core::close(fd);
  assert_true(core::contents(dir + "/none") == all);
}

void a_line_that_is_too_long_is_cut(void **) {
  host h;
  h.answer = 100'000;
  faulty::now.hung = faulty::every_file;
  const int fd = open_log("long", &h, EF_ORDER_CALL);
  std::string all = overfill(fd, 4), line = mark_of(4, 4 * record_bytes);
  faulty::now.hung = -1;
  await([&] { return h.asked == 1 && core::stats(fd).written == all.size() + 512; });
  core::close(fd);
  assert_int_equal(h.size, 512);
  line.resize(511, 0);
  assert_true(core::contents(dir + "/long") == all + line + '\n');
}

// Parts the log into marks and records; true if the counts of the marks and of the gaps are right.
void check_log(const std::string &all, int threads, int records, const ef_file_counters &c) {
  std::vector<int> next(static_cast<std::size_t>(threads), 0);
  std::uint64_t calls = 0, bytes = 0, marks = 0, there = 0;
  for (std::size_t at = 0; at < all.size();) {
    unsigned long long more_calls, more_bytes;
    if (all.compare(at, 8, "dropped ") == 0) {
      assert_int_equal(std::sscanf(all.c_str() + at, "dropped %llu calls, %llu bytes\n", &more_calls, &more_bytes), 2);
      assert_true(more_calls > 0);
      const std::string line = mark_of(more_calls, more_bytes);
      assert_true(all.compare(at, line.size(), line) == 0);
      calls += more_calls;
      bytes += more_bytes;
      marks += line.size();
      at += line.size();
      continue;
    }
    const int thread = std::atoi(all.c_str() + at), i = std::atoi(all.c_str() + at + 3);
    assert_in_range(thread, 0, threads - 1);
    assert_in_range(i, next[static_cast<std::size_t>(thread)], records - 1);
    const std::string line = record(thread, i, 100 + static_cast<std::size_t>(i % 2000));
    assert_true(all.compare(at, line.size(), line) == 0);
    next[static_cast<std::size_t>(thread)] = i + 1;
    at += line.size();
    ++there;
  }
  assert_int_equal(there + calls, static_cast<std::uint64_t>(threads) * static_cast<std::uint64_t>(records));
  assert_int_equal(calls, c.dropped_calls);
  assert_int_equal(bytes, c.dropped);
  assert_int_equal(all.size(), c.accepted);
  std::uint64_t asked = 0;
  for (int i = 0; i < records; ++i) asked += static_cast<std::uint64_t>(threads) * (100 + i % 2000);
  assert_int_equal(c.accepted + c.dropped, asked + marks);
}

void many_threads_are_told_of_once(void **) {
  constexpr int threads = 6, records = 4000;
  for (const kind &k : kinds)
    for (std::size_t most : {std::size_t{128 * 1024}, budget}) {
      host h;
      ef_file_options o{};
      o.write_buffer_max = most;
      o.flush_interval_ms = 2;
      faulty::now.delay = 512;
      faulty::now.delay_us = 2000;
      faulty::now.short_write = 100;
      const int fd = open_log(k.name, &h, k.order, k.flags, o);
      std::vector<std::thread> all;
      for (int t = 0; t < threads; ++t)
        all.emplace_back([=] {
          for (int i = 0; i < records; ++i) {
            write_whole(fd, record(t, i, 100 + static_cast<std::size_t>(i % 2000)));
            if (i % 500 == t * 80) ::usleep(3000);
          }
        });
      for (auto &t : all) t.join();
      faulty::heal();
      const ef_file_counters before = core::stats(fd);
      assert_true(before.dropped_calls > 0);
      await([&] { return h.calls == before.dropped_calls && core::stats(fd).written == core::stats(fd).accepted; });
      const ef_file_counters c = core::stats(fd);
      core::close(fd);
      assert_true(h.asked > 1);
      assert_int_equal(h.bytes, c.dropped);
      check_log(core::contents(dir + "/" + k.name), threads, records, c);
    }
}

// Rotation takes a mark for the call that it is.
void a_mark_is_parted_by_no_rotation(void **) {
  host h;
  ef_file_options o{};
  o.rotate_bytes = 10 * record_bytes;
  o.rotate_keep = 1000;
  faulty::now.hung = faulty::every_file;
  const int fd = open_log("turning", &h, EF_ORDER_CALL, 0, o);
  const std::string all = overfill(fd, 3) + mark_of(3, 3 * record_bytes);
  faulty::now.hung = -1;
  await([&] { return core::stats(fd).written == all.size(); });
  core::close(fd);
  std::string got;
  for (int n = 1000; n >= 0; --n) {
    const std::string part = core::contents(dir + "/turning" + (n ? "." + std::to_string(n) : ""));
    if (part != "(no file)") got += part;
  }
  assert_true(got == all);
  assert_true(core::contents(dir + "/turning").find(mark_of(3, 3 * record_bytes)) != std::string::npos);
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, faulty::heal_around, faulty::heal_around)
  const CMUnitTest tests[] = {
      TEST(only_what_drops_has_marks),
      TEST(the_next_call_comes_behind_the_mark),
      TEST(nothing_on_the_slow_way_overtakes_the_mark),
      TEST(closing_marks_if_there_is_room),
      TEST(closing_without_room_calls_nobody_afterwards),
      TEST(the_lane_marks_when_nobody_writes),
      TEST(a_gap_of_a_full_disk_is_marked),
      TEST(after_an_error_nobody_is_asked),
      TEST(the_host_may_want_no_line),
      TEST(a_line_that_is_too_long_is_cut),
      TEST(many_threads_are_told_of_once),
      TEST(a_mark_is_parted_by_no_rotation),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
