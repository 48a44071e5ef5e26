// SPDX-License-Identifier: BSD-2-Clause
// What a host does around the calls: ends while files are open, starts other programs, opens and closes the library
// while it runs, closes a file from its own callback.
#include "requests.hh"

#include <dlfcn.h>
#include <spawn.h>

namespace {

std::string dir;
std::atomic<int (*)()> at_the_end{nullptr}; // of a child

// Registered before the library's own handler, so it runs behind it.
void after_the_library() {
  int (*const f)() = at_the_end.load(std::memory_order_relaxed);
  const int result = f ? f() : 0;
  if (result) ::_exit(result);
}

// ---- From inside a notify function

struct chain {
  ef_port *port = nullptr;
  std::atomic<int> closed{0}, wrong{0};
  ef_request request{};
  char b[5000];
  void open_next() {
    const int fd = ef_openat(port, AT_FDCWD, (dir + "/chain").c_str(), O_RDONLY, 0, nullptr);
    const int now = fd < 0 ? -1 : ef_watch(fd, EF_READ, this);
    if (now < 0) ++wrong;
    if (now > 0) hear({fd, EF_READ, 0, this}); // it is true already: nothing was armed
  }
  // Every call that it may make, on the file of the event; then the file is closed under its own event.
  void hear(const ef_event &e) {
    struct stat st;
    if (e.events & EF_CLOSE) {
      ++closed;
      return open_next();
    }
    if (!(e.events & EF_READ)) return;
    const ssize_t r = ef_read(e.fd, b, sizeof b);
    if (r < 0 && errno == EAGAIN) return;
    if (r <= 0 || ef_fstat(e.fd, &st) != 0 || ef_ready(e.fd) < 0 || ef_port_of(e.fd) != port) ++wrong;
    if (ef_watch(e.fd, 0, nullptr) != 0 || ef_watch(e.fd, EF_CLOSE, this) != 0) ++wrong;
    if (ef_close(e.fd) != 0) ++wrong;
  }
};

void a_notify_function_closes_its_own_file(void **) {
  core::put(dir + "/chain", core::pattern(100000));
  ef_port_options o{};
  chain c;
  o.size = sizeof o;
  o.arg = &c;
  o.notify = [](void *arg, const ef_event *e, int n) {
    for (int i = 0; i < n; ++i) static_cast<chain *>(arg)->hear(e[i]);
  };
  c.port = ef_port_new(&o);
  faulty::now.nowait_miss = 512;
  c.open_next();
  for (int ms = 0; c.closed < 300 && ms < core::patience_ms; ++ms) ::usleep(1000);
  assert_true(c.closed >= 300);
  assert_int_equal(c.wrong, 0);
  assert_int_equal(ef_port_notify(c.port, nullptr, nullptr), 0); // it stops here: no file is opened anew
  faulty::heal();
  assert_int_equal(ef_port_abandon(c.port), 0);
}

// ---- The beginning and the end of the process

int calls_behind_the_end() {
  const std::string path = dir + "/late";
  const int fd = ef_open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || ef_write(fd, "late", 4) != 4) return 2;
  if (core::wait_for(fd, EF_SYNC) != EF_SYNC) return 3;
  char b[8];
  if (ef_seek(fd, 0, SEEK_SET) != 0) return 4;
  for (ssize_t r; (r = ef_read(fd, b, sizeof b)) != 4;)
    if (r >= 0 || errno != EAGAIN || core::wait_for(fd, EF_READ) <= 0) return 5;
  if (ef_close(fd) != 0 || core::drain(nullptr) != 0) return 6;
  return core::contents(path) == "late" ? 0 : 7;
}

void calls_behind_the_library_s_end_work(void **) {
  assert_int_equal(core::in_child([]() -> int {
                     at_the_end.store(calls_behind_the_end, std::memory_order_relaxed);
                     const int fd = ef_open((dir + "/early").c_str(), O_WRONLY | O_CREAT, 0600);
                     if (fd < 0 || ef_write(fd, "early", 5) != 5) return 1;
                     std::exit(0);
                   }),
                   0);
  assert_string_equal(core::contents(dir + "/early").c_str(), "early");
}

