// SPDX-License-Identifier: BSD-2-Clause
// Nothing is there: each call of the library for memory, a thread or a descriptor fails, once or from then on. That is
// told, what was accepted is written all the same, and afterwards everything works. The linker leads these calls here.
#include "faulty.hh"

#include "core.hh"

#include <sys/mman.h>

#include <new>

namespace {

// Calls up to the one that fails, 0: none does. Behind it all fail, or none.
std::atomic<long> calls_left{0};
std::atomic<bool> for_ever{false};
std::atomic<long> failed{0};

bool runs_out() {
  long n = calls_left.load();
  while (n > 1 || (n == 1 && !for_ever))
    if (calls_left.compare_exchange_weak(n, n - 1)) break;
  if (n == 1) ++failed;
  return n == 1;
}

} // namespace

#define LED_HERE(result, name, parameters, arguments, failure, error)                                                  \
  extern "C" result __real_##name parameters;                                                                          \
  extern "C" result __wrap_##name parameters {                                                                         \
    if (!runs_out()) return __real_##name arguments;                                                                   \
    errno = error;                                                                                                     \
    return failure;                                                                                                    \
  }                                                                                                                    \
  extern "C" result __wrap_##name parameters
LED_HERE(void *, malloc, (std::size_t n), (n), nullptr, ENOMEM);
LED_HERE(void *, calloc, (std::size_t n, std::size_t size), (n, size), nullptr, ENOMEM);
LED_HERE(void *, mmap, (void *at, std::size_t n, int may, int flags, int fd, off_t from), (at, n, may, flags, fd, from),
         MAP_FAILED, ENOMEM);
LED_HERE(void *, _ZnwmRKSt9nothrow_t, (std::size_t n, const std::nothrow_t &t), (n, t), nullptr, ENOMEM);
LED_HERE(void *, _ZnamRKSt9nothrow_t, (std::size_t n, const std::nothrow_t &t), (n, t), nullptr, ENOMEM);
LED_HERE(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (std::size_t n, std::size_t at, const std::nothrow_t &t),
         (n, at, t), nullptr, ENOMEM);
LED_HERE(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (std::size_t n, std::size_t at, const std::nothrow_t &t),
         (n, at, t), nullptr, ENOMEM);
LED_HERE(int, pthread_atfork, (void (*before)(), void (*parent)(), void (*child)()), (before, parent, child), ENOMEM,
         ENOMEM);
LED_HERE(int, eventfd, (unsigned count, int flags), (count, flags), -1, EMFILE);
LED_HERE(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1, EMFILE);

std::atomic<bool> refused_late{false}; // the next thread
extern "C" int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
extern "C" int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*run)(void *), void *arg) {
  const bool late = refused_late.exchange(false);
  if (late) ::usleep(200000);
  return late || runs_out() ? EAGAIN : __real_pthread_create(id, how, run, arg);
}

