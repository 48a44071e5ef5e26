// SPDX-License-Identifier: BSD-2-Clause
// Log rotation by length, by age, by the host and by logrotate(8): names, limits, failures.
#include "stress.hh"

#include <csignal>

#include "own_port.hh"

#include <sstream>
#include <thread>

namespace {

using core::expect;
using core::port;

std::string dir, log_path;
std::atomic<int> rename_error;

int start_test(void **state) {
  rename_error = 0;
  dir = core::directory();
  log_path = dir + "/log";
  return core::start_test(state);
}
int end_test(void **state) {
  const int failed = core::end_test(state);
  core::remove(dir);
  return failed;
}

int faulty_rename(int at, const char *from, const char *to, bool replace) {
  return rename_error ? -rename_error.load() : ef::sys_kernel.rename(at, from, to, replace);
}

constexpr int log_flags = O_WRONLY | O_CREAT | O_APPEND;
int open_log(ef_file_options o, int flags = log_flags) {
  o.flush_interval_ms = 5;
  const int fd = core::open(log_path, flags, o, port);
  core::wait(fd, EF_OPEN);
  return fd;
}
ef_file_options by_length(std::uint64_t bytes, unsigned keep = 0) {
  ef_file_options o{};
  o.rotate_bytes = bytes;
  o.rotate_keep = keep;
  return o;
}
std::string kept(int n) { return core::contents(log_path + "." + std::to_string(n)); }
void expect_written(int fd) {
  assert_int_equal(ef_flush(fd), 0);
  while (core::stats(fd).written < core::stats(fd).accepted) ::usleep(500);
}
std::string letter(int i, std::size_t n) { return std::string(n, static_cast<char>('a' + i)); }

void the_last_ones_are_kept_under_numbers(void **) {
  for (int flags : {log_flags, O_WRONLY | O_CREAT | O_TRUNC}) {
    const int fd = open_log(by_length(100, 3), flags);
    for (int i = 0; i < 14; ++i) core::write(fd, letter(i, 40)); // two in a file
    core::close(fd, port);
    assert_true(core::contents(log_path) == letter(12, 40) + letter(13, 40));
    for (int n = 1; n <= 3; ++n) assert_true(kept(n) == letter(12 - 2 * n, 40) + letter(13 - 2 * n, 40));
    assert_true(kept(4) == "(no file)");
    assert_int_equal(::unlink(log_path.c_str()), 0);
  }
}

void a_call_longer_than_a_file_has_one_to_itself(void **) {
  for (int flags : {log_flags, O_WRONLY | O_CREAT | O_TRUNC}) {
    const int fd = open_log(by_length(1000, 9), flags);
    core::write(fd, letter(0, 10));
    assert_int_equal(ef_write(fd, letter(1, 300000).data(), 300000), 300000);
    core::write(fd, letter(2, 1000)); // as long as a file may be
    core::write(fd, letter(3, 1));
    core::close(fd, port);
    assert_true(kept(3) == letter(0, 10) && kept(2) == letter(1, 300000) && kept(1) == letter(2, 1000));
    assert_true(core::contents(log_path) == letter(3, 1));
    assert_int_equal(::unlink(log_path.c_str()), 0);
  }
}

// No file is longer than it may be, no line is cut, and over all files each thread's lines are in its order.
void in_the_order_of_threads_calls_stay_whole(void **) {
  for (int flags : {log_flags, O_WRONLY | O_CREAT | O_TRUNC})
    for (unsigned cut : {0u, 64u}) {
      constexpr std::uint64_t longest = 5000;
      constexpr int threads = 5, lines = 300;
      ef_file_options o = by_length(longest, 1000);
      o.order = EF_ORDER_THREAD;
      o.when_full = EF_FULL_WAIT;
      const int fd = open_log(o, flags);
      faulty::now.short_write = cut;
      std::vector<std::thread> writers;
      for (int t = 0; t < threads; ++t)
        writers.emplace_back([=] {
          for (int i = 0; i < lines; ++i) {
            std::string line = std::to_string(t) + " " + std::to_string(i) + " ";
            line.resize(20 + (t * 7 + i * 13) % 200, '.');
            line.back() = '\n';
            stress::require(ef_write(fd, line.data(), line.size()) > 0, "taken");
          }
        });
      for (std::thread &w : writers) w.join();
      core::close(fd, port);
      faulty::heal();
      int files = 1, next[threads] = {};
      while (kept(files) != "(no file)") ++files;
      for (int n = files - 1; n >= 0; --n) {
        std::istringstream in(n ? kept(n) : core::contents(log_path));
        assert_true(in.str().size() <= longest);
        for (std::string line; std::getline(in, line);) {
          assert_false(in.eof()); // each ends
          int t = -1, i = -1;
          assert_int_equal(std::sscanf(line.c_str(), "%d %d ", &t, &i), 2);
          assert_in_range(t, 0, threads - 1);
          assert_int_equal(i, next[t]++);
          assert_int_equal(line.size(), 20 + (t * 7 + i * 13) % 200 - 1);
        }
      }
      for (int n : next) assert_int_equal(n, lines);
      assert_true(files > 20);
      assert_int_equal(std::system(("rm " + log_path + "*").c_str()), 0);
    }
}

void a_file_that_is_long_already_is_rotated_first(void **) {
  core::put(log_path, letter(0, 500));
  const int fd = open_log(by_length(100));
  core::write(fd, "new");
  core::close(fd, port);
  assert_true(kept(1) == letter(0, 500) && core::contents(log_path) == "new");
}

struct namer {
  int error = 0;
  std::vector<std::string> asked;
  const char *name = nullptr;
};
int name_it(void *arg, const char *path, unsigned long count, char *to, std::size_t size) {
  auto *n = static_cast<namer *>(arg);
  n->asked.push_back(path + std::string(" ") + std::to_string(count));
  if (n->error) return n->error;
  std::snprintf(to, size, "%s-%s%lu", path, n->name ? n->name : "", n->name ? 0 : count);
  return 0;
}

void the_host_gives_the_names(void **) {
  namer names;
  ef_file_options o = by_length(10);
  o.rotate = name_it;
  o.rotate_arg = &names;
  const int fd = open_log(o);
  for (int i = 0; i < 4; ++i) core::write(fd, letter(i, 10));
  core::close(fd, port);
  assert_int_equal(names.asked.size(), 3);
  for (int i = 0; i < 3; ++i) {
    assert_true(names.asked[i] == log_path + " " + std::to_string(i + 1));
    assert_true(core::contents(log_path + "-" + std::to_string(i + 1)) == letter(i, 10));
  }
}

// The callback says no; the name is taken; the rename fails; the next file cannot be opened.
void what_fails_is_told_once_and_the_file_is_written_on(void **) {
  struct {
    int callback, rename, open, told;
    const char *name;
  } cases[] = {{EPERM, 0, 0, EPERM, nullptr},
               {0, 0, 0, EEXIST, "taken"},
               {0, EROFS, 0, EROFS, nullptr},
               {0, 0, EMFILE, EMFILE, nullptr}};
  for (auto &c : cases) {
    namer names;
    names.error = c.callback;
    names.name = c.name;
    core::put(log_path + "-taken0", "not to be lost");
    ef_file_options o = by_length(10);
    o.rotate = name_it;
    o.rotate_arg = &names;
    const int fd = open_log(o);
    rename_error = c.rename;
    faulty::now.open_errno = c.open;
    for (int i = 0; i < 4; ++i) {
      core::write(fd, letter(i, 10));
      expect_written(fd);
    }
    assert_int_equal(expect(EF_ERROR).error, c.told);
    assert_true(core::nothing_more(port));
    assert_int_equal(core::stats(fd).error, 0);
    const std::string all = letter(0, 10) + letter(1, 10) + letter(2, 10) + letter(3, 10);
    assert_true(core::contents(c.open ? log_path + "-1" : log_path) == all);
    assert_true(core::contents(log_path + "-taken0") == "not to be lost");
    rename_error = names.error = 0;
    names.name = nullptr;
    faulty::heal();
    std::string after; // it is tried again after a second
    do {
      core::write(fd, letter(5, 10));
      expect_written(fd);
      after = core::contents(log_path + "-1");
      ::usleep(20000);
    } while (::access(log_path.c_str(), F_OK) != 0 || after == "(no file)");
    core::close(fd, port);
    assert_true(after.compare(0, 40, all) == 0);
    assert_int_equal(std::system(("rm " + log_path + "*").c_str()), 0);
  }
}

void an_old_file_is_rotated_by_the_next_write(void **) {
  ef_file_options o{};
  o.rotate_seconds = 1;
  const int fd = open_log(o);
  core::write(fd, "old");
  expect_written(fd);
  assert_true(kept(1) == "(no file)");
  do {
    ::usleep(50000);
    core::write(fd, "x");
    expect_written(fd);
  } while (kept(1) == "(no file)");
  core::close(fd, port);
  assert_true(kept(1).compare(0, 3, "old") == 0);
  assert_true(kept(2) == "(no file)" && core::contents(log_path)[0] == 'x');
}

// Somebody else renames it; we follow without renaming what he made.
void what_another_process_rotated_is_followed(void **) {
  const int fd = open_log(by_length(20));
  core::write(fd, letter(0, 20));
  expect_written(fd);
  assert_int_equal(::rename(log_path.c_str(), (log_path + ".theirs").c_str()), 0);
  core::put(log_path, "head ");
  core::write(fd, "new");
  core::close(fd, port);
  assert_true(core::contents(log_path + ".theirs") == letter(0, 20));
  assert_true(core::contents(log_path) == "head new" && kept(1) == "(no file)");
}

void a_sync_covers_the_files_that_were_rotated_away(void **) {
  const int fd = open_log(by_length(100, 20));
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10; ++i) core::write(fd, letter(i, 40));
    core::wait(fd, EF_SYNC);
    assert_int_equal(core::stats(fd).synced, core::stats(fd).accepted);
  }
  assert_true(core::stats(fd).syncs > 10); // each file, from the first request on
  core::close(fd, port);
}

