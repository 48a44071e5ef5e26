// SPDX-License-Identifier: BSD-2-Clause
// What a host does around the calls: cancels threads in them, ends while files are open, starts other programs, opens
// the library while it runs, closes what another thread waits for, calls back from its callback.
#include "requests.hh"

#include <dlfcn.h>
#include <spawn.h>

namespace {

using requests::loop;
using stress::require;

std::string dir;
std::atomic<int (*)()> at_the_end{nullptr}; // of a child

// Registered before the library's own handler, so it runs behind it.
void after_the_library() {
  int (*const f)() = at_the_end.load(std::memory_order_relaxed);
  const int result = f ? f() : 0;
  if (result) ::_exit(result);
}

ef_port *port_with(int engine) {
  ef_port_options o{};
  o.size = sizeof o;
  o.engine = engine;
  return ef_port_new(&o);
}

// ---- Cancellation

struct cancelled_thread {
  int engine;
  std::atomic<bool> pending{false};
  bool through = false;
};

int under_way = -1;
void take_events(ef_port *p, const ef_request &r) {
  ef_event e[8];
  while (r.error == EINPROGRESS) require(ef_port_next(p, e, 8) >= 0, "ef_port_next");
}

// Each call that may enter the kernel, while the thread's end is asked for already.
void *call_everything(void *arg) {
  auto &self = *static_cast<cancelled_thread *>(arg);
  while (!self.pending.load(std::memory_order_acquire)) {} // nothing that would end it here
  ef_port *p = port_with(self.engine);
  require(p && ef_port_fd(p) >= 0, "a port");
  ef_file_options o{};
  o.size = sizeof o;
  const std::string path = dir + "/cancelled";
  const int fd = ef_openat(p, AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600, &o);
  require(fd >= 0 && ef_wait(fd, EF_OPEN, core::patience_ms) == EF_OPEN, "ef_openat");
  char b[8192] = "text";
  require(ef_write(fd, b, sizeof b) == sizeof b && ef_flush(fd) == 0 && ef_sync(fd) == 0, "ef_write");
  require(ef_wait(fd, EF_SYNC, core::patience_ms) == EF_SYNC, "ef_wait");
  require(ef_seek(fd, 0, SEEK_SET) == 0, "ef_seek");
  for (ssize_t r; (r = ef_read(fd, b, sizeof b)) != 0;)
    require(r > 0 || (errno == EAGAIN && ef_wait(fd, EF_READ, core::patience_ms) > 0), "ef_read");
  ef_request read{}, write{};
  read.error = write.error = EINPROGRESS;
  if (ef_pread(fd, b, sizeof b, 0, &read) < 0) take_events(p, read);
  if (ef_pwrite(fd, b, sizeof b, 8192, &write) < 0) take_events(p, write);
  require(write.result == sizeof b, "ef_pwrite");
  struct stat st;
  require(ef_fstat(fd, &st) == 0 && ef_port_submit(p) >= 0, "ef_fstat");
  require(ef_watch(fd, EF_CLOSE, nullptr) == 0 && ef_close(fd) == 0, "ef_close");
  require(ef_drain(p, core::patience_ms) == 0 && ef_crash_flush(0) == 0, "ef_drain");
  ef_event e;
  require(ef_port_next(p, &e, 1) == 1 && e.events == EF_CLOSE, "EF_CLOSE");
  require(ef_port_free(p) == 0, "ef_port_free");
  self.through = true;
  for (;;) ::pause();
}

void no_call_is_a_cancellation_point(void **) {
  for (int engine : requests::engines) {
    cancelled_thread t;
    t.engine = engine;
    pthread_t id;
    assert_int_equal(pthread_create(&id, nullptr, call_everything, &t), 0);
    assert_int_equal(pthread_cancel(id), 0);
    t.pending.store(true, std::memory_order_release);
    void *how = nullptr;
    assert_int_equal(pthread_join(id, &how), 0);
    assert_ptr_equal(how, PTHREAD_CANCELED);
    assert_true(t.through);
    assert_int_equal(core::contents(dir + "/cancelled").size(), 16384);
  }
}

void *wait_in_vain(void *) {
  const int r = ef_wait(under_way, EF_WRITE, 200);
  require(r == 0, "time was up, not sooner");
  for (;;) ::pause();
}

// A pipe that is full, and nobody reads it.
int full_pipe(int *reader) {
  int ends[2];
  assert_int_equal(::pipe2(ends, O_CLOEXEC), 0);
  *reader = ends[0];
  ef_file_options o{};
  o.size = sizeof o;
  o.write_buffer_max = 128 << 10;
  const int fd = ef_fdopen(nullptr, ends[1], &o);
  core::wait(fd, EF_OPEN);
  const std::string all(50000, 'x');
  do {
    while (ef_write(fd, all.data(), all.size()) > 0) {}
  } while (ef_wait(fd, EF_WRITE, 50) != 0);
  return fd;
}

std::atomic<int> woken{0};

void *call_with_a_wake(void *arg) {
  auto &self = *static_cast<cancelled_thread *>(arg);
  while (!self.pending.load(std::memory_order_acquire)) {}
  ef_port_options o{};
  o.size = sizeof o;
  o.wake = [](void *) {
    const int out = ::open("/dev/null", O_WRONLY | O_CLOEXEC); // cancellation points
    woken += ::write(out, "x", 1) == 1;
    ::close(out);
  };
  ef_port *p = ef_port_new(&o);
  const int fd = ef_openat(p, AT_FDCWD, (dir + "/none/such").c_str(), O_RDONLY, 0, nullptr);
  require(fd >= 0 && ef_wait(fd, EF_OPEN, core::patience_ms) == EF_OPEN, "ef_openat");
  struct stat st;
  require(ef_fstat(fd, &st) == -1 && errno == ENOENT, "ef_fstat");
  require(ef_watch(fd, EF_CLOSE, nullptr) == 0 && ef_close(fd) == -1 && ef_drain(p, core::patience_ms) == 0,
          "EF_CLOSE");
  ef_event e;
  require(ef_port_wake(p, o.wake, nullptr) == 0, "ef_port_wake calls it: an event waits");
  require(ef_port_next(p, &e, 1) == 1 && ef_port_free(p) == 0, "the event");
  self.through = true;
  for (;;) ::pause();
}

void a_callback_inside_a_call_is_none_either(void **) {
  cancelled_thread t;
  pthread_t id;
  assert_int_equal(pthread_create(&id, nullptr, call_with_a_wake, &t), 0);
  assert_int_equal(pthread_cancel(id), 0);
  t.pending.store(true, std::memory_order_release);
  assert_int_equal(pthread_join(id, nullptr), 0);
  assert_true(t.through && woken >= 2);
}

void a_wait_is_not_cut_short_by_a_cancel(void **) {
  int reader;
  under_way = full_pipe(&reader);
  pthread_t id;
  assert_int_equal(pthread_create(&id, nullptr, wait_in_vain, nullptr), 0);
  ::usleep(20000);
  pthread_cancel(id);
  assert_int_equal(pthread_join(id, nullptr), 0);
  ::close(reader);
  ef_close(under_way);
  assert_int_equal(core::drain(nullptr), 0);
}

// ---- Closing what others use

// Each waits for something that does not come; the close is what ends it.
void a_close_ends_the_waits_of_other_threads(void **) {
  for (int round = 0; round < 30; ++round) {
    int reader;
    const int fd = full_pipe(&reader);
    std::vector<std::thread> all;
    std::atomic<int> begun{0};
    for (unsigned bits : {EF_WRITE, EF_SYNC})
      all.emplace_back([&, bits] {
        ++begun;
        const int r = ef_wait(fd, bits, -1);
        require(r == -1 && (errno == EBADF || errno == EPIPE), "EBADF ends a wait");
      });
    while (begun < 2) ::sched_yield();
    ::usleep(static_cast<unsigned>(round % 3) * 1000);
    assert_int_equal(ef_close(fd), 0);
    for (std::thread &t : all) t.join();
    ::close(reader);
  }
  assert_int_equal(core::drain(nullptr), 0);
}

void a_close_in_the_middle_of_reads_answers_ebadf(void **) {
  const std::string all = core::pattern(300000);
  core::put(dir + "/read", all);
  faulty::now.nowait_miss = 300;
  for (int round = 0; round < 200; ++round) {
    const int fd = core::open(dir + "/read", O_RDONLY);
    std::thread other([&] {
      std::vector<char> b(20000);
      for (std::size_t at = 0;;) {
        const ssize_t r = ef_read(fd, b.data(), b.size());
        if (r < 0 && errno == EBADF) return;
        if (r < 0 && errno == EAGAIN && ef_wait(fd, EF_READ, core::patience_ms) < 0) return;
        require(r >= 0 || errno == EAGAIN, "bytes, EAGAIN or EBADF");
        if (r < 0) continue;
        require(std::memcmp(b.data(), all.data() + at, static_cast<std::size_t>(r)) == 0, "the bytes of the file");
        at = r == 0 ? 0 : at + static_cast<std::size_t>(r);
        if (r == 0) ef_seek(fd, 0, SEEK_SET);
      }
    });
    ::usleep(static_cast<unsigned>(round * 37 % 2000));
    assert_int_equal(ef_close(fd), 0);
    FAILS_WITH(ef_close(fd), EBADF);
    other.join();
  }
  faulty::heal();
  assert_int_equal(core::drain(nullptr), 0);
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
    ef_port *p = port_with(engine);
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
      cmocka_unit_test(no_call_is_a_cancellation_point),
      cmocka_unit_test(a_callback_inside_a_call_is_none_either),
      cmocka_unit_test(a_wait_is_not_cut_short_by_a_cancel),
      cmocka_unit_test(a_close_ends_the_waits_of_other_threads),
      cmocka_unit_test(a_close_in_the_middle_of_reads_answers_ebadf),
      cmocka_unit_test(a_notify_function_closes_its_own_file),
      cmocka_unit_test(another_program_inherits_nothing),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
