// SPDX-License-Identifier: BSD-2-Clause
// Paths that are hard to write down or lead elsewhere, and things that are no plain files: opened, read and written, or
// refused by the errno of open(2).
#include "requests.hh"

#include <sys/socket.h>
#include <sys/un.h>

#include <termios.h>

namespace {

using requests::loop;
using requests::one;
using requests::outcome;

std::string dir;

std::string in(const std::string &name) { return dir + "/" + name; }

// Opened in the background: what comes of it, as a negated errno.
int opened(loop &l, const std::string &path, int flags) {
  const int fd = core::open(path, flags, {}, l.port);
  core::wait(fd, EF_OPEN);
  struct stat st;
  const int r = ef_fstat(fd, &st) == 0 ? 0 : -errno;
  assert_int_equal(ef_close(fd), r ? -1 : 0);
  assert_int_equal(core::drain(l.port), 0);
  return r;
}

template<class Test> void with_a_loop(Test test) {
  loop l(EF_ENGINE_AUTO);
  test(l);
  l.end();
}

// ---- Paths

// Any byte but 0 and the slash is part of a name, also where the directory is opened to be synced.
void names_may_hold_any_byte(void **) {
  with_a_loop([](loop &l) {
    for (const char *name : {"new\nline", "\xff\xfe\x80", "\x01\x1b[31m", " ", "-rf", "%s%n", "a\\b"}) {
      const std::string place = in(std::string("d") + name), path = place + "/" + name;
      assert_int_equal(::mkdir(place.c_str(), 0700), 0);
      const int fd = l.open(path, O_RDWR | O_CREAT | O_EXCL);
      core::write(fd, name);
      assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
      l.close(fd);
      assert_string_equal(core::contents(path).c_str(), name);
      assert_int_equal(opened(l, path, O_RDONLY | O_CREAT | O_EXCL), -EEXIST);
    }
  });
}

void lengths_of_paths_are_the_kernel_s(void **) {
  with_a_loop([](loop &l) {
    const std::string most(255, 'n');
    assert_int_equal(opened(l, in(most), O_WRONLY | O_CREAT), 0);
    assert_int_equal(opened(l, in(most + "n"), O_WRONLY | O_CREAT), -ENAMETOOLONG);
    std::string path = in(most); // up to the last length that there is
    path = path.substr(0, path.rfind('/')) + std::string(4095 - path.size(), '/') + "/" + most;
    assert_int_equal(path.size(), 4095);
    assert_int_equal(opened(l, path, O_RDONLY), 0);
    for (std::size_t n : {std::size_t{4096}, std::size_t{4097}, std::size_t{1} << 20})
      FAILS_WITH(ef_openat(l.port, AT_FDCWD, std::string(n, '/').c_str(), O_RDONLY, 0, nullptr), ENAMETOOLONG);
    FAILS_WITH(ef_openat(l.port, AT_FDCWD, nullptr, O_RDONLY, 0, nullptr), EFAULT);
    FAILS_WITH(ef_openat(l.port, AT_FDCWD, "", O_RDONLY, 0, nullptr), ENOENT);
    assert_int_equal(opened(l, in(most) + "/", O_RDONLY), -ENOTDIR);
    assert_int_equal(opened(l, in("none/f"), O_WRONLY | O_CREAT), -ENOENT);
  });
}

void links_lead_where_open_would_go(void **) {
  with_a_loop([](loop &l) {
    const std::string link = in("dangling"), target = in("elsewhere/target");
    ::mkdir(in("elsewhere").c_str(), 0700);
    assert_int_equal(::symlink(target.c_str(), link.c_str()), 0);
    assert_int_equal(opened(l, link, O_RDONLY), -ENOENT);
    assert_int_equal(opened(l, link, O_WRONLY | O_CREAT | O_EXCL), -EEXIST);
    assert_int_equal(opened(l, link, O_WRONLY | O_CREAT | O_NOFOLLOW), -ELOOP);
    const int fd = l.open(link, O_WRONLY | O_CREAT); // makes the target
    core::write(fd, "text");
    assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
    l.close(fd);
    assert_string_equal(core::contents(target).c_str(), "text");
    assert_int_equal(::symlink(in("round").c_str(), in("round").c_str()), 0);
    assert_int_equal(opened(l, in("round"), O_RDONLY), -ELOOP);
  });
}

// A link that goes to and fro between two files: each open has one of them, whole, and stays with it.
void a_link_that_is_swapped_gives_one_file_or_the_other(void **) {
  if (core::on_fuse(dir)) skip();
  const std::string link = in("swapped"), spare = in("spare"),
                    text[] = {std::string(9000, 'a'), std::string(9000, 'b')};
  for (int i : {0, 1}) core::put(in("swap" + std::to_string(i)), text[i]);
  assert_int_equal(::symlink(in("swap0").c_str(), link.c_str()), 0);
  std::atomic<bool> enough{false};
  std::thread swapper([&] {
    for (int i = 1; !enough; i ^= 1) {
      (void)!::symlink(in("swap" + std::to_string(i)).c_str(), spare.c_str());
      ::rename(spare.c_str(), link.c_str());
    }
  });
  with_a_loop([&](loop &l) {
    for (int i = 0; i < 300; ++i) {
      const int fd = core::open(link, O_RDONLY, {}, l.port);
      const std::string got = core::read_all(fd, 700);
      assert_true(got == text[0] || got == text[1]);
      core::close(fd, l.port);
    }
  });
  enough = true;
  swapper.join();
}

// ---- Objects

void endless_devices_are_read_and_written(void **) {
  requests::on_each_engine([](loop &l) {
    const int zero = l.open("/dev/zero", O_RDWR), null = l.open("/dev/null", O_RDWR);
    std::string b(100000, 'x');
    std::size_t got = 0;
    while (got < 3000000) {
      const ssize_t r = ef_read(zero, b.data(), b.size());
      if (r < 0) core::wait(zero, EF_READ);
      if (r > 0) got += static_cast<std::size_t>(r);
      assert_int_not_equal(r, 0);
    }
    assert_true(b.find_first_not_of('\0') == std::string::npos);
    for (int fd : {zero, null}) {
      core::write(fd, core::pattern(1000000));
      assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
      FAILS_WITH(ef_seek(fd, 0, SEEK_SET), ESPIPE);
      one r(10);
      FAILS_WITH(r.pread(fd, 0), ESPIPE);
    }
    assert_string_equal(core::read_all(null).c_str(), "");
    l.close(zero);
    l.close(null);
  });
}

void a_device_without_room_is_a_full_disk(void **) {
  with_a_loop([](loop &l) {
    const int fd = l.open("/dev/full", O_WRONLY);
    core::write(fd, "text");
    FAILS_WITH(ef_wait(fd, EF_SYNC, core::patience_ms), ENOSPC);
    assert_int_equal(core::stats(fd).lost, 0);
    l.close(fd);
    assert_int_equal(l.others.back().error, ENOSPC);
  });
}

// The kernel calls it a plain file without length: memory at its address, EIO where there is none.
void the_memory_of_the_process_is_a_file(void **) {
  requests::on_each_engine([](loop &l) {
    static char text[32] = "what is to be read";
    const auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(text));
    const int fd = l.open("/proc/self/mem", O_RDWR);
    one r(18), w(4), none(10), far(10);
    assert_int_equal(outcome(l, r, r.pread(fd, at)), 18);
    assert_string_equal(r.bytes.c_str(), "what is to be read");
    w.bytes = "This";
    assert_int_equal(outcome(l, w, w.pwrite(fd, at)), 4);
    assert_string_equal(text, "This is to be read");
    std::memcpy(text, "what", 4);
    assert_int_equal(outcome(l, none, none.pread(fd, 0)), -1);
    assert_int_equal(none.q.error, EIO);
    assert_int_equal(ef_seek(fd, at, SEEK_SET), at);
    char b[18];
    while (ef_read(fd, b, 18) < 0) core::wait(fd, EF_READ);
    assert_memory_equal(b, text, 18);
    l.close(fd);
  });
}

