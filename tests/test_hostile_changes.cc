// SPDX-License-Identifier: BSD-2-Clause
// Files that change under their readers and writers: cut short, grown, renamed, removed, replaced, truncated by another
// open. A reader has the bytes of its file or nothing; a writer goes on where it was.
#include "requests.hh"

#include <fcntl.h>

namespace {

using requests::loop;
using requests::one;
using requests::outcome;
using stress::require;

std::string dir, memory;
constexpr std::size_t size = 600000;

char byte_at(std::size_t i) { return static_cast<char>('!' + (i ^ i >> 7 ^ i >> 13) % 90); }
const std::string &all() {
  static const std::string text = [] {
    std::string s(size, 0);
    for (std::size_t i = 0; i < size; ++i) s[i] = byte_at(i);
    return s;
  }();
  return text;
}

struct way {
  std::string path;
  ef_file_options options;
};

// On both engines, both file systems, in each cache mode, with bytes that are in memory and with others.
template<class Test> void in_each_way(Test test) {
  requests::on_each_engine([&](loop &l) {
    for (const std::string &place : {dir, memory})
      for (int cache : {EF_CACHE_NORMAL, EF_CACHE_STREAMING, EF_CACHE_DIRECT})
        for (unsigned miss : {0u, 600u}) {
          faulty::now.nowait_miss = miss;
          faulty::now.memory_shown = miss == 0; // or what lies on tmpfs would never miss
          way w{place + "/f", {}};
          w.options.cache = cache;
          ::unlink(w.path.c_str());
          core::put(w.path, all());
          test(l, w);
          faulty::heal();
          faulty::now.memory_shown = true;
        }
  });
}

ssize_t read_some(int fd, char *to, std::size_t n) {
  for (ssize_t r;;) {
    if ((r = ef_read(fd, to, n)) >= 0) return r;
    assert_int_equal(errno, EAGAIN);
    core::wait(fd, EF_READ);
  }
}
std::string read_so_much(int fd, std::size_t n) {
  std::string s(n, 0);
  std::size_t done = 0;
  for (ssize_t r; done < n && (r = read_some(fd, s.data() + done, n - done)) > 0;) done += static_cast<std::size_t>(r);
  s.resize(done);
  return s;
}

// What was fetched before may still come; then the end is where it is now, and behind it the file is read on.
void a_file_that_is_cut_short_ends_and_goes_on(void **) {
  if (core::on_fuse(dir)) skip();
  in_each_way([](loop &l, const way &w) {
    const int fd = l.open(w.path, O_RDONLY, w.options);
    assert_true(read_so_much(fd, 5000) == all().substr(0, 5000));
    assert_int_equal(::truncate(w.path.c_str(), 7000), 0);
    const std::string rest = core::read_all(fd, 3000);
    assert_true(rest.size() >= 2000 && rest == all().substr(5000, rest.size()));
    const auto at = static_cast<off_t>(5000 + rest.size());
    assert_int_equal(ef_seek(fd, 0, SEEK_CUR), at);
    char b[10];
    for (int i = 0; i < 3; ++i) assert_int_equal(read_some(fd, b, sizeof b), 0);
    one r(10);
    assert_int_equal(outcome(l, r, r.pread(fd, 7000)), 0);
    assert_int_equal(outcome(l, r, r.pread(fd, 6995)), 5);
    core::put(w.path, std::string(static_cast<std::size_t>(at), 'x') + "new"); // it grows beyond the reader
    assert_string_equal(core::read_all(fd).c_str(), "new");
    assert_int_equal(::truncate(w.path.c_str(), at + 5003), 0); // a hole
    assert_true(core::read_all(fd) == std::string(5000, 0));
    assert_int_equal(ef_seek(fd, 0, SEEK_END), at + 5003);
    l.close(fd);
  });
}

// Whatever happens to the name, the file is the one that was opened.
void a_reader_keeps_the_file_it_has_opened(void **) {
  if (core::on_fuse(dir)) skip();
  in_each_way([](loop &l, const way &w) {
    const std::string other = w.path + ".new", old = w.path + ".old";
    for (int what : {0, 1, 2, 3}) {
      ::unlink(w.path.c_str());
      core::put(w.path, all());
      const int fd = l.open(w.path, O_RDONLY, w.options);
      assert_true(read_so_much(fd, 10000) == all().substr(0, 10000));
      core::put(other, std::string(size, 'n'));
      if (what == 0) assert_int_equal(::rename(other.c_str(), w.path.c_str()), 0);
      if (what == 1) assert_int_equal(::unlink(w.path.c_str()), 0);
      if (what == 2) assert_int_equal(::rename(w.path.c_str(), old.c_str()), 0);
      if (what == 3)
        assert_int_equal(::renameat2(AT_FDCWD, w.path.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE), 0);
      assert_true(core::read_all(fd) == all().substr(10000));
      one r(1000);
      assert_int_equal(outcome(l, r, r.pread(fd, 500000)), 1000);
      assert_true(r.bytes == all().substr(500000, 1000));
      l.close(fd);
      for (const std::string &s : {w.path, other, old}) ::unlink(s.c_str());
    }
  });
}

void a_writer_keeps_the_file_it_has_opened(void **) {
  in_each_way([](loop &l, const way &w) {
    const std::string other = w.path + ".new", old = w.path + ".old";
    for (int what : {0, 1, 2}) {
      ::unlink(w.path.c_str());
      const int fd = l.open(w.path, O_RDWR | O_CREAT, w.options);
      core::write(fd, all().substr(0, 100000));
      core::put(other, "other");
      if (what == 0) assert_int_equal(::rename(other.c_str(), w.path.c_str()), 0);
      if (what == 1) assert_int_equal(::unlink(w.path.c_str()), 0);
      if (what == 2) assert_int_equal(::rename(w.path.c_str(), old.c_str()), 0);
      core::write(fd, all().substr(100000));
      assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
      assert_int_equal(ef_seek(fd, 0, SEEK_SET), 0);
      assert_true(core::read_all(fd) == all());
      l.close(fd);
      if (what == 0) assert_string_equal(core::contents(w.path).c_str(), "other");
      if (what == 2) assert_true(core::contents(old) == all());
      for (const std::string &s : {w.path, other, old}) ::unlink(s.c_str());
    }
  });
}

// O_TRUNC of another number: the file is empty from then on, and the writer's place is where it was.
void a_second_open_truncates_what_the_first_has(void **) {
  in_each_way([](loop &l, const way &w) {
    const int first = l.open(w.path, O_RDWR, w.options), log = l.open(w.path, O_WRONLY | O_APPEND);
    assert_true(read_so_much(first, 20000) == all().substr(0, 20000));
    assert_int_equal(ef_seek(first, 20000, SEEK_SET), 20000);
    const int second = l.open(w.path, O_WRONLY | O_TRUNC);
    const std::string left = core::read_all(first); // fetched before
    assert_true(left == all().substr(20000, left.size()));
    core::write(log, "appended");
    l.close(log);
    assert_string_equal(core::contents(w.path).c_str(), "appended");
    assert_int_equal(ef_seek(first, 20000, SEEK_SET), 20000);
    core::write(first, "at its place");
    l.close(second);
    l.close(first);
    std::string want(20000, 0);
    want.replace(0, 8, "appended");
    assert_true(core::contents(w.path) == want + "at its place");
  });
}

// ---- All the time

// Cut and grown again to any length: where it was cut there are zeros, until they are written anew.
void change_lengths(const std::string &path, const std::atomic<bool> &enough) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  stress::random dice(7);
  while (!enough) {
    const std::size_t to = dice.below(size), from = dice.below(size - 5000);
    require(::ftruncate(fd, static_cast<off_t>(to)) == 0, "ftruncate");
    if (dice.below(4) == 0) require(::ftruncate(fd, size) == 0, "ftruncate");
    if (dice.below(2)) require(::pwrite(fd, all().data() + from, 5000, static_cast<off_t>(from)) == 5000, "pwrite");
    ::usleep(static_cast<useconds_t>(dice.below(300)));
  }
  ::close(fd);
}
void must_be_its_own(const char *b, std::size_t n, std::size_t at) {
  for (std::size_t i = 0; i < n; ++i) assert_true(b[i] == 0 || (at + i < size && b[i] == all()[at + i])); // or a hole
}