namespace {

constexpr int none_failed = 77, most_calls = 500;
std::string dir, text;

#define MUST(condition) must(condition, #condition)
void must(bool good, const char *what) {
  if (good) return;
  std::printf("  %s (errno %d)\n", what, errno);
  std::fflush(stdout);
  ::_exit(1);
}

int told() {
  MUST(errno == ENOMEM || errno == EAGAIN || errno == EMFILE);
  return errno;
}

// All that was accepted is in the file, whatever was told.
int write_whole(ef_port *p, const std::string &path, int order) {
  ef_file_options o{};
  o.size = sizeof o;
  o.order = order;
  const int fd = ef_openat(p, AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644, &o);
  if (fd < 0) return told();
  int error = 0;
  std::size_t taken = 0;
  while (taken < text.size() && !error) {
    const ssize_t r = ef_write(fd, text.data() + taken, text.size() - taken);
    if (r >= 0)
      taken += static_cast<std::size_t>(r);
    else if (told() == ENOMEM || ef_wait(fd, EF_WRITE, 200) <= 0)
      error = ENOMEM;
  }
  if (!error && ef_wait(fd, EF_SYNC, core::patience_ms) != EF_SYNC) error = told();
  MUST(ef_close(fd) == 0);
  MUST(core::drain(p) == 0);
  MUST(core::contents(path) == text.substr(0, taken));
  return error;
}

int read_whole(ef_port *p, const std::string &path) {
  const int fd = ef_openat(p, AT_FDCWD, path.c_str(), O_RDONLY, 0, nullptr);
  if (fd < 0) return told();
  int error = 0;
  std::string got;
  static char b[30000];
  for (ssize_t r; !error && (r = ef_read(fd, b, sizeof b)) != 0;) {
    if (r > 0)
      got.append(b, static_cast<std::size_t>(r));
    else if (told() == ENOMEM || ef_wait(fd, EF_READ, 200) <= 0)
      error = ENOMEM;
  }
  MUST(text.starts_with(got) && (error || got.size() == text.size()));
  MUST(ef_close(fd) == 0);
  MUST(core::drain(p) == 0);
  return error;
}

// A port, a file written, made durable and read from the disk: 0, or what was told.
int use(const std::string &path, int order) {
  ef_port *p = ef_port_new(nullptr);
  if (!p) return told();
  int error = write_whole(p, path, order);
  if (!error) error = read_whole(p, path);
  MUST(ef_port_free(p) == 0);
  return error;
}

// The thread that keeps the time must be one, however often the start was tried.
int timekeepers() {
  int n = 0;
  DIR *tasks = ::opendir("/proc/self/task");
  for (const dirent *d; (d = ::readdir(tasks));)
    n += core::contents(std::string("/proc/self/task/") + d->d_name + "/comm") == "efio-time\n";
  ::closedir(tasks);
  return n;
}

// A thread names itself when it runs; until then it has the name of the one that made it.
bool timekeepers_become(int n) {
  for (int ms = 0; ms < 2000 && timekeepers() != n; ++ms) ::usleep(1000);
  return timekeepers() == n;
}

int child(long n, bool always, int order) {
  faulty::now.nowait_miss = 1024;
  for_ever = always;
  calls_left = n;
  const int error = use(dir + "/f", order);
  calls_left = 0;
  if (failed == 0) MUST(error == 0);
  if (failed == 0) return none_failed;
  MUST(use(dir + "/f", order) == 0);
  MUST(timekeepers_become(1));
  return 0;
}

// Whoever comes while the first start is about to fail must not be told that it was good.
int start_of_two() {
  refused_late = true;
  pthread_t first;
  auto make = [](void *) -> void * { return ef_port_new(nullptr); };
  MUST(__real_pthread_create(&first, nullptr, make, nullptr) == 0);
  while (refused_late) ::usleep(100);
  ef_port *second = ef_port_new(nullptr);
  MUST(second && timekeepers_become(1));
  void *answer;
  MUST(::pthread_join(first, &answer) == 0 && !answer);
  MUST(ef_port_free(second) == 0);
  return use(dir + "/f", EF_ORDER_CALL);
}

void sweep(bool always, int order) {
#ifdef __SANITIZE_THREAD__
  skip(); // it does not allow threads in a child of a process with threads
#endif
  long n = 0;
  for (int status = 0; status == 0; ++n) {
    assert_true(n < most_calls);
    status = core::in_child([&] { return child(n + 1, always, order); });
    if (status != 0 && status != none_failed << 8) fail_msg("call %ld fails: status %d", n + 1, status);
    if (status != 0) break;
  }
  std::printf("  each of %ld calls failed\n", n);
  assert_true(n > 10);
}

void one_call_fails_and_it_is_told_or_not_felt(void **) { sweep(false, EF_ORDER_CALL); }
void one_call_fails_with_lanes(void **) { sweep(false, EF_ORDER_THREAD); }
void everything_fails_from_a_call_on(void **) { sweep(true, EF_ORDER_CALL); }
void everything_fails_from_a_call_on_with_lanes(void **) { sweep(true, EF_ORDER_THREAD); }

void a_start_under_way_is_waited_for(void **) {
#ifdef __SANITIZE_THREAD__
  skip();
#endif
  assert_int_equal(core::in_child([] { return start_of_two(); }), 0);
}

} // namespace

int main() {
  dir = core::directory();
  text = core::pattern(300000);
  faulty::install();
  const CMUnitTest tests[] = {
      cmocka_unit_test(one_call_fails_and_it_is_told_or_not_felt),
      cmocka_unit_test(one_call_fails_with_lanes),
      cmocka_unit_test(everything_fails_from_a_call_on),
      cmocka_unit_test(everything_fails_from_a_call_on_with_lanes),
      cmocka_unit_test(a_start_under_way_is_waited_for),
  };
  const int failures = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failures;
}