// Of files whose length the kernel does not tell, all of it, however it is read.
void files_without_a_length_are_read_to_their_end(void **) {
  for (const char *path : {"/proc/kallsyms", "/proc/filesystems", "/proc/self/limits"}) {
    const std::string all = core::contents(path);
    if (all == "(no file)" || all.empty()) continue;
    requests::on_each_engine([&](loop &l) {
      for (int cache : {EF_CACHE_NORMAL, EF_CACHE_STREAMING, EF_CACHE_DIRECT}) {
        ef_file_options o{};
        o.cache = cache;
        const int fd = l.open(path, O_RDONLY, o);
        struct stat st;
        assert_int_equal(ef_fstat(fd, &st), 0);
        assert_int_equal(st.st_size, 0);
        const std::size_t most = std::min<std::size_t>(all.size(), 1 << 20);
        std::string got, b(30000, 0);
        for (ssize_t r = 1; r != 0 && got.size() < most;) {
          r = ef_read(fd, b.data(), b.size());
          if (r < 0) core::wait(fd, EF_READ);
          if (r > 0) got.append(b, 0, static_cast<std::size_t>(r));
        }
        assert_true(got.size() >= most && got == all.substr(0, got.size()));
        one r(all.size() / 2 + 100);
        const ssize_t n = outcome(l, r, r.pread(fd, static_cast<off_t>(all.size() / 2)));
        assert_int_equal(n, all.size() - all.size() / 2);
        assert_true(r.bytes.substr(0, static_cast<std::size_t>(n)) == all.substr(all.size() / 2));
        l.close(fd);
      }
    });
  }
}