void a_file_of_ever_other_length_gives_its_own_bytes(void **) {
  in_each_way([](loop &l, const way &w) {
    const int fd = l.open(w.path, O_RDONLY, w.options);
    std::atomic<bool> enough{false};
    std::thread other([&] { change_lengths(w.path, enough); });
    stress::random dice(3);
    static char b[70000];
    const int rounds = std::getenv("EFIO_LONG") ? 5000 : 100;
    for (int i = 0; i < rounds; ++i) {
      const auto at = static_cast<off_t>(dice.below(size));
      assert_int_equal(ef_seek(fd, at, SEEK_SET), at);
      const ssize_t n = read_some(fd, b, 1 + dice.below(sizeof b));
      must_be_its_own(b, static_cast<std::size_t>(n), static_cast<std::size_t>(at));
      one r(1 + dice.below(sizeof b));
      const ssize_t m = outcome(l, r, r.pread(fd, at));
      assert_true(m >= 0);
      must_be_its_own(r.bytes.data(), static_cast<std::size_t>(m), static_cast<std::size_t>(at));
    }
    enough = true;
    other.join();
    l.close(fd);
  });
}

// As logrotate's copytruncate: what is in the file at the end is the end of what was written, in whole lines; with the
// file's place kept, behind a hole.
void a_log_that_is_cut_goes_on_with_whole_lines(void **) {
  for (const std::string &place : {dir, memory})
    for (int append : {0, O_APPEND}) {
      const std::string path = place + "/log";
      ::unlink(path.c_str());
      loop l(EF_ENGINE_AUTO);
      ef_file_options o{};
      o.flush_interval_ms = 2;
      const int fd = l.open(path, O_WRONLY | O_CREAT | append, o);
      std::string written;
      for (int i = 0; i < 20000; ++i) {
        const std::string line = "line " + std::to_string(i) + "\n";
        core::write(fd, line);
        written += line;
        if (i % 700 == 0) {
          ::usleep(1000);
          assert_int_equal(::truncate(path.c_str(), 0), 0);
        }
      }
      l.close(fd);
      std::string is = core::contents(path);
      if (!append) {
        assert_int_equal(is.size(), written.size()); // where they would be without the cuts
        is.erase(0, is.find_first_not_of('\0'));
      }
      assert_true(!is.empty() && written.ends_with(is));
      if (append) assert_true(is.starts_with("line "));
      l.end();
    }
}

} // namespace

int main() {
  stress::seed(); // before there are threads
  faulty::install_for_requests();
  dir = core::directory();
  memory = core::directory("/dev/shm");
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_file_that_is_cut_short_ends_and_goes_on),
      cmocka_unit_test(a_reader_keeps_the_file_it_has_opened),
      cmocka_unit_test(a_writer_keeps_the_file_it_has_opened),
      cmocka_unit_test(a_second_open_truncates_what_the_first_has),
      cmocka_unit_test(a_file_of_ever_other_length_gives_its_own_bytes),
      cmocka_unit_test(a_log_that_is_cut_goes_on_with_whole_lines),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(memory);
  if (!failed) core::remove(dir);
  return failed;
}