void the_first_call_may_be_any(void **) {
  int (*const firsts[])() = {
      [] { return ef_crash_flush(0) == 0 ? 0 : 1; },
      [] { return ef_drain(nullptr, 0) == 0 ? 0 : 1; },
      [] { return ef_port_fd(nullptr) >= 0 ? 0 : 1; },
      [] { return ef_close(0) == -1 && errno == EBADF ? 0 : 1; },
      [] { return ef_write(3, "x", 1) == -1 && errno == EBADF ? 0 : 1; },
      [] { return ef_port_submit(nullptr) == 0 && ef_port_pending(nullptr) == 0 ? 0 : 1; },
      [] {
        ef_request r{};
        return ef_cancel(&r) == -1 && errno == ENOENT && ef_cancel_wait(&r) == -1 && errno == ENOENT ? 0 : 1;
      },
  };
  for (auto *first : firsts) assert_int_equal(core::in_child(first), 0);
}

// ---- Other programs

void another_program_inherits_nothing(void **) {
  for (int engine : requests::engines) {
    ef_port *p = core::port_with(engine);
    assert_true(ef_port_fd(p) >= 0);
    ef_event e;
    assert_int_equal(ef_port_next(p, &e, 1), 0);
    ef_file_options o{};
    o.cache = EF_CACHE_DIRECT;
    core::put(dir + "/in", core::pattern(100000));
    const int log = core::open(dir + "/program", O_WRONLY | O_CREAT | O_TRUNC, {}, p),
              in = core::open(dir + "/in", O_RDONLY, o, p);
    std::string all;
    for (int i = 0; i < 5; ++i) {
      const std::string line = "line " + std::to_string(i) + "\n", list = dir + "/list";
      core::write(log, line);
      all += line;
      char b[5000];
      (void)!ef_read(in, b, sizeof b);
      const std::string command = "ls -l /proc/self/fd >" + list;
      const char *const arguments[] = {"sh", "-c", command.c_str(), nullptr};
      pid_t pid; // made by vfork, or by what does the same
      assert_int_equal(::posix_spawn(&pid, "/bin/sh", nullptr, nullptr, const_cast<char *const *>(arguments), environ),
                       0);
      int status = -1;
      assert_int_equal(::waitpid(pid, &status, 0), pid);
      assert_int_equal(status, 0);
      const std::string seen = core::contents(list);
      assert_true(seen.find(" -> ") != std::string::npos);
      for (const char *ours : {"eventfd", "io_uring", "/program", "/in\n"})
        assert_true(seen.find(ours) == std::string::npos);
    }
    core::close(log, p);
    core::close(in, p);
    assert_int_equal(ef_port_free(p), 0);
    assert_true(core::contents(dir + "/program") == all);
  }
}

// ---- The library comes and goes

std::string own_directory() {
  char self[PATH_MAX] = {};
  assert_true(::readlink("/proc/self/exe", self, sizeof self - 1) > 0);
  return std::string(self).substr(0, std::string(self).rfind('/'));
}

void a_library_that_is_closed_stays_and_writes(void **) {
  const std::string library = own_directory() + "/../libefio.so";
  if (::access(library.c_str(), R_OK) != 0) skip();
  const int status = core::in_child([&]() -> int {
    std::string all;
    for (int i = 0; i < 3; ++i) {
      void *l = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (!l) return std::printf("  %s\n", ::dlerror()), 1;
      auto *const open = reinterpret_cast<decltype(&ef_open)>(::dlsym(l, "ef_open"));
      auto *const write = reinterpret_cast<decltype(&ef_write)>(::dlsym(l, "ef_write"));
      if (!open || !write || open == ef_open) return 2;
      const int fd = open((dir + "/loaded").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      if (fd < 0 || write(fd, "line\n", 5) != 5) return 3;
      if (::dlclose(l) != 0) return 4; // its threads go on
    }
    std::exit(0); // and its exit handler is there
  });
  assert_int_equal(status, 0);
  assert_string_equal(core::contents(dir + "/loaded").c_str(), "line\nline\nline\n");
}

} // namespace

int main() {
  std::atexit(after_the_library);
  faulty::install_for_requests();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_first_call_may_be_any), // first: its children start without a library in use
      cmocka_unit_test(calls_behind_the_library_s_end_work),
      cmocka_unit_test(a_library_that_is_closed_stays_and_writes),
      cmocka_unit_test(a_notify_function_closes_its_own_file),
      cmocka_unit_test(another_program_inherits_nothing),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed && !core::on_fuse(dir)) core::remove(dir); // there what is still open would stay
  return failed;
}
