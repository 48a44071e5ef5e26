// SPDX-License-Identifier: BSD-2-Clause
// Numbers and buffers that no sane caller gives: lengths beyond what the kernel takes at once, offsets up to the last
// one there is, memory that is not there or goes away. The kernel's own answers are what is compared with.
#include "requests.hh"

#include <sys/mman.h>

namespace {

using requests::loop;
using requests::one;
using requests::outcome;

constexpr off_t gib = 1 << 30, tib = gib << 10, last = INT64_MAX;
std::string dir, memory; // on a disk's file system; on tmpfs, where files may be of any length

template<class Test> void in_each_place(Test test) {
  requests::on_each_engine([&](loop &l) {
    for (const std::string &place : {dir, memory}) {
      const std::string path = place + "/f";
      ::unlink(path.c_str());
      core::put(path, "");
      test(l, path);
    }
  });
}

// Of a write by the kernel itself: the count, or a negated errno.
ssize_t plain_write(const std::string &path, off_t at, std::size_t n) {
  const int fd = ::open(path.c_str(), O_WRONLY);
  const std::string text(n, 'p');
  const ssize_t r = ::pwrite(fd, text.data(), n, at);
  const int error = errno;
  ::close(fd);
  return r < 0 ? -error : r;
}

// ---- Offsets and sizes

// Requests, and both streams, over the places where numbers of 32 bits and file systems come to their end.
void far_offsets_are_where_the_kernel_has_them(void **) {
  in_each_place([](loop &l, const std::string &path) {
    for (off_t at : {4 * gib - 1, 4 * gib, 4 * gib + 1, tib, 16 * tib - 8192, 16 * tib + 1, last / 2, last - 10}) {
      const ssize_t expected = plain_write(path, at, 4);
      assert_int_equal(::truncate(path.c_str(), 0), 0);
      const int fd = l.open(path, O_RDWR);
      one w(4), r(10);
      w.bytes = "text";
      const ssize_t did = outcome(l, w, w.pwrite(fd, at));
      assert_int_equal(did < 0 ? -w.q.error : did, expected);
      assert_true(expected == 4 || expected == -EFBIG);
      struct stat st;
      assert_int_equal(ef_fstat(fd, &st), 0);
      assert_int_equal(st.st_size, expected == 4 ? at + 4 : 0);
      assert_int_equal(outcome(l, r, r.pread(fd, at - 4)), expected == 4 ? 8 : 0);
      if (expected == 4) assert_true(r.bytes.substr(0, 8) == std::string(4, 0) + "text");
      l.close(fd);
    }
    l.nothing_more();
  });
}

void streams_go_over_four_gibibytes(void **) {
  in_each_place([](loop &l, const std::string &path) {
    for (off_t at : {2 * gib - 100000, 4 * gib - 100000, tib - 100000}) {
      const std::string all = core::pattern(200000, static_cast<unsigned>(at >> 20));
      for (int cache : {EF_CACHE_NORMAL, EF_CACHE_STREAMING, EF_CACHE_DIRECT}) {
        ef_file_options o{};
        o.cache = cache;
        const int fd = l.open(path, O_RDWR, o);
        assert_int_equal(ef_seek(fd, at, SEEK_SET), at);
        core::write(fd, all);
        assert_int_equal(ef_seek(fd, at, SEEK_SET), at);
        assert_true(core::read_all(fd) == all);
        assert_int_equal(ef_seek(fd, 0, SEEK_CUR), at + 200000);
        assert_int_equal(ef_seek(fd, -5, SEEK_END), at + 199995);
        assert_true(core::read_all(fd) == all.substr(199995));
        l.close(fd);
      }
    }
  });
}

// Bytes that no file can have are told, kept, and given up with the file, as on a full disk.
void a_stream_beyond_the_longest_file_is_told(void **) {
  core::put(dir + "/f", "");
  const off_t at = 100 * tib;
  if (plain_write(dir + "/f", at, 1) != -EFBIG) skip();
  loop l(EF_ENGINE_AUTO);
  ef_file_options o{};
  o.flush_interval_ms = 10;
  const int fd = l.open(dir + "/f", O_RDWR, o);
  assert_int_equal(ef_seek(fd, at, SEEK_SET), at);
  core::write(fd, "text");
  l.until([&] { return !l.others.empty(); });
  assert_int_equal(l.others.back().events, EF_ERROR);
  assert_int_equal(l.others.back().error, EFBIG);
  FAILS_WITH(ef_wait(fd, EF_SYNC, core::patience_ms), EFBIG);
  assert_int_equal(core::stats(fd).lost, 0);
  l.close(fd);
  assert_int_equal(l.others.back().error, EFBIG);
  assert_string_equal(core::contents(dir + "/f").c_str(), "");
  l.end();
}

// Above 2^63 - 2^40 neither stream goes, so that no position runs out of numbers.
void positions_end_before_numbers_do(void **) {
  const off_t most = last - tib + 1;
  in_each_place([=](loop &l, const std::string &path) {
    const int fd = l.open(path, O_RDWR);
    for (off_t to : {last, last - 1, most + 1}) FAILS_WITH(ef_seek(fd, to, SEEK_SET), EOVERFLOW);
    assert_int_equal(ef_seek(fd, most, SEEK_SET), most);
    FAILS_WITH(ef_seek(fd, 1, SEEK_CUR), EOVERFLOW);
    FAILS_WITH(ef_seek(fd, last, SEEK_CUR), EOVERFLOW);
    FAILS_WITH(ef_seek(fd, INT64_MIN, SEEK_CUR), EINVAL);
    assert_string_equal(core::read_all(fd).c_str(), "");
    assert_int_equal(ef_seek(fd, 0, SEEK_SET), 0);
    core::write(fd, "text");
    l.close(fd);
    assert_string_equal(core::contents(path).c_str(), "text");

    const int os = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (::lseek(os, last, SEEK_SET) != last) { // more than the file system has
      ::close(os);
      return;
    }
    const int adopted = ef_fdopen(l.port, os, nullptr);
    core::wait(adopted, EF_OPEN);
    FAILS_WITH(ef_write(adopted, "x", 1), EOVERFLOW);
    FAILS_WITH(ef_close(adopted), EOVERFLOW);
  });
}

void advice_beyond_all_files_does_no_harm(void **) {
  in_each_place([](loop &l, const std::string &path) {
    core::put(path, "text");
    const int fd = l.open(path, O_RDONLY);
    for (off_t at : {off_t{0}, tib, last})
      for (off_t n : {off_t{0}, tib, last}) assert_int_equal(ef_advise(fd, at, n, EF_WILL_NEED), 0);
    assert_string_equal(core::read_all(fd).c_str(), "text");
    l.close(fd);
  });
}

// ---- Lengths

// The same 4 MiB over and over: a buffer as long as one likes, with little behind it.
class long_buffer {
 public:
  explicit long_buffer(std::size_t n) : bytes(n) {
    const int fd = ::memfd_create("long", MFD_CLOEXEC);
    assert_int_equal(::ftruncate(fd, piece), 0);
    void *at = ::mmap(nullptr, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    data = static_cast<char *>(at);
    for (std::size_t i = 0; i < n; i += piece)
      assert_ptr_not_equal(
          ::mmap(data + i, piece < n - i ? piece : n - i, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
          MAP_FAILED);
    ::close(fd);
  }
  ~long_buffer() { ::munmap(data, bytes); }
  long_buffer(const long_buffer &) = delete;
  long_buffer &operator=(const long_buffer &) = delete;

  static constexpr std::size_t piece = 4 << 20;
  std::size_t bytes;
  char *data;
};

// The kernel takes 0x7ffff000 bytes at once.
void lengths_beyond_one_call_of_the_kernel_are_served(void **) {
  if (std::getenv("EFIO_MEMCHECK")) skip(); // it keeps a shadow of each byte
  const long_buffer all(std::size_t{0x80000000} + 8192);
  in_each_place([&](loop &l, const std::string &path) {
    core::put(path, "text");
    const int fd = l.open(path, O_RDWR);
    for (std::size_t n : {std::size_t{0x7ffff000}, std::size_t{0x7ffff001}, all.bytes}) {
      one r;
      std::memset(all.data, 0, 8);
      assert_int_equal(outcome(l, r, ef_pread(fd, all.data, n, 0, &r.q)), 4);
      assert_string_equal(all.data, "text");
      assert_int_equal(ef_seek(fd, 0, SEEK_SET), 0);
      ssize_t got;
      while ((got = ef_read(fd, all.data, n)) < 0) core::wait(fd, EF_READ);
      assert_int_equal(got, 4);
    }
    char b[5] = "";
    ssize_t got;
    assert_int_equal(ef_seek(fd, 0, SEEK_SET), 0);
    while ((got = ef_read(fd, b, SSIZE_MAX)) < 0) core::wait(fd, EF_READ); // no more than is there
    assert_int_equal(got, 4);
    l.close(fd);
    const int w = l.open(path, O_WRONLY);
    const ssize_t taken = ef_write(w, all.data, all.bytes);
    assert_true(taken >= EF_ATOMIC && taken <= 1 << 20); // a count, which may be short
    l.close(w);
    assert_int_equal(core::contents(path).size(), taken);
  });
}

// Read whole, in as many calls as it takes. Large: 2 GiB go through memory.
void a_request_longer_than_one_call_is_read_whole(void **) {
  if (!std::getenv("EFIO_LONG")) skip();
  const long_buffer all(std::size_t{0x80000000} + 8192);
  const std::string path = memory + "/whole";
  core::put(path, "");
  assert_int_equal(::truncate(path.c_str(), static_cast<off_t>(all.bytes) - 4), 0);
  const int os = ::open(path.c_str(), O_WRONLY | O_APPEND);
  assert_int_equal(::write(os, "text", 4), 4);
  ::close(os);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(path, O_RDONLY);
    one r;
    assert_int_equal(outcome(l, r, ef_pread(fd, all.data, all.bytes, 0, &r.q)), all.bytes);
    assert_memory_equal(all.data + all.bytes - 4, "text", 4);
    l.close(fd);
  });
  ::unlink(path.c_str());
}

void sums_beyond_ssize_max_are_refused(void **) {
  in_each_place([](loop &l, const std::string &path) {
    const int fd = l.open(path, O_RDWR);
    char b[8];
    one r;
    std::vector<iovec> most(1024, iovec{b, SSIZE_MAX / 1024 + 1}), wrapping(1024, iovec{b, SIZE_MAX / 1024 + 1});
    for (const auto &v : {most, wrapping}) {
      FAILS_WITH(ef_readv(fd, v.data(), 1024), EINVAL);
      FAILS_WITH(ef_writev(fd, v.data(), 1024), EINVAL);
      FAILS_WITH(ef_preadv(fd, v.data(), 1024, 0, &r.q), EINVAL);
      FAILS_WITH(ef_pwritev(fd, v.data(), 1024, 0, &r.q), EINVAL);
    }
    for (int count : {1025, INT_MAX, -1}) {
      r.to_do(EF_PREAD, fd, 0);
      r.q.iov = most.data();
      r.q.iovcnt = count;
      ef_request *list[] = {&r.q};
      assert_int_equal(ef_submit(list, 1), 0);
      assert_int_equal(r.q.result, -1);
      assert_int_equal(r.q.error, EINVAL);
    }
    l.nothing_more();
    l.close(fd);
    assert_string_equal(core::contents(path).c_str(), "");
  });
}

// ---- Memory that is not there

struct two_pages { // the second one cannot be touched
  two_pages() {
    void *at = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    data = static_cast<char *>(at);
    assert_int_equal(::mprotect(data + 4096, 4096, PROT_NONE), 0);
    std::memset(data, 'm', 4096);
  }
  ~two_pages() { ::munmap(data, 8192); }
  two_pages(const two_pages &) = delete;
  two_pages &operator=(const two_pages &) = delete;
  char *data;
};

// The kernel moves the bytes of a request: it answers EFAULT, or a short count where good bytes came first.
void a_request_without_memory_answers_efault(void **) {
  in_each_place([](loop &l, const std::string &path) {
    const std::string all = core::pattern(100000);
    core::put(path, all);
    const two_pages half;
    for (int cache : {EF_CACHE_NORMAL, EF_CACHE_STREAMING, EF_CACHE_DIRECT})
      for (unsigned miss : {0u, 1024u}) {
        faulty::now.nowait_miss = miss;
        ef_file_options o{};
        o.cache = cache;
        const int fd = l.open(path, O_RDWR, o);
        one r, w, both;
        assert_int_equal(outcome(l, r, ef_pread(fd, half.data + 4096, 4096, 0, &r.q)), -1);
        assert_int_equal(r.q.error, EFAULT);
        assert_int_equal(outcome(l, w, ef_pwrite(fd, half.data + 4096, 4096, 0, &w.q)), -1);
        assert_int_equal(w.q.error, EFAULT);
        const ssize_t n = outcome(l, both, ef_pread(fd, half.data, 8192, 4096, &both.q));
        if (n < 0)
          assert_int_equal(both.q.error, EFAULT);
        else
          assert_true(n <= 4096 && all.substr(4096, static_cast<std::size_t>(n)) == std::string(half.data, n));
        l.close(fd);
        faulty::heal();
      }
    l.nothing_more();
    assert_true(core::contents(path) == all);
  });
}

// A mapping whose file was cut short behind it.
struct cut_mapping {
  cut_mapping() {
    const int fd = ::memfd_create("cut", MFD_CLOEXEC);
    assert_int_equal(::ftruncate(fd, 8192), 0);
    void *at = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    data = static_cast<char *>(at);
    assert_int_equal(::ftruncate(fd, 0), 0);
    ::close(fd);
  }
  ~cut_mapping() { ::munmap(data, 8192); }
  cut_mapping(const cut_mapping &) = delete;
  cut_mapping &operator=(const cut_mapping &) = delete;
  char *data;
};

void a_request_into_a_cut_mapping_answers_efault(void **) {
  in_each_place([](loop &l, const std::string &path) {
    core::put(path, core::pattern(8192));
    const cut_mapping gone;
    const int fd = l.open(path, O_RDWR);
    one r, w;
    assert_int_equal(outcome(l, r, ef_pread(fd, gone.data, 8192, 0, &r.q)), -1);
    assert_int_equal(r.q.error, EFAULT);
    assert_int_equal(outcome(l, w, ef_pwrite(fd, gone.data, 8192, 0, &w.q)), -1);
    assert_int_equal(w.q.error, EFAULT);
    l.close(fd);
    assert_true(core::contents(path) == core::pattern(8192));
  });
}

// The streams' bytes are copied by the caller itself: it has the signal that memcpy(3) would have had, and no thread of
// the library has any.
int status_of(const char *from, char *to) {
  return core::in_child([=]() -> int {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    for (int s : {SIGSEGV, SIGBUS}) ::signal(s, SIG_DFL);
    const int fd = ef_open((dir + "/f").c_str(), O_RDWR | O_CREAT, 0600);
    if (ef_wait(fd, EF_OPEN, core::patience_ms) != EF_OPEN) return 1;
    if (from) ef_write(fd, from, 100);
    while (to && ef_read(fd, to, 4096) < 0) ef_wait(fd, EF_READ, core::patience_ms);
    return 2;
  });
}
void a_stream_without_memory_is_the_caller_s_signal(void **) {
  core::put(dir + "/f", core::pattern(8192));
  const two_pages half;
  const cut_mapping gone;
  const auto ended_by = [](int status, int signal) { return WIFSIGNALED(status) && WTERMSIG(status) == signal; };
  assert_true(ended_by(status_of(half.data + 4096, nullptr), SIGSEGV));
  assert_true(ended_by(status_of(nullptr, half.data + 4096), SIGSEGV));
  assert_true(ended_by(status_of(gone.data, nullptr), SIGBUS));
  assert_true(ended_by(status_of(nullptr, gone.data), SIGBUS));
}

void what_was_accepted_is_not_looked_at_again(void **) {
  loop l(EF_ENGINE_AUTO);
  ef_file_options o{};
  o.flush_interval_ms = 3600000;
  const int fd = l.open(dir + "/kept", O_WRONLY | O_CREAT, o);
  const std::string all = core::pattern(8192);
  void *at = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::memcpy(at, all.data(), 8192);
  assert_int_equal(ef_write(fd, at, 8192), 8192);
  std::memset(at, 'c', 8192);
  assert_int_equal(ef_write(fd, at, 10), 10);
  assert_int_equal(::munmap(at, 8192), 0);
  l.close(fd);
  assert_true(core::contents(dir + "/kept") == all + std::string(10, 'c'));
  l.end();
}

} // namespace

int main() {
  faulty::install_for_requests();
  dir = core::directory();
  memory = core::directory("/dev/shm");
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_stream_without_memory_is_the_caller_s_signal), // forks: before there are threads
      cmocka_unit_test(far_offsets_are_where_the_kernel_has_them),
      cmocka_unit_test(streams_go_over_four_gibibytes),
      cmocka_unit_test(a_stream_beyond_the_longest_file_is_told),
      cmocka_unit_test(positions_end_before_numbers_do),
      cmocka_unit_test(advice_beyond_all_files_does_no_harm),
      cmocka_unit_test(lengths_beyond_one_call_of_the_kernel_are_served),
      cmocka_unit_test(a_request_longer_than_one_call_is_read_whole),
      cmocka_unit_test(sums_beyond_ssize_max_are_refused),
      cmocka_unit_test(a_request_without_memory_answers_efault),
      cmocka_unit_test(a_request_into_a_cut_mapping_answers_efault),
      cmocka_unit_test(what_was_accepted_is_not_looked_at_again),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(memory);
  if (!failed) core::remove(dir);
  return failed;
}
