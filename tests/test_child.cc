// SPDX-License-Identifier: BSD-2-Clause
// fork and exit: the child's handles are dead, nothing is written twice, what was accepted is written at exit.
#include "core.hh"

#include "limits.hh"

namespace {

std::string dir;

bool refuses(ssize_t r) { return r == -1 && errno == ECHILD; }

int child_of(int fd, int reader, ef_port *p) {
  char b[4];
  struct stat st;
  ef_event e;
  if (!refuses(ef_write(fd, "twice", 5))) return 1;
  if (!refuses(ef_read(reader, b, 4))) return 2;
  if (!refuses(ef_flush(fd)) || !refuses(ef_sync(fd)) || !refuses(ef_fstat(fd, &st))) return 3;
  if (!refuses(ef_close(fd)) || !refuses(ef_wait(fd, EF_WRITE, 0))) return 4;
  if (!refuses(ef_port_next(p, &e, 1)) || !refuses(ef_port_fd(p)) || !refuses(ef_port_free(p))) return 5;
  int own = ef_open((dir + "/child").c_str(), O_WRONLY | O_CREAT, 0644);
  if (own < 0 || own == fd || own == reader) return 6;
  if (ef_write(own, "the child's own", 15) != 15) return 7;
  if (!refuses(ef_write(fd, "twice", 5))) return 8;
  if (core::wait_for(own, EF_SYNC) != EF_SYNC) return 9;
  if (ef_close(own) != 0 || core::drain(nullptr) != 0) return 10;
  return 0;
}

void a_child_has_dead_handles_and_a_life_of_its_own(void **) {
#ifdef __SANITIZE_THREAD__
  skip(); // it does not allow threads in a child of a process with threads
#endif
  ef_port *p = ef_port_new(nullptr);
  core::put(dir + "/r", "text");
  for (bool orderly : {true, false}) {
    ef_file_options o{};
    o.flush_interval_ms = 3600000; // in the buffer while forking
    int fd = core::open(dir + "/parent", O_WRONLY | O_CREAT | O_TRUNC, o, p),
        r = core::open(dir + "/r", O_RDONLY, {}, p);
    core::wait(r, EF_OPEN);
    core::write(fd, "once");
    assert_int_equal(core::in_child([&] {
                       int result = child_of(fd, r, p);
                       if (orderly) std::exit(result);
                       return result;
                     }),
                     0);
    core::write(fd, " and for all");
    assert_true(core::read_all(r) == "text");
    core::close(r, p);
    core::close(fd, p);
    assert_string_equal(core::contents(dir + "/parent").c_str(), "once and for all");
    assert_string_equal(core::contents(dir + "/child").c_str(), "the child's own");
  }
  assert_int_equal(ef_port_free(p), 0);
}

void many_forks_under_load_write_nothing_twice(void **) {
  std::atomic<bool> stop{false};
  int fd = core::open(dir + "/load", O_WRONLY | O_CREAT);
  long lines = 0;
  std::thread writer([&] {
    char b[32];
    for (; !stop; ++lines) {
      int n = std::snprintf(b, sizeof b, "%ld\n", lines);
      while (ef_write(fd, b, static_cast<std::size_t>(n)) < 0) ef_wait(fd, EF_WRITE, core::patience_ms);
      if (lines % 64 == 0) ::usleep(100);
    }
  });
  for (int i = 0; i < 60; ++i)
    assert_int_equal(core::in_child([&] {
                       int r = refuses(ef_write(fd, "x", 1)) && refuses(ef_close(fd)) ? 0 : 1;
                       if (i % 2) std::exit(r);
                       return r;
                     }),
                     0);
  stop = true;
  writer.join();
  core::close(fd);
  std::string want;
  for (long i = 0; i < lines; ++i) want += std::to_string(i) + "\n";
  assert_true(core::contents(dir + "/load") == want);
}

void exit_writes_what_was_accepted(void **) {
  for (int i = 0; i < 20; ++i) {
    std::string path = dir + "/exit", all = core::pattern(3000000, static_cast<unsigned>(i));
    ::unlink(path.c_str());
    const auto began = std::chrono::steady_clock::now();
    assert_int_equal(core::in_child([&]() -> int {
                       int fd = core::open(path, O_WRONLY | O_CREAT);
                       core::write(fd, all);
                       std::exit(0); // no close, no drain
                     }),
                     0);
    // The exit waits for a second at most, which is short for a file system that is a busy program.
    const bool in_time =
        std::chrono::steady_clock::now() - began < std::chrono::milliseconds(ef::limits::exit_drain_ms);
    const std::string there = core::contents(path);
    assert_true(there == all || (!in_time && all.starts_with(there)));
  }
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(exit_writes_what_was_accepted), // first: its children start without a library in use
      cmocka_unit_test(a_child_has_dead_handles_and_a_life_of_its_own),
      cmocka_unit_test(many_forks_under_load_write_nothing_twice),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
