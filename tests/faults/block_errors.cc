// SPDX-License-Identifier: BSD-2-Clause
// A disk that fails once below a real file system (ext4 in an image on faultfs): pages are lost, and the kernel tells
// it once. A sync that covers them fails, and so does every later one of the file.
#include "fault_disk.hh"

#include <sys/statvfs.h>

namespace {

using disk::counted;
using disk::heal;
using disk::port;
using disk::rule;

constexpr std::size_t file_bytes = 64 * 1024;
std::string path; // of the file, on ext4

// A file whose blocks are there and hold 'A', so that writing over it touches the disk at no other place.
void make_file() {
  core::put(path, std::string(file_bytes, 'A'));
  const int fd = ::open(path.c_str(), O_RDONLY);
  assert_int_equal(::fsync(fd), 0);
  ::close(fd);
}

// Has the kernel write the file's pages now; what becomes of them it tells everybody who has the file open later.
void write_back(bool take_error) {
  const int fd = ::open(path.c_str(), O_RDWR);
  const unsigned how = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  const int r = take_error ? ::fsync(fd) : ::sync_file_range(fd, 0, 0, how);
  assert_true(r == -1 && errno == EIO);
  ::close(fd);
}

struct victim {
  ef_file_options options{};
  int fd = -1;
  disk::news news;