void what_cannot_be_rotated_is_refused(void **) {
  ef_file_options o = by_length(100);
  o.size = sizeof o;
  FAILS_WITH(ef_openat(port, AT_FDCWD, log_path.c_str(), O_RDWR | O_CREAT, 0644, &o), EINVAL);
  FAILS_WITH(ef_openat(port, AT_FDCWD, dir.c_str(), O_WRONLY | O_TMPFILE, 0644, &o), EINVAL);
  FAILS_WITH(ef_fdopen(port, 1, &o), EINVAL);
  o.rotate_keep = 1001;
  FAILS_WITH(ef_openat(port, AT_FDCWD, log_path.c_str(), O_WRONLY | O_CREAT, 0644, &o), EINVAL);
  const int fd = open_log(by_length(100), O_WRONLY | O_CREAT);
  FAILS_WITH(ef_seek(fd, 0, SEEK_SET), ESPIPE);
  core::close(fd, port);
}

// ---- Other programs' ways

// What is lost in copytruncate is lost by its race, between the copy and the cut; but there are no holes.
void copying_and_truncating_leaves_no_hole(void **) {
  const int fd = open_log({});
  for (int i = 0; i < 5; ++i) {
    core::write(fd, letter(i, 100000));
    expect_written(fd);
    core::put(log_path + ".copy", core::contents(log_path));
    assert_true(core::contents(log_path + ".copy") == letter(i, 100000));
    assert_int_equal(::truncate(log_path.c_str(), 0), 0);
  }
  core::write(fd, "end");
  core::close(fd, port);
  assert_true(core::contents(log_path) == "end");
}

