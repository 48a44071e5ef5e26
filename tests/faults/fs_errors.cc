// SPDX-License-Identifier: BSD-2-Clause
// Writes and reads that fail, fall short or find no room, by a file system that does so (faultfs): each write in turn,
// each length. What is told, to whom, how often, and what is in the file then.
#include "fault_disk.hh"

namespace {

using disk::counted;
using disk::heal;
using disk::port;
using disk::rule;
using disk::written_file;

int voided; // trials in which the fault did not happen

// ---- A write that fails

// Writes on until the file's error comes, small pieces each of which is one write, or large ones; others meanwhile.
void write_until_it_fails(written_file &f, written_file &other, bool large, stress::random &dice) {
  for (int i = 0; i < 20000; ++i) {
    const ssize_t r = f.put(large ? EF_ATOMIC : 1 + dice.below(3000));
    if (r < 0 && errno != EAGAIN) return;
    if (r < 0) ef_wait(f.fd, EF_WRITE, core::patience_ms);
    if (other.put(100) < 0) assert_int_equal(errno, EAGAIN);
    if (large) continue;
    ef_flush(f.fd);
    assert_true(disk::eventually([&] { return f.settled(); }));
  }
  fail_msg("the write that fails is never told");
}

void every_call_answers(int fd, int error) {
  FAILS_WITH(ef_write(fd, "x", 1), error);
  FAILS_WITH(ef_sync(fd), error);
  FAILS_WITH(ef_flush(fd), error);
  FAILS_WITH(ef_wait(fd, EF_SYNC, core::patience_ms), error);
}

void fail_write_number(long k, stress::random &dice) {
  heal();
  const long before = counted("write", "hits");
  written_file bad(disk::at, "bad"), good(disk::at, "good");
  rule("write name=bad errno=EIO count=1 skip=" + std::to_string(k));
  write_until_it_fails(bad, good, dice.below(2), dice);
  assert_int_equal(errno, EIO);
  voided += counted("write", "hits") != before + 1;
  disk::news news;
  assert_int_equal(news.expect(bad.fd, EF_ERROR).error, EIO);
  every_call_answers(bad.fd, EIO);
  const ef_file_counters c = bad.counters();
  assert_int_equal(c.error, EIO);
  assert_int_equal(c.accepted, bad.accepted.size());
  assert_int_equal(c.written + c.lost, c.accepted);
  assert_true(c.lost > 0);
  assert_int_equal(news.count(bad.fd, EF_ERROR), 1);
  ef_watch(bad.fd, EF_CLOSE, nullptr);
  FAILS_WITH(ef_close(bad.fd), EIO);
  assert_int_equal(news.expect(bad.fd, EF_CLOSE).error, EIO);
  assert_int_equal(news.count(good.fd, EF_ERROR), 0);
  const std::string left = core::contents(disk::back + "/bad");
  assert_int_equal(left.size(), c.written);
  assert_true(disk::is_prefix(left, bad.accepted));
  disk::close_whole(good, disk::back);
}

void a_write_that_fails_is_told_once_and_leaves_a_prefix(void **) {
  stress::random dice(1);
  voided = 0;
  for (long k = 0; k <= 200; ++k) fail_write_number(k, dice);
  std::printf("# writes that fail: 201 trials, %d voided\n", voided);
  assert_true(voided == 0);
}

// One who goes on behind a write that failed leaves a hole; it must be found.
void control_a_writer_that_goes_on_leaves_a_hole(void **) {
  const std::string all = core::pattern(30000);
  rule("write name=control errno=EIO count=1 skip=1");
  const int fd = ::open((disk::at + "/control").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  for (std::size_t i = 0; i < all.size(); i += 10000) (void)!::pwrite(fd, &all[i], 10000, static_cast<off_t>(i));
  ::close(fd);
  const std::string left = core::contents(disk::back + "/control");
  assert_int_equal(left.size(), all.size());
  assert_false(disk::is_prefix(left, all));
}

// ---- Writes and reads that fall short

void shorten_writes_to(std::size_t most, stress::random &dice) {
  heal();
  const long before = counted("write", "hits");
  rule("write name=short length_max=" + std::to_string(most));
  written_file f(disk::at, "short");
  const std::size_t n = most * (1 + dice.below(5)) + dice.below(most) + 1;
  assert_int_equal(f.put(n), n);
  disk::close_whole(f, disk::back);
  voided += counted("write", "hits") == before;
}

void read_by_requests(int fd, const std::string &all, stress::random &dice) {
  for (int i = 0; i < 4; ++i) {
    std::vector<char> b(1 + dice.below(3 * all.size()));
    const std::size_t from = dice.below(all.size());
    ef_request r{};
    ssize_t n = ef_pread(fd, b.data(), b.size(), static_cast<off_t>(from), &r);
    if (n < 0) {
      assert_int_equal(errno, EINPROGRESS);
      while (!(core::next(port).events & EF_REQUEST)) {}
      n = r.result;
    }
    assert_true(std::string(b.data(), static_cast<std::size_t>(n)) == all.substr(from, b.size()));
  }
}

void shorten_reads_to(std::size_t most, stress::random &dice) {
  const std::string all = core::pattern(most * (1 + dice.below(5)) + dice.below(most) + 1);
  core::put(disk::back + "/read", all);
  const long before = counted("read", "hits");
  rule("read name=read length_max=" + std::to_string(most));
  const int fd = core::open(disk::at + "/read", O_RDONLY, {}, port);
  core::wait(fd, EF_OPEN);
  read_by_requests(fd, all, dice);
  assert_true(core::read_all(fd, 1 + dice.below(5000)) == all);
  core::close(fd, port);
  voided += counted("read", "hits") == before;
}

void short_counts_never_show(void **) {
  stress::random dice(2);
  voided = 0;
  int trials = 0;
  for (std::size_t most = 1; most <= 4096; most += std::getenv("EFIO_LONG") || most < 32 ? 1 : 1 + dice.below(60)) {
    shorten_writes_to(most, dice);
    shorten_reads_to(most, dice);
    ++trials;
  }
  std::printf("# short counts: %d lengths, %d voided\n", trials, voided);
  assert_true(voided == 0);
}

// ---- No room

void fill_up(written_file &f) {
  while (f.put(EF_ATOMIC / 2) > 0) {}
  assert_int_equal(errno, EAGAIN);
}

void no_room_after(long good, int error, bool cut, stress::random &dice) {
  heal();
  ef_file_options o{};
  o.write_buffer_max = 128 * 1024;
  written_file f(disk::at, "full", o), other(disk::at, "other");
  if (cut) rule("write name=full count=1 length_max=1000 skip=" + std::to_string(good)); // the last that still fits
  rule("write name=full errno=" + std::to_string(error) + " skip=" + std::to_string(good));
  disk::news news;
  for (long i = 0; news.count(f.fd, EF_ERROR) == 0; ++i) {
    assert_true(i < 20000);
    if (f.put(1 + dice.below(3000)) < 0) break;
    ef_flush(f.fd);
    disk::eventually([&] { return f.settled(); }, 5);
  }
  assert_int_equal(news.expect(f.fd, EF_ERROR).error, error);
  fill_up(f);
  assert_int_equal(f.counters().write_trouble, error);
  assert_int_equal(f.counters().error, 0);
  assert_true(other.put(100) == 100);
  core::wait(other.fd, EF_SYNC);
  FAILS_WITH(ef_write(f.fd, "x", 1), EAGAIN);
  assert_int_equal(news.count(f.fd, EF_WRITE), 0);
  heal();
  assert_int_equal(news.expect(f.fd, EF_WRITE).error, 0);
  assert_true(f.put(1000) == 1000);
  core::wait(f.fd, EF_SYNC);
  assert_int_equal(news.count(f.fd, EF_ERROR), 1);
  assert_int_equal(f.counters().write_trouble, 0);
  disk::close_whole(f, disk::back);
  disk::close_whole(other, disk::back);
}

void what_finds_no_room_is_kept_in_order_until_there_is(void **) {
  stress::random dice(3);
  const int errors[] = {ENOSPC, EDQUOT, EFBIG};
  const int most = std::getenv("EFIO_LONG") ? 500 : 40;
  for (int i = 0; i < most; ++i) no_room_after(i % 25, errors[i % 3], i % 2, dice);
  std::printf("# no room: %d cycles\n", most);
}

// ---- Reads that fail

// From read k of the kernel on all fail, until the error is told. The file is longer than the reads before that can be:
// what becomes of one that was begun ahead, behind the end, nobody needs to know.
void fail_reads_from(long k, stress::random &dice) {
  heal();
  const std::string all = core::pattern(8 * 512 * 1024 + dice.below(100000), static_cast<unsigned>(k));
  core::put(disk::back + "/read", all);
  core::put(disk::back + "/well", all);
  const long before = counted("read", "hits");
  rule("read name=read errno=EIO skip=" + std::to_string(k));
  const int fd = core::open(disk::at + "/read", O_RDONLY, {}, port);
  const int well = core::open(disk::at + "/well", O_RDONLY, {}, port);
  std::string got;
  int errors = 0;
  for (std::vector<char> b(1 + dice.below(20000));;) {
    const ssize_t n = ef_read(fd, b.data(), b.size());
    if (n == 0) break;
    if (n > 0) got.append(b.data(), static_cast<std::size_t>(n));
    if (n < 0 && errno == EIO && errors++ == 0)
      heal();
    else if (n < 0 && errno != EIO)
      assert_int_equal(errno, EAGAIN), core::wait(fd, EF_READ);
  }
  const long hits = counted("read", "hits") - before;
  voided += hits == 0;
  assert_true(errors >= 1 && errors <= hits);
  assert_true(got == all);
  assert_true(core::read_all(well) == all);
  core::close(fd, port);
  core::close(well, port);
}

void reads_that_fail_are_told_at_their_place(void **) {
  stress::random dice(4);
  voided = 0;
  const long most = std::getenv("EFIO_LONG") ? 200 : 30;
  for (long i = 0; i < most; ++i) fail_reads_from(i % 8, dice);
  std::printf("# reads that fail: %ld trials, %d voided\n", most, voided);
  assert_true(voided == 0);
}

// Of many requests that read one page each the one that was hit, and no other, has the error.
void a_request_that_fails_is_told_and_no_other(void **) {
  constexpr int many = 40;
  const std::string all = core::pattern(many * 4096);
  core::put(disk::back + "/read", all);
  for (int k = 0; k < 60; ++k) {
    heal();
    const long before = counted("read", "hits");
    const int fd = core::open(disk::at + "/read", O_RDONLY, {}, port);
    core::wait(fd, EF_OPEN);
    rule("read name=read errno=EIO count=1 skip=" + std::to_string(k % 8));
    std::vector<ef_request> requests(many);
    std::vector<std::string> pages(many, std::string(4096, 0));
    int under_way = 0, failed = 0, good = 0;
    for (int i = 0; i < many; ++i) {
      requests[i] = {};
      const int page = i * 7 % many; // not side by side: neighbours may be read by one call
      const ssize_t n = ef_pread(fd, pages[page].data(), 4096, page * 4096, &requests[i]);
      requests[i].data = &pages[page];
      if (n < 0) assert_int_equal(errno, EINPROGRESS), ++under_way;
    }
    while (under_way > 0) under_way -= (core::next(port).events & EF_REQUEST) != 0;
    for (const ef_request &r : requests) {
      const auto page = static_cast<std::size_t>(static_cast<std::string *>(r.data) - pages.data());
      if (r.result < 0)
        assert_int_equal(r.error, EIO), ++failed;
      else
        assert_true(pages[page] == all.substr(page * 4096, 4096)), ++good;
    }
    assert_int_equal(counted("read", "hits"), before + 1);
    assert_int_equal(failed, 1);
    assert_int_equal(good, many - 1);
    core::close(fd, port);
  }
}

} // namespace

int main(int argc, char **argv) {
  if (!disk::arguments(argc, argv)) return 2;
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk::start_test, disk::end_test)
  const CMUnitTest tests[] = {
      TEST(a_write_that_fails_is_told_once_and_leaves_a_prefix),
      TEST(control_a_writer_that_goes_on_leaves_a_hole),
      TEST(short_counts_never_show),
      TEST(what_finds_no_room_is_kept_in_order_until_there_is),
      TEST(reads_that_fail_are_told_at_their_place),
      TEST(a_request_that_fails_is_told_and_no_other),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