void what_is_no_file_is_told_by_its_path(void **) {
  if (core::on_fuse(dir)) skip();
  const int s = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string path = in("s");
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  assert_int_equal(::bind(s, reinterpret_cast<sockaddr *>(&name), sizeof name), 0);
  assert_int_equal(::mkfifo(in("fifo").c_str(), 0600), 0);
  with_a_loop([&](loop &l) {
    for (int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
      assert_int_equal(opened(l, path, flags), -ENXIO);
      assert_int_equal(opened(l, dir, flags), -EISDIR);
    }
    assert_int_equal(opened(l, dir, O_WRONLY | O_CREAT), -EISDIR);
    assert_int_equal(opened(l, in("fifo"), O_WRONLY), -ENXIO);
    assert_int_equal(opened(l, in("fifo"), O_RDONLY), -ESPIPE);
    assert_int_equal(opened(l, in("fifo"), O_RDWR), -ESPIPE);
    assert_int_equal(opened(l, "/proc/self/fd/" + std::to_string(s), O_RDONLY), -ENXIO);
  });
  ::close(s);
}

// The reader goes: EPIPE, told and kept, and no signal.
void a_pipe_that_loses_its_reader_is_told(void **) {
  with_a_loop([](loop &l) {
    const std::string path = in("pipe"), most(200000, 'p');
    assert_int_equal(::mkfifo(path.c_str(), 0600), 0);
    const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC), fd = l.open(path, O_WRONLY);
    core::write(fd, most); // more than it holds
    char b[1000];
    while (::read(reader, b, sizeof b) < 0) ::usleep(1000);
    ::close(reader);
    l.until([&] { return !l.others.empty(); });
    assert_int_equal(l.others.back().events, EF_ERROR);
    assert_int_equal(l.others.back().error, EPIPE);
    FAILS_WITH(ef_write(fd, b, 1), EPIPE);
    const ef_file_counters c = core::stats(fd);
    assert_int_equal(c.written + c.lost, most.size());
    FAILS_WITH(ef_close(fd), EPIPE);
  });
}

// ---- Terminals

struct terminal {
  int main = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  terminal() { assert_true(main >= 0 && ::grantpt(main) == 0 && ::unlockpt(main) == 0); }
  ~terminal() {
    if (main >= 0) ::close(main);
  }
  terminal(const terminal &) = delete;
  terminal &operator=(const terminal &) = delete;
};

void a_terminal_is_written_by_its_path_and_not_read(void **) {
  with_a_loop([](loop &l) {
    const terminal t;
    assert_int_equal(opened(l, ::ptsname(t.main), O_RDONLY), -ESPIPE);
    assert_int_equal(opened(l, ::ptsname(t.main), O_RDWR), -ESPIPE);
    const int fd = l.open(::ptsname(t.main), O_WRONLY);
    const std::string all(300000, 't'); // many times what it holds: it is written as it is read
    std::string got;
    std::thread reader([&] {
      char b[4096];
      for (ssize_t n; got.size() < all.size() && (n = ::read(t.main, b, sizeof b)) > 0;) got.append(b, n);
    });
    core::write(fd, all);
    l.close(fd);
    reader.join();
    assert_true(got == all);
  });
}

