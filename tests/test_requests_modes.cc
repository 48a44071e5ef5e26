// SPDX-License-Identifier: BSD-2-Clause
// Whatever reading leaves in the page cache: the bytes are the file's, at odd offsets and sizes, up to its ragged end,
// after seeks, and where the file system will not have it.
#include "requests.hh"

#include <sys/stat.h>
#include <sys/wait.h>

namespace {

using requests::loop;
using requests::one;
using std::size_t;

std::string dir, all;
constexpr unsigned always = 1024;
constexpr size_t size = 3'000'017;

bool no_direct_read = false; // though the file was opened for it

ssize_t preadv_or_not(int fd, const iovec *iov, int count, off_t offset) {
  if (no_direct_read && (::fcntl(fd, F_GETFL) & O_DIRECT)) return -EINVAL;
  return faulty::do_preadv(fd, iov, count, offset);
}

int open_in(loop &l, int mode, int pattern = EF_PATTERN_ADAPTIVE) {
  ef_file_options o{};
  o.cache = mode;
  o.pattern = pattern;
  const int fd = core::open(dir + "/r", O_RDONLY, o, l.port);
  core::wait(fd, EF_OPEN);
  return fd;
}

template<class Test> void in_each_mode(Test test) {
  requests::on_each_engine([&](loop &l) {
    for (int mode : {EF_CACHE_NORMAL, EF_CACHE_STREAMING, EF_CACHE_DIRECT})
      for (unsigned miss : {0u, always})
        for (unsigned cut : {0u, 400u}) {
          faulty::now.nowait_miss = miss;
          faulty::now.short_read = cut;
          test(l, mode);
        }
  });
}

void at_any_offset(void **) {
  in_each_mode([](loop &l, int mode) {
    const int fd = open_in(l, mode);
    void *memory;
    assert_int_equal(::posix_memalign(&memory, 4096, 1 << 20), 0);
    for (int i = 0; i < 150; ++i) {
      const bool tidy = faulty::random32() % 2;
      size_t at = faulty::random32() % (size + 5000), n = 1 + faulty::random32() % 300000;
      if (i % 10 == 0) at = size - faulty::random32() % 9000;
      if (tidy) at -= at % 4096, n += 4096 - n % 4096;
      char *to = static_cast<char *>(memory) + (tidy ? 0 : faulty::random32() % 5000);
      one r;
      const ssize_t got = requests::outcome(l, r, ef_pread(fd, to, n, static_cast<off_t>(at), &r.q));
      assert_int_equal(got, at < size ? std::min(n, size - at) : 0);
      if (got > 0) assert_int_equal(std::memcmp(to, all.data() + at, static_cast<size_t>(got)), 0);
    }
    std::free(memory);
    l.close(fd);
  });
}

void as_a_stream_from_any_place(void **) {
  in_each_mode([](loop &l, int mode) {
    for (int pattern : {EF_PATTERN_ADAPTIVE, EF_PATTERN_SEQUENTIAL, EF_PATTERN_RANDOM}) {
      const int fd = open_in(l, mode, pattern);
      assert_true(core::read_all(fd, 77777) == all);
      for (int i = 0; i < 6; ++i) {
        const size_t at = i == 0 ? size - 1 : i == 1 ? size : size - faulty::random32() % 600000;
        assert_int_equal(ef_seek(fd, static_cast<off_t>(at), SEEK_SET), at);
        if (i % 2) { // in the middle of what was read ahead
          char b[100];
          ssize_t r;
          while ((r = ef_read(fd, b, sizeof b)) < 0) core::wait(fd, EF_READ);
          assert_true(all.compare(at, static_cast<size_t>(r), b, static_cast<size_t>(r)) == 0);
          assert_int_equal(ef_seek(fd, static_cast<off_t>(at), SEEK_SET), at);
        }
        assert_true(core::read_all(fd, 50001) == all.substr(at));
      }
      l.close(fd);
    }
  });
}

void a_refused_direct_read_is_done_through_the_cache(void **) {
  loop l(EF_ENGINE_THREADS);
  no_direct_read = true;
  void *memory;
  assert_int_equal(::posix_memalign(&memory, 4096, 1 << 16), 0);
  for (bool stream : {true, false}) {
    const int fd = open_in(l, EF_CACHE_DIRECT);
    if (core::stats(fd).cache != EF_CACHE_DIRECT) skip(); // not on this file system
    for (int i = 0; i < 3; ++i) {
      one r;
      assert_int_equal(requests::outcome(l, r, ef_pread(fd, memory, 1 << 16, 4096, &r.q)), 1 << 16);
      assert_int_equal(std::memcmp(memory, all.data() + 4096, 1 << 16), 0);
      if (stream) assert_true(core::read_all(fd) == all);
      stream = false;
    }
    l.close(fd);
  }
  no_direct_read = false;
  std::free(memory);
  l.end();
}

// Streaming leaves the cache as it was found. Who neither owns a file nor may write it is not told what is in there.
void somebody_else_s_cached_file_stays_cached(void **) {
  const std::string file = dir + "/r";
  if (::geteuid() != 0 || !requests::reads_without_waiting(file)) skip();
  core::put(file, all); // in memory now
  assert_int_equal(::chmod(dir.c_str(), 0755), 0);
  assert_int_equal(::chmod(file.c_str(), 0644), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(2);
    faulty::heal();
    ef_file_options o{};
    o.size = sizeof o;
    o.cache = EF_CACHE_STREAMING;
    ef_port *p = ef_port_new(nullptr);
    const int fd = ef_openat(p, AT_FDCWD, file.c_str(), O_RDONLY, 0, &o);
    if (ef_wait(fd, EF_OPEN, core::patience_ms) != EF_OPEN) ::_exit(3);
    const ef_file_counters c = core::stats(fd);
    std::printf("    %s\n", c.cache_reason);
    std::fflush(stdout);
    ::_exit(c.cache == EF_CACHE_NORMAL ? 0 : 4);
  }
  int status;
  assert_int_equal(::waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

} // namespace

int main() {
  faulty::install_for_requests();
  faulty::install([](ef::sys_table &t) { t.preadv = preadv_or_not; });
  dir = core::directory();
  all = core::pattern(size);
  core::put(dir + "/r", all);
  const CMUnitTest tests[] = {
      cmocka_unit_test(somebody_else_s_cached_file_stays_cached), // forks: before there are threads
      cmocka_unit_test(at_any_offset),
      cmocka_unit_test(as_a_stream_from_any_place),
      cmocka_unit_test(a_refused_direct_read_is_done_through_the_cache),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
