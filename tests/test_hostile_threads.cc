// SPDX-License-Identifier: BSD-2-Clause
// Threads that are cancelled in the middle of calls, and files that are closed while other threads use them: no call
// leaves anything behind, and no wait lasts for ever.
#include "requests.hh"

namespace {

using stress::require;

std::string dir;

// ---- Cancellation

struct cancelled_thread {
  int engine;
  std::atomic<bool> pending{false};
  bool through = false;
};

// AddressSanitizer does not see that the frames of an ended thread are gone: only this one is there then, and bare.
template<void (*body)(cancelled_thread &)> void *be_cancelled_behind(void *arg) {
  body(*static_cast<cancelled_thread *>(arg));
  for (;;) ::pause();
}

int under_way = -1;
void take_events(ef_port *p, const ef_request &r) {
  ef_event e[8];
  while (r.error == EINPROGRESS) require(ef_port_next(p, e, 8) >= 0, "ef_port_next");
}

// Each call that may enter the kernel, while the thread's end is asked for already.
[[gnu::noinline]] void call_everything(cancelled_thread &self) {
  while (!self.pending.load(std::memory_order_acquire)) {} // nothing that would end it here
  ef_port *p = core::port_with(self.engine);
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
}

void no_call_is_a_cancellation_point(void **) {
  for (int engine : requests::engines) {
    cancelled_thread t;
    t.engine = engine;
    pthread_t id;
    assert_int_equal(pthread_create(&id, nullptr, be_cancelled_behind<call_everything>, &t), 0);
    assert_int_equal(pthread_cancel(id), 0);
    t.pending.store(true, std::memory_order_release);
    void *how = nullptr;
    assert_int_equal(pthread_join(id, &how), 0);
    assert_ptr_equal(how, PTHREAD_CANCELED);
    assert_true(t.through);
    assert_int_equal(core::contents(dir + "/cancelled").size(), 16384);
  }
}

[[gnu::noinline]] void wait_in_vain(cancelled_thread &) {
  const int r = ef_wait(under_way, EF_WRITE, 200);
  require(r == 0, "time was up, not sooner");
}

// A pipe that is full, and nobody reads it.
int full_pipe(int *reader) {
  int ends[2];
  assert_int_equal(::pipe2(ends, O_CLOEXEC), 0);
  *reader = ends[0];
  const int own = ::dup(ends[1]);
  ef_file_options o{};
  o.size = sizeof o;
  o.write_buffer_max = 128 << 10;
  const int fd = ef_fdopen(nullptr, ends[1], &o);
  core::wait(fd, EF_OPEN);
  const std::string all(50000, 'x');
  const auto fill = [&] {
    while (ef_write(fd, all.data(), all.size()) > 0) {}
  };
  for (pollfd p{own, POLLOUT, 0}; fill(), ::poll(&p, 1, 0) != 0;) ::usleep(1000);
  do fill(); // nothing leaves the budget any more
  while (ef_wait(fd, EF_WRITE, 0) != 0);
  ::close(own);
  return fd;
}

std::atomic<int> woken{0};

[[gnu::noinline]] void call_with_a_wake(cancelled_thread &self) {
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
}

void a_callback_inside_a_call_is_none_either(void **) {
  cancelled_thread t;
  pthread_t id;
  assert_int_equal(pthread_create(&id, nullptr, be_cancelled_behind<call_with_a_wake>, &t), 0);
  assert_int_equal(pthread_cancel(id), 0);
  t.pending.store(true, std::memory_order_release);
  assert_int_equal(pthread_join(id, nullptr), 0);
  assert_true(t.through && woken >= 2);
}

void a_wait_is_not_cut_short_by_a_cancel(void **) {
  int reader;
  under_way = full_pipe(&reader);
  cancelled_thread t;
  pthread_t id;
  assert_int_equal(pthread_create(&id, nullptr, be_cancelled_behind<wait_in_vain>, &t), 0);
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

} // namespace

int main() {
  faulty::install_for_requests();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(no_call_is_a_cancellation_point),
      cmocka_unit_test(a_callback_inside_a_call_is_none_either),
      cmocka_unit_test(a_wait_is_not_cut_short_by_a_cancel),
      cmocka_unit_test(a_close_ends_the_waits_of_other_threads),
      cmocka_unit_test(a_close_in_the_middle_of_reads_answers_ebadf),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