void a_terminal_that_is_stopped_waits_and_one_that_is_gone_is_told(void **) {
  with_a_loop([](loop &l) {
    const terminal t;
    const int fd = l.open(::ptsname(t.main), O_WRONLY), own = ::open(::ptsname(t.main), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_int_equal(::tcflow(own, TCOOFF), 0);
    core::write(fd, "later");
    assert_int_equal(ef_flush(fd), 0);
    assert_int_equal(ef_wait(fd, EF_SYNC, 100), 0);
    assert_int_equal(::tcflow(own, TCOON), 0);
    assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
    char b[8] = "";
    assert_int_equal(::read(t.main, b, sizeof b), 5);
    assert_string_equal(b, "later");
    ::close(own);
    ::close(t.main);
    const_cast<terminal &>(t).main = -1;
    core::write(fd, "for nobody");
    FAILS_WITH(ef_wait(fd, EF_SYNC, core::patience_ms), EIO);
    FAILS_WITH(ef_close(fd), EIO);
  });
}

// ---- Flags

void flags_that_cannot_be_are_refused_at_once(void **) {
  with_a_loop([](loop &l) {
    core::put(in("plain"), "text");
    for (int flags : {O_PATH, O_PATH | O_CLOEXEC, O_DIRECT, O_DIRECTORY, O_ACCMODE, 1 << 30, 1 << 28, INT_MIN, -1})
      FAILS_WITH(ef_openat(l.port, AT_FDCWD, in("plain").c_str(), flags, 0, nullptr), EINVAL);
    const int fd = ::open(in("plain").c_str(), O_PATH | O_CLOEXEC);
    FAILS_WITH(ef_fdopen(l.port, fd, nullptr), EBADF);
    ::close(fd);
    const int direct = ::open(in("plain").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (direct >= 0) FAILS_WITH(ef_fdopen(l.port, direct, nullptr), EINVAL);
    if (direct >= 0) ::close(direct);
  });
}

void a_file_without_a_name_is_written_and_read(void **) {
  const int plain = ::open(dir.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  if (plain < 0) skip(); // not on every file system
  ::close(plain);
  requests::on_each_engine([](loop &l) {
    const std::string all = core::pattern(300000);
    const int fd = l.open(dir, O_RDWR | O_TMPFILE);
    core::write(fd, all);
    assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
    assert_int_equal(ef_seek(fd, 0, SEEK_SET), 0);
    assert_true(core::read_all(fd) == all);
    FAILS_WITH(ef_reopen(fd), EINVAL);
    l.close(fd);
    assert_int_equal(opened(l, dir, O_RDONLY | O_TMPFILE), -EINVAL); // as open(2): there would be nothing to do
    assert_int_equal(opened(l, in("none"), O_RDWR | O_TMPFILE), -ENOENT);
  });
}

} // namespace

int main() {
  faulty::install_for_requests();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(names_may_hold_any_byte),
      cmocka_unit_test(lengths_of_paths_are_the_kernel_s),
      cmocka_unit_test(links_lead_where_open_would_go),
      cmocka_unit_test(a_link_that_is_swapped_gives_one_file_or_the_other),
      cmocka_unit_test(endless_devices_are_read_and_written),
      cmocka_unit_test(a_device_without_room_is_a_full_disk),
      cmocka_unit_test(the_memory_of_the_process_is_a_file),
      cmocka_unit_test(files_without_a_length_are_read_to_their_end),
      cmocka_unit_test(what_is_no_file_is_told_by_its_path),
      cmocka_unit_test(a_pipe_that_loses_its_reader_is_told),
      cmocka_unit_test(a_terminal_is_written_by_its_path_and_not_read),
      cmocka_unit_test(a_terminal_that_is_stopped_waits_and_one_that_is_gone_is_told),
      cmocka_unit_test(flags_that_cannot_be_are_refused_at_once),
      cmocka_unit_test(a_file_without_a_name_is_written_and_read),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
