// SPDX-License-Identifier: BSD-2-Clause
// A kernel or a file system that lacks what is only wished for, or fails in the middle of it: files are read and
// written all the same, by the plain way, and the reason is told; what is lost is told, too.
#include "faulty.hh"

#include "limits.hh"

#include "core.hh"

namespace {

std::string dir;
ef_port *port;

// What the calls below answer; `real`: what the kernel does.
constexpr int real = 1;
struct answers {
  std::atomic<int> dontcache{real}, direct_open{real}, alignment{real}, share{real}, stat{real}, facts{real},
      allocate{real}, enter{real}, nowait{real}, close_of_copies{0};
  std::atomic<off_t> bad_from{0};
  std::atomic<long> enters_before{0}, dropped{0}, drops{0}, unaligned{0}, allocations{0};
} now;

void as_it_is() {
  now.dontcache = now.direct_open = now.alignment = now.share = now.stat = now.facts = now.allocate = now.enter = real;
  now.nowait = real;
  now.bad_from = 0;
  now.close_of_copies = 0;
  now.enters_before = now.dropped = now.drops = now.unaligned = now.allocations = 0;
  faulty::heal();
}

int openat_as_planned(int at, const char *path, int flags, mode_t mode) {
  if ((flags & O_DIRECT) && now.direct_open != real) return now.direct_open;
  return faulty::table.openat(at, path, flags, mode);
}
ssize_t preadv_with_as_planned(int fd, const iovec *iov, int count, off_t at, int flags) {
  if (!(flags & RWF_DONTCACHE)) return faulty::table.preadv_with(fd, iov, count, at, flags);
  if (now.dontcache != real) return now.dontcache;
  return faulty::table.preadv_with(fd, iov, count, at, flags & ~RWF_DONTCACHE); // older kernels do not know it
}
ssize_t preadv_nowait_as_planned(int fd, const iovec *iov, int count, off_t at) {
  return now.nowait != real ? now.nowait.load() : faulty::table.preadv_nowait(fd, iov, count, at);
}
ssize_t preadv_as_planned(int fd, const iovec *iov, int count, off_t at) {
  return now.bad_from && at >= now.bad_from ? -EIO : faulty::table.preadv(fd, iov, count, at);
}
int advise_as_planned(int fd, off_t at, off_t bytes, int advice) {
  if (advice == POSIX_FADV_DONTNEED) {
    ++now.drops;
    now.dropped += bytes;
    now.unaligned += at % ef::limits::drop_align != 0 || bytes % ef::limits::drop_align != 0;
  }
  return faulty::table.advise(fd, at, bytes, advice);
}
int facts_as_planned(int fd, ef::file_facts *out) {
  if (now.facts != real) return now.facts;
  return faulty::table.facts(fd, out);
}
int stat_as_planned(int fd, struct stat *out) {
  return now.stat != real ? now.stat.load() : faulty::table.stat_now(fd, out);
}
int allocate_as_planned(int fd, off_t from, off_t bytes) {
  ++now.allocations;
  return now.allocate != real ? now.allocate.load() : faulty::table.allocate(fd, from, bytes);
}
int enter_as_planned(io_uring *ring, bool submit, std::int64_t wait_ns) {
  if (now.enter != real && submit && now.enters_before-- <= 0) return now.enter;
  return faulty::table.uring_enter(ring, submit, wait_ns);
}
std::atomic<int> copy{-1}; // of a descriptor, whose close(2) answers for the file
int duplicate_as_planned(int fd) {
  const int r = faulty::table.duplicate(fd);
  copy = r;
  return r;
}
int close_as_planned(int fd) {
  const int r = faulty::table.close(fd);
  return fd == copy && now.close_of_copies ? now.close_of_copies.load() : r;
}

int start(void **) {
  as_it_is();
  faulty::now.memory_shown = false;
  port = ef_port_new(nullptr);
  return port ? 0 : -1;
}
int end(void **) {
  as_it_is();
  return ef_port_free(port);
}

ef_file_options with_cache(int mode) {
  ef_file_options o{};
  o.cache = mode;
  return o;
}

// Reads a file through, which was opened as wished; the mode that it is in and why.
ef_file_counters read_through(const std::string &path, const std::string &want, int mode, std::size_t piece = 10000) {
  const int fd = core::open(path, O_RDONLY, with_cache(mode), port);
  core::wait(fd, EF_OPEN);
  const ef_file_counters c = core::stats(fd);
  std::printf("  %s\n", c.cache_reason);
  assert_true(core::read_all(fd, piece) == want);
  core::close(fd, port);
  return c;
}

void a_stream_drops_what_is_behind_it_with_or_without_the_kernel_s_help(void **) {
  const std::string all = core::pattern(5 * ef::limits::drop_bytes + 12345);
  core::put(dir + "/s", all);
  for (int help : {real, -EOPNOTSUPP, -EAGAIN, -EINVAL}) {
    as_it_is();
    now.share = 0;
    now.dontcache = help;
    const ef_file_counters c = read_through(dir + "/s", all, EF_CACHE_STREAMING, 1 << 20);
    assert_int_equal(c.cache, EF_CACHE_STREAMING);
    const bool helps = std::strstr(c.cache_reason, "no RWF_DONTCACHE here") == nullptr;
    if (help != real) assert_int_equal(helps, help == -EAGAIN); // or as the file system is
    assert_true(now.drops >= 1);
    assert_true(now.dropped >= ef::limits::drop_bytes && now.dropped <= static_cast<long>(all.size()));
    assert_int_equal(now.unaligned, 0);
  }
  as_it_is();
  now.share = 51; // whoever keeps it there needs it
  const ef_file_counters c = read_through(dir + "/s", all, EF_CACHE_STREAMING, 1 << 20);
  assert_int_equal(c.cache, EF_CACHE_NORMAL);
  assert_int_equal(now.drops, 0);
}

// Some kernels answer an inline read with 0 before the end.
void an_early_end_is_not_believed(void **) {
  const std::string all = core::pattern(300000);
  core::put(dir + "/e", all);
  now.nowait = 0;
  for (std::size_t piece : {100, 10000}) {
    const int fd = core::open(dir + "/e", O_RDONLY, {}, port);
    core::wait(fd, EF_OPEN);
    assert_true(core::read_all(fd, piece) == all);
    char b[10];
    FAILS_WITH(ef_pread(fd, b, sizeof b, 5, nullptr), EAGAIN);
    assert_int_equal(ef_pread(fd, b, sizeof b, static_cast<off_t>(all.size()), nullptr), 0);
    core::close(fd, port);
  }
}

// However much was read ahead.
void an_error_ahead_comes_after_the_bytes_before_it(void **) {
  const std::string all = core::pattern(2 << 20);
  core::put(dir + "/a", all);
  faulty::now.nowait_none = 1;
  for (int flags : {O_RDONLY, O_RDWR})
    for (int i = 0; i < 20; ++i) {
      ef_file_options o{};
      o.pattern = EF_PATTERN_SEQUENTIAL;
      now.bad_from = 500'000;
      const int fd = core::open(dir + "/a", flags, o, port);
      std::string got, b(10'000, 0);
      for (ssize_t n;;) {
        n = ef_read(fd, b.data(), b.size());
        if (n < 0 && errno == EAGAIN) core::wait(fd, EF_READ);
        if (n < 0 && errno != EAGAIN) break;
        if (i % 2 && n < 0) ::usleep(2000); // the next ones have ended, too
        got.append(b, 0, n < 0 ? 0 : static_cast<std::size_t>(n));
      }
      assert_int_equal(errno, EIO);
      assert_true(got.size() >= 500'000 && got == all.substr(0, got.size()));
      now.bad_from = 0;
      assert_true(got + core::read_all(fd) == all);
      core::close(fd, port);
    }
}

void a_file_that_cannot_be_read_past_the_cache_is_read_through_it(void **) {
  const std::string all = core::pattern(300000);
  core::put(dir + "/d", all);
  static const struct {
    int alignment, open;
    const char *because;
  } cases[] = {{-EOPNOTSUPP, real, "no O_DIRECT"},
               {1 << 20, real, "more than a page"},
               {0, -EINVAL, "cannot be opened with O_DIRECT"},
               {512, -EMFILE, "cannot be opened with O_DIRECT"}};
  for (const auto &c : cases) {
    now.alignment = c.alignment;
    now.direct_open = c.open;
    const ef_file_counters told = read_through(dir + "/d", all, EF_CACHE_DIRECT);
    assert_int_equal(told.cache, EF_CACHE_NORMAL);
    assert_non_null(std::strstr(told.cache_reason, c.because));
  }
}

void space_that_is_not_given_ahead_is_no_trouble(void **) {
  const std::string all = core::pattern(1000000);
  for (int refused : {0, 1, 2}) {
    as_it_is();
    const std::string path = dir + "/space" + std::to_string(refused);
    ef_file_options o{};
    o.preallocate_bytes = 1 << 20;
    const int fd = core::open(path, O_WRONLY | O_CREAT, o, port);
    core::wait(fd, EF_OPEN);
    if (refused == 1) now.stat = -EIO;
    if (refused == 2) now.allocate = -EOPNOTSUPP;
    core::write(fd, all);
    core::wait(fd, EF_SYNC);
    if (refused == 0) assert_true(now.allocations >= 1);
    if (refused == 1) assert_int_equal(now.allocations, 0);
    if (refused == 2) assert_int_equal(now.allocations, 1); // it is not asked again
    as_it_is();
    core::close(fd, port);
    assert_true(core::contents(path) == all);
  }
}

void a_file_that_nothing_is_known_of_is_not_open(void **) {
  core::put(dir + "/f", "text");
  for (int error : {EIO, ESTALE}) {
    now.facts = -error;
    const int fd = core::open(dir + "/f", O_RDONLY, {}, port);
    core::wait(fd, EF_OPEN);
    char b;
    FAILS_WITH(ef_read(fd, &b, 1), error);
    now.facts = real;
    ef_close(fd);
    assert_int_equal(core::drain(port), 0);
  }
}

// A log that is moved to another file system, by way of a link: what was left to be synced there is synced at once.
struct moving {
  std::string link = dir + "/link", here = dir + "/here", there;
  int fd;
  explicit moving(const std::string &elsewhere) : there(elsewhere + "/there") {
    ::unlink(link.c_str()), ::unlink(here.c_str()), ::unlink(there.c_str());
    assert_int_equal(::symlink(here.c_str(), link.c_str()), 0);
    fd = core::open(link, O_WRONLY | O_CREAT | O_APPEND, {}, port);
    core::wait(fd, EF_OPEN);
    core::write(fd, "old ");
    assert_int_equal(ef_flush(fd), 0);
    ::unlink(link.c_str());
    assert_int_equal(::symlink(there.c_str(), link.c_str()), 0);
    assert_int_equal(ef_watch(fd, 0, nullptr), 0);
  }
};

void what_the_old_file_system_lost_is_told_for_good(void **) {
  struct stat a, b;
  const std::string memory = core::directory("/dev/shm");
  assert_true(::stat(dir.c_str(), &a) == 0 && ::stat(memory.c_str(), &b) == 0);
  if (a.st_dev != b.st_dev) {
    moving m(memory);
    faulty::now.sync_errno = EIO;
    assert_int_equal(ef_reopen(m.fd), 0);
    assert_int_equal(core::next(port).error, EIO);
    faulty::heal();
    FAILS_WITH(ef_write(m.fd, "new", 3), EIO);
    FAILS_WITH(ef_sync(m.fd), EIO);
    ef_close(m.fd);
    assert_int_equal(core::drain(port), 0);
    assert_string_equal(core::contents(m.here).c_str(), "old ");
  }
  core::remove(memory);
  if (a.st_dev == b.st_dev) skip();
}

// Network file systems tell there of bytes that did not arrive.
void what_close_says_of_the_old_file_is_told(void **) {
  moving m(dir);
  now.close_of_copies = -EDQUOT;
  assert_int_equal(ef_reopen(m.fd), 0);
  const ef_event e = core::next(port);
  assert_true(e.events & EF_ERROR);
  assert_int_equal(e.error, EDQUOT);
  now.close_of_copies = 0;
  core::wait(m.fd, EF_OPEN);
  core::write(m.fd, "new");
  ef_close(m.fd);
  assert_int_equal(core::drain(port), 0);
  assert_string_equal(core::contents(m.here).c_str(), "old ");
  assert_string_equal(core::contents(m.there).c_str(), "new");
}

// The kernel takes nothing more from a ring, from some entry on: the rest is read by threads.
void a_ring_that_breaks_is_left_for_threads(void **) {
  const std::string all = core::pattern(3000000);
  core::put(dir + "/r", all);
  ef_port_counters c{};
  c.size = sizeof c;
  assert_int_equal(ef_port_stats(port, &c), 0);
  if (c.engine != EF_ENGINE_URING) skip();
  for (int error : {EIO, EBADR, ENOMEM})
    for (int before : {0, 1, 5}) {
      as_it_is();
      faulty::now.memory_shown = false;
      ef_port *p = ef_port_new(nullptr);
      ef_event e;
      assert_int_equal(ef_port_next(p, &e, 1), 0); // this thread is its owner
      const int fd = core::open(dir + "/r", O_RDONLY, {}, p);
      core::wait(fd, EF_OPEN);
      faulty::now.nowait_miss = 1024;
      now.enters_before = before;
      now.enter = -error;
      std::string got;
      static char b[100000];
      for (ssize_t r; (r = ef_read(fd, b, sizeof b)) != 0;) {
        if (r > 0) {
          got.append(b, static_cast<std::size_t>(r));
          continue;
        }
        assert_int_equal(errno, EAGAIN);
        ef_port_submit(p);
        assert_int_equal(core::next(p).events, EF_READ);
      }
      assert_true(got == all);
      assert_true(now.enters_before < 0);
      core::close(fd, p);
      assert_int_equal(ef_port_free(p), 0);
    }
}

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) {
    t.openat = openat_as_planned;
    t.preadv_with = preadv_with_as_planned;
    t.preadv = preadv_as_planned;
    t.preadv_nowait = preadv_nowait_as_planned;
    t.advise = advise_as_planned;
    t.facts = facts_as_planned;
    t.stat_now = stat_as_planned;
    t.allocate = allocate_as_planned;
    t.uring_enter = enter_as_planned;
    t.duplicate = duplicate_as_planned;
    t.close = close_as_planned;
    t.cached_share = [](int fd, std::int64_t n) {
      return now.share != real ? now.share.load() : faulty::table.cached_share(fd, n);
    };
    t.direct_alignment = [](int fd) {
      return now.alignment != real ? now.alignment.load() : faulty::table.direct_alignment(fd);
    };
  });
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)
  const CMUnitTest tests[] = {
      TEST(a_stream_drops_what_is_behind_it_with_or_without_the_kernel_s_help),
      TEST(an_early_end_is_not_believed),
      TEST(an_error_ahead_comes_after_the_bytes_before_it),
      TEST(a_file_that_cannot_be_read_past_the_cache_is_read_through_it),
      TEST(space_that_is_not_given_ahead_is_no_trouble),
      TEST(a_file_that_nothing_is_known_of_is_not_open),
      TEST(what_the_old_file_system_lost_is_told_for_good),
      TEST(what_close_says_of_the_old_file_is_told),
      TEST(a_ring_that_breaks_is_left_for_threads),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
