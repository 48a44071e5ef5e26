// SPDX-License-Identifier: BSD-2-Clause
// What goes in comes out: reads and writes of every shape, on each kind of inline read, plain and under the faulty
// engine.
#include "faulty.hh"

#include "core.hh"

namespace {

std::string dir;

// The ways a file may be served. Each test runs in all of them.
struct mode {
  const char *name;
  const char *under;
  bool no_nowait, faults;
};
constexpr mode modes[] = {
    {"page cache", nullptr, false, false},          {"no RWF_NOWAIT", nullptr, true, false},
    {"in memory", "/dev/shm", false, false},        {"faulty", nullptr, false, true},
    {"faulty, in memory", "/dev/shm", false, true},
};

void in_every_mode(void (*test)()) {
  for (const mode &m : modes) {
    faulty::heal();
    faulty::now.nowait_none = m.no_nowait;
    if (m.faults) {
      faulty::now.nowait_miss = faulty::now.short_read = faulty::now.short_write = 400;
      faulty::now.delay = 100;
    }
    std::printf("  %s\n", m.name);
    dir = core::directory(m.under);
    test();
    core::remove(dir);
  }
  faulty::heal();
}

void written_bytes_are_in_the_file() {
  std::string all;
  int fd = core::open(dir + "/w", O_WRONLY | O_CREAT);
  for (std::size_t n : {1, 3, 4096, 100, 65535, 65536, 65537, 200000, 1, 3000000, 7}) {
    std::string piece = core::pattern(n, static_cast<unsigned>(n));
    core::write(fd, piece);
    all += piece;
  }
  assert_int_equal(core::stats(fd).accepted, all.size());
  core::close(fd);
  assert_true(core::contents(dir + "/w") == all);
}

void a_vector_is_one_write() {
  std::string all;
  int fd = core::open(dir + "/v", O_WRONLY | O_CREAT);
  for (int round = 0; round < 200; ++round) {
    std::string a = core::pattern(round * 7, round), b = core::pattern(13, round + 1), c = core::pattern(round, 3);
    iovec v[4] = {{a.data(), a.size()}, {nullptr, 0}, {b.data(), b.size()}, {c.data(), c.size()}};
    ssize_t n = static_cast<ssize_t>(a.size() + b.size() + c.size());
    assert_int_equal(ef_writev(fd, v, 4), n);
    all += a + b + c;
  }
  core::close(fd);
  assert_true(core::contents(dir + "/v") == all);
}

void read_bytes_are_those_of_the_file() {
  std::string all = core::pattern(2500001);
  core::put(dir + "/r", all);
  for (std::size_t n : {1 << 20, 65536, 4096, 4095, 100}) {
    int fd = core::open(dir + "/r", O_RDONLY);
    assert_true(core::read_all(fd, n) == all);
    char c;
    assert_int_equal(ef_seek(fd, 0, SEEK_CUR), all.size());
    while (ef_read(fd, &c, 1) != 0) core::wait(fd, EF_READ); // end of file, again
    assert_int_equal(core::stats(fd).read, all.size());
    core::close(fd);
  }
}

void readv_and_peek_see_the_same_bytes() {
  std::string all = core::pattern(700001), got;
  core::put(dir + "/p", all);
  int fd = core::open(dir + "/p", O_RDONLY);
  for (int turn = 0;; ++turn) {
    iovec v[3];
    std::string a(1000, 0), b(1, 0), c(5000, 0);
    ssize_t r;
    if (turn % 2) {
      iovec w[3] = {{a.data(), a.size()}, {b.data(), b.size()}, {c.data(), c.size()}};
      r = ef_readv(fd, w, 3);
      if (r > 0) got += (a + b + c).substr(0, static_cast<std::size_t>(r));
    } else {
      r = ef_peek(fd, v, 3);
      std::size_t n = 0;
      for (ssize_t i = 0; i < r; ++i) {
        got.append(static_cast<char *>(v[i].iov_base), v[i].iov_len);
        n += v[i].iov_len;
      }
      if (r > 0 && n > 10) { // not all of it: the rest is seen again
        got.resize(got.size() - 10);
        n -= 10;
      }
      if (r > 0) assert_int_equal(ef_consume(fd, n), 0);
    }
    if (r == 0) break;
    if (r < 0) {
      assert_int_equal(errno, EAGAIN);
      core::wait(fd, EF_READ);
    }
  }
  assert_true(got == all);
  core::close(fd);
}

void seeks_go_where_they_should() {
  std::string all = core::pattern(300000);
  core::put(dir + "/s", all);
  int fd = core::open(dir + "/s", O_RDONLY);
  core::wait(fd, EF_OPEN);
  assert_int_equal(ef_seek(fd, 0, SEEK_END), all.size());
  unsigned r = 7;
  for (int i = 0; i < 300; ++i) {
    r = r * 1664525 + 1013904223;
    off_t to = r % all.size();
    assert_int_equal(ef_seek(fd, to, SEEK_SET), to);
    char b[3000];
    std::size_t want = 1 + r % sizeof b;
    ssize_t n;
    while ((n = ef_read(fd, b, want)) < 0) core::wait(fd, EF_READ);
    assert_true(n > 0 && all.compare(to, static_cast<std::size_t>(n), b, static_cast<std::size_t>(n)) == 0);
    assert_int_equal(ef_seek(fd, -n, SEEK_CUR), to);
  }
  core::close(fd);
}

off_t seek(int fd, off_t to, int whence) {
  off_t at;
  while ((at = ef_seek(fd, to, whence)) < 0) {
    assert_int_equal(errno, EAGAIN); // the budget is full
    core::wait(fd, EF_WRITE);
  }
  return at;
}

void writes_go_where_seek_says() {
  int fd = core::open(dir + "/ws", O_WRONLY | O_CREAT);
  core::wait(fd, EF_OPEN);
  std::string want(400000, 0);
  unsigned r = 9;
  for (int i = 0; i < 200; ++i) {
    r = r * 1664525 + 1013904223;
    off_t to = r % 300000;
    std::string piece = core::pattern(1 + r % 90000, r);
    assert_int_equal(seek(fd, to, SEEK_SET), to);
    core::write(fd, piece);
    assert_int_equal(ef_seek(fd, 0, SEEK_CUR), to + static_cast<off_t>(piece.size()));
    want.replace(to, piece.size(), piece);
  }
  off_t end = seek(fd, 0, SEEK_END);
  core::close(fd);
  want.resize(end);
  assert_true(core::contents(dir + "/ws") == want);
}

void a_handle_sees_its_own_writes() {
  int fd = core::open(dir + "/rw", O_RDWR | O_CREAT);
  core::wait(fd, EF_OPEN);
  std::string all;
  for (int i = 0; i < 40; ++i) {
    std::string piece = core::pattern(1 + i * 1111, i);
    assert_int_equal(ef_seek(fd, static_cast<off_t>(all.size()), SEEK_SET), all.size());
    core::write(fd, piece);
    all += piece;
    assert_int_equal(ef_seek(fd, 0, SEEK_SET), 0);
    assert_true(core::read_all(fd) == all);
  }
  core::close(fd);
}

// Who shares an adopted descriptor goes on behind what was written through it.
void the_offset_of_an_adopted_descriptor_moves_along() {
  int shared = ::open((dir + "/shared").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), mine = ::dup(shared);
  assert_true(shared >= 0 && mine >= 0);
  assert_int_equal(::write(shared, "before ", 7), 7);
  int fd = ef_fdopen(nullptr, mine, nullptr);
  core::write(fd, "by efio ");
  core::close(fd);
  assert_int_equal(::write(shared, "after", 5), 5);
  assert_int_equal(::close(shared), 0);
  assert_true(core::contents(dir + "/shared") == "before by efio after");
}

void draining_waits_for_opens() {
  std::string made = dir + "/made", cut = dir + "/cut";
  core::put(cut, "old");
  int a = core::open(made, O_WRONLY | O_CREAT), b = core::open(cut, O_WRONLY | O_TRUNC);
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  assert_true(core::contents(made).empty() && core::contents(cut).empty());
  core::close(a);
  core::close(b);
}

// Bytes that were peeked at stay where they are, whatever is written, watched or waited for meanwhile.
void peeked_bytes_stay() {
  core::put(dir + "/peek", core::pattern(50000));
  int fd = core::open(dir + "/peek", O_RDWR);
  iovec v{};
  ssize_t n;
  while ((n = ef_peek(fd, &v, 1)) < 0) core::wait(fd, EF_READ);
  assert_int_equal(n, 1);
  std::string seen(static_cast<char *>(v.iov_base), v.iov_len);
  core::write(fd, "more");
  ef_watch(fd, EF_READ, nullptr);
  core::wait(fd, EF_READ);
  core::write(fd, core::pattern(200000, 5)); // would use the chunk again
  ef_watch(fd, EF_READ, nullptr);
  assert_true(std::string(static_cast<char *>(v.iov_base), v.iov_len) == seen);
  core::close(fd);
}

// Read-ahead that met the end does not tell it when the file has grown since.
void an_end_that_was_met_ahead_is_not_told_late() {
  std::string all = core::pattern(700000), more = core::pattern(1000, 8);
  core::put(dir + "/end", all);
  int fd = core::open(dir + "/end", O_RDONLY);
  std::string got;
  std::vector<char> b(60000);
  while (got.size() < all.size()) {
    ssize_t r = ef_read(fd, b.data(), b.size());
    if (r < 0) {
      core::wait(fd, EF_READ);
      continue;
    }
    assert_true(r > 0);
    got.append(b.data(), static_cast<std::size_t>(r));
    ::usleep(2000); // a fetch that is under way ends
    if (got.size() > all.size() - 100000 && !more.empty()) {
      FILE *f = std::fopen((dir + "/end").c_str(), "a");
      assert_int_equal(std::fwrite(more.data(), 1, more.size(), f), more.size());
      assert_int_equal(std::fclose(f), 0);
      all += more;
      more.clear();
    }
  }
  assert_true(got == all);
  core::close(fd);
}

void a_file_that_grew_is_read_on() {
  int out = core::open(dir + "/g", O_WRONLY | O_CREAT | O_APPEND), in = core::open(dir + "/g", O_RDONLY | O_CREAT);
  std::string all;
  for (int i = 0; i < 30; ++i) {
    std::string piece = core::pattern(i * 100 + 1, i);
    core::write(out, piece);
    assert_int_equal(ef_wait(out, EF_SYNC, core::patience_ms), EF_SYNC);
    all += piece;
    assert_true(core::read_all(in) == piece);
  }
  core::close(in);
  core::close(out);
  assert_true(core::contents(dir + "/g") == all);
}

void appends_go_to_the_end_whatever_seek_says() {
  core::put(dir + "/a", "before ");
  int fd = core::open(dir + "/a", O_WRONLY | O_APPEND);
  core::wait(fd, EF_OPEN);
  core::write(fd, "one ");
  assert_int_equal(ef_seek(fd, 0, SEEK_SET), 0);
  core::write(fd, "two");
  core::close(fd);
  assert_string_equal(core::contents(dir + "/a").c_str(), "before one two");
}

void an_adopted_descriptor_goes_on_at_its_offset() {
  std::string all = core::pattern(100000);
  core::put(dir + "/f", all);
  int os = ::open((dir + "/f").c_str(), O_RDWR);
  assert_int_equal(::lseek(os, 40000, SEEK_SET), 40000);
  int fd = ef_fdopen(nullptr, os, nullptr);
  assert_true(fd >= 0);
  assert_true(core::read_all(fd) == all.substr(40000));
  core::write(fd, "XYZ");
  core::close(fd);
  FAILS_WITH(::fcntl(os, F_GETFD), EBADF); // it was the library's to close
  assert_true(core::contents(dir + "/f") == all.replace(40000, 3, "XYZ"));
}

void no_edge_loses_a_byte() {
  const std::string all = core::pattern(20'000);
  core::put(dir + "/one", all);
  int fd = core::open(dir + "/one", O_RDONLY);
  assert_true(core::read_all(fd, 1) == all); // each time a chunk has one byte left
  core::close(fd);
}

#define IN_EVERY_MODE(test)                                                                                            \
  {                                                                                                                    \
#test, [](void **) { in_every_mode(test); }, nullptr, nullptr, nullptr                                             \
  }

} // namespace

int main() {
  faulty::install();
  const CMUnitTest tests[] = {
      IN_EVERY_MODE(written_bytes_are_in_the_file),
      IN_EVERY_MODE(a_vector_is_one_write),
      IN_EVERY_MODE(read_bytes_are_those_of_the_file),
      IN_EVERY_MODE(no_edge_loses_a_byte),
      IN_EVERY_MODE(readv_and_peek_see_the_same_bytes),
      IN_EVERY_MODE(seeks_go_where_they_should),
      IN_EVERY_MODE(writes_go_where_seek_says),
      IN_EVERY_MODE(a_handle_sees_its_own_writes),
      IN_EVERY_MODE(draining_waits_for_opens),
      IN_EVERY_MODE(the_offset_of_an_adopted_descriptor_moves_along),
      IN_EVERY_MODE(peeked_bytes_stay),
      IN_EVERY_MODE(an_end_that_was_met_ahead_is_not_told_late),
      IN_EVERY_MODE(a_file_that_grew_is_read_on),
      IN_EVERY_MODE(appends_go_to_the_end_whatever_seek_says),
      IN_EVERY_MODE(an_adopted_descriptor_goes_on_at_its_offset),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