  explicit victim(unsigned durable_interval_ms = 0, int order = EF_ORDER_CALL) {
    options.flush_interval_ms = 5;
    options.durable_interval_ms = durable_interval_ms;
    options.order = order;
    fd = core::open(path, O_WRONLY, options, port);
    core::wait(fd, EF_OPEN);
  }
  void write(char c) const { core::write(fd, std::string(file_bytes / 4, c)); }
  void written() const {
    ef_flush(fd);
    assert_true(disk::eventually([&] {
      const ef_file_counters c = core::stats(fd);
      return c.written == c.accepted;
    }));
  }
  void sync_fails() {
    assert_int_equal(ef_sync(fd), 0);
    assert_int_equal(news.expect(fd, EF_SYNC).error, EIO);
  }
  // The reopen, which looks at the old file or syncs it, may be first.
  void sync_or_reopen_fails() {
    if (ef_sync(fd) == 0)
      assert_int_equal(news.expect(fd, EF_SYNC).error, EIO);
    else
      assert_int_equal(errno, EIO);
  }
};

// Each spoils the file in another way and leaves the sync that has to fail behind it.

void at_the_sync(victim &v) {
  rule("write name=img errno=EIO count=1");
  v.write('B');
  v.sync_fails();
}
void in_the_background(victim &v) {
  rule("write name=img errno=EIO count=1");
  v.write('B');
  v.written();
  write_back(false);
  v.sync_fails();
}
void told_to_another_descriptor_before(victim &v) {
  rule("write name=img errno=EIO count=1");
  v.write('B');
  v.written();
  write_back(true);
  v.sync_fails();
}
void when_the_disk_flushes_its_cache(victim &v) {
  rule("fsync name=img errno=EIO count=1");
  v.write('B');
  v.sync_fails();
}
void by_a_request(victim &v) {
  static const std::string page(4096, 'B');
  rule("write name=img errno=EIO count=1");
  ef_request r{};
  assert_true(ef_pwrite(v.fd, page.data(), page.size(), 8192, &r) == -1 && errno == EINPROGRESS);
  while (!(core::next(port).events & EF_REQUEST)) {}
  assert_int_equal(r.result, page.size());
  v.sync_fails();
}
void reopen_while_writes_fail(const victim &v) {
  assert_int_equal(::rename(path.c_str(), (path + ".old").c_str()), 0);
  make_file();
  rule("write name=img errno=EIO count=1");
  assert_int_equal(ef_reopen(v.fd), 0);
}
void in_the_old_file_of_a_reopen(victim &v) {
  v.write('B');
  v.written();
  reopen_while_writes_fail(v);
  core::wait(v.fd, EF_OPEN);
  v.sync_fails();
}
void in_the_old_file_of_a_reopen_after_a_sync(victim &v) {
  v.write('A');
  core::wait(v.fd, EF_SYNC);
  v.write('B');
  v.written();
  reopen_while_writes_fail(v);
  v.sync_or_reopen_fails();
}
// The page is lost before the reopen, and the kernel has told one who asked it of the whole file system.
void before_a_reopen_told_to_another(victim &v, bool to_another) {
  v.write('B');
  v.written();
  rule("write name=img errno=EIO count=1");
  write_back(false);
  const int fd = ::open(disk::healthy.c_str(), O_RDONLY);
  if (to_another) FAILS_WITH(::syncfs(fd), EIO);
  ::close(fd);
  assert_int_equal(::rename(path.c_str(), (path + ".old").c_str()), 0);
  make_file();
  assert_int_equal(ef_reopen(v.fd), 0);
  v.sync_or_reopen_fails();
}
void before_a_reopen(victim &v) { before_a_reopen_told_to_another(v, false); }
void before_a_reopen_and_told(victim &v) { before_a_reopen_told_to_another(v, true); }
void by_a_request_before_a_reopen(victim &v) {
  static const std::string page(4096, 'B');
  ef_request r{};
  assert_true(ef_pwrite(v.fd, page.data(), page.size(), 8192, &r) == -1 && errno == EINPROGRESS);
  while (!(core::next(port).events & EF_REQUEST)) {}
  reopen_while_writes_fail(v);
  v.sync_or_reopen_fails();
}
void unasked_by_the_interval(victim &v) {
  const std::string line(100, 'B');
  std::uint64_t seq;
  core::wait(v.fd, EF_SYNC); // nothing of what was before is under way
  rule("write name=img errno=EIO count=1");
  assert_int_equal(ef_write_seq(v.fd, line.data(), line.size(), &seq), line.size());
  assert_int_equal(v.news.expect(v.fd, EF_ERROR).error, EIO);
  FAILS_WITH(ef_synced_up_to(v.fd, seq), EIO);
}

struct way {
  const char *name;
  void (*spoil)(victim &);
  const char *operation = "write";
  unsigned durable_interval_ms = 0;
  bool by_request = false; // needs the order of calls
};
constexpr way ways[] = {
    {"at the sync", at_the_sync},
    {"in the background", in_the_background},
    {"told to another descriptor before", told_to_another_descriptor_before},
    {"when the disk flushes its cache", when_the_disk_flushes_its_cache, "fsync"},
    {"by a request", by_a_request, "write", 0, true},
    {"in the old file of a reopen", in_the_old_file_of_a_reopen},
    {"in the old file of a reopen after a sync", in_the_old_file_of_a_reopen_after_a_sync},
    {"before a reopen", before_a_reopen},
    {"before a reopen, and told to another", before_a_reopen_and_told},
    {"by a request before a reopen", by_a_request_before_a_reopen, "write", 0, true},
    {"unasked, by the interval", unasked_by_the_interval, "write", 20},
};

// The disk is well again; the file is not.
void it_is_final(victim &v) {
  heal();
  for (int i = 0; i < 3; ++i) {
    FAILS_WITH(ef_sync(v.fd), EIO);
    FAILS_WITH(ef_wait(v.fd, EF_SYNC, core::patience_ms), EIO);
    ::usleep(1000);
  }
  FAILS_WITH(ef_write(v.fd, "x", 1), EIO);
  assert_int_equal(v.news.expect(v.fd, EF_ERROR).error, EIO);
  assert_int_equal(v.news.count(v.fd, EF_ERROR), 1);
  ef_watch(v.fd, EF_CLOSE, nullptr);
  FAILS_WITH(ef_close(v.fd), EIO);
  assert_int_equal(v.news.expect(v.fd, EF_CLOSE).error, EIO);
}

void spoil_once(const way &w, stress::random &dice) {
  make_file();
  ::sync();
  const long before = counted(w.operation, "hits");
  victim v(w.durable_interval_ms, w.by_request || dice.below(2) ? EF_ORDER_CALL : EF_ORDER_THREAD);
  w.spoil(v);
  assert_int_equal(counted(w.operation, "hits"), before + 1);
  it_is_final(v);
  victim again; // opened anew it is a file like others
  again.write('C');
  core::wait(again.fd, EF_SYNC);
  core::close(again.fd, port);
}

void a_failed_sync_is_final(void **) {
  stress::random dice(1);
  const int most = std::getenv("EFIO_LONG") ? 1000 : 15;
  for (const way &w : ways) {
    for (int i = 0; i < most; ++i) spoil_once(w, dice);
    std::printf("# lost %s: %d times, told each time\n", w.name, most);
  }
}

// What a program would see that asks the kernel twice: 0 the second time, and the old bytes.
void control_the_kernel_forgets(void **) {
  make_file();
  ::sync();
  const int fd = ::open(path.c_str(), O_RDWR);
  assert_int_equal(::pwrite(fd, "B", 1, 0), 1);
  rule("write name=img errno=EIO count=1");
  FAILS_WITH(::fsync(fd), EIO);
  assert_int_equal(::fsync(fd), 0);
  char c = 0;
  assert_int_equal(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  assert_int_equal(::pread(fd, &c, 1, 0), 1);
  assert_int_equal(c, 'A');
  ::close(fd);
}

void the_file_system_has_lived_through_it(void **) {
  struct statvfs s;
  assert_int_equal(::statvfs(disk::healthy.c_str(), &s), 0);
  assert_false(s.f_flag & ST_RDONLY);
}

} // namespace

int main(int argc, char **argv) { // HEALTHY: where the image is mounted
  if (!disk::arguments(argc, argv)) return 2;
  path = disk::healthy + "/file";
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk::start_test, disk::end_test)
  const CMUnitTest tests[] = {
      TEST(control_the_kernel_forgets),
      TEST(a_failed_sync_is_final),
      TEST(the_file_system_has_lived_through_it),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