const char *logrotate() {
  if (const char *given = std::getenv("EFIO_LOGROTATE")) return given;
  for (const char *p : {"/usr/sbin/logrotate", "/usr/bin/logrotate"})
    if (::access(p, X_OK) == 0) return p;
  return nullptr;
}
std::atomic<int> signalled;
void on_signal(int) { signalled = 1; }

void logrotate_with(const char *how, bool reopen) {
  if (!logrotate()) {
    std::printf("  there is no logrotate (or EFIO_LOGROTATE): skipped\n");
    skip();
  }
  const std::string conf = dir + "/conf", own = std::to_string(::getpid());
  core::put(conf, log_path + " {\n rotate 9\n missingok\n" + how + "\n" +
                      (reopen ? " postrotate\n kill -USR1 " + own + "\n endscript\n" : "") + "}\n");
  ::chmod(conf.c_str(), 0644);
  ::signal(SIGUSR1, on_signal);
  const int fd = open_log({});
  std::string all;
  for (int i = 0; i < 6; ++i) {
    core::write(fd, letter(i, 3000));
    all += letter(i, 3000);
    expect_written(fd);
    signalled = 0;
    const std::string command = std::string(logrotate()) + " -f -s " + dir + "/state " + conf;
    assert_int_equal(std::system(command.c_str()), 0);
    assert_int_equal(signalled, reopen);
    if (!reopen) continue;
    core::write(fd, "|"); // still the old one's
    assert_int_equal(ef_reopen(fd), 0);
    core::wait(fd, EF_OPEN);
  }
  core::close(fd, port);
  for (int i = 0; i < 6; ++i) assert_true(kept(6 - i) == letter(i, 3000) + (reopen ? "|" : ""));
  assert_true(core::contents(log_path).empty());
}
void logrotate_that_makes_the_file(void **) { logrotate_with(" create 0644\n", true); }
void logrotate_that_leaves_it_to_us(void **) { logrotate_with(" nocreate\n", true); }
void logrotate_that_copies(void **) { logrotate_with(" copytruncate\n", false); }

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) { t.rename = faulty_rename; });
#define TEST(f) cmocka_unit_test_setup_teardown(f, start_test, end_test)
  const CMUnitTest tests[] = {
      TEST(the_last_ones_are_kept_under_numbers),
      TEST(a_call_longer_than_a_file_has_one_to_itself),
      TEST(in_the_order_of_threads_calls_stay_whole),
      TEST(a_file_that_is_long_already_is_rotated_first),
      TEST(the_host_gives_the_names),
      TEST(what_fails_is_told_once_and_the_file_is_written_on),
      TEST(an_old_file_is_rotated_by_the_next_write),
      TEST(what_another_process_rotated_is_followed),
      TEST(a_sync_covers_the_files_that_were_rotated_away),
      TEST(what_cannot_be_rotated_is_refused),
      TEST(copying_and_truncating_leaves_no_hole),
      TEST(logrotate_that_makes_the_file),
      TEST(logrotate_that_leaves_it_to_us),
      TEST(logrotate_that_copies),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
