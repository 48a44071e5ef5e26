// SPDX-License-Identifier: BSD-2-Clause
// Room where it is scarce: the process has no chunk left, or another writer has the budget while the file fails. A call
// that has to wait for it is held before its instructions, while room comes, goes, or will never come. Whoever was
// refused is told.
#include "own_port.hh"
#include "stepped.hh"

#include "file.hh"
#include "port.hh"
#include "process.hh"

#include <sys/mman.h>

namespace {

using core::port;
using stepped::soon;
using stepped::trial;
using stress::require;

std::string dir;
int fd; // of this trial
char bytes[8192];
std::atomic<bool> opens_hang;

ef::file &the_file() { return *ef::files.at(ef::slot_of(fd)); }
void open_file(int flags, std::size_t budget = 0) {
  ef_file_options o{};
  o.write_buffer_max = budget;
  fd = core::open(dir + "/f", flags, o, port);
}
void open_written(std::size_t budget = 0) {
  open_file(O_WRONLY | O_CREAT | O_TRUNC, budget);
  core::wait(fd, EF_OPEN);
}
void told(unsigned bit) { // before long
  for (ef_event e = core::next(port); !(e.events & bit); e = core::next(port)) require(e.events != 0, "the event");
}
void forget_events() {
  ef_event e{};
  while (ef_port_next(port, &e, 1) == 1) {}
}
void end_trial() {
  faulty::heal();
  require(ef_close(fd) == 0 || errno != EBADF, "ef_close"); // or the error that sticks
  require(core::drain(port) == 0, "the port becomes idle");
  forget_events();
}
bool has_failed() { return the_file().error.load() != 0 && the_file().lane.load() == ef::lane_state::idle; }

// ---- The process's chunks, all of which the test has taken

std::vector<ef::chunk *> taken;
void take_all() {
  while (ef::chunk *c = ef::here()->chunks.take_large()) taken.push_back(c);
}
void give_one() {
  ef::here()->chunks.give(taken.back());
  taken.pop_back();
}
void take_one() { // in a signal's handler: there is room in the vector, and a chunk, or none
  if (ef::chunk *c = ef::here()->chunks.take_large_at_hand()) taken.push_back(c);
}
void give_all() {
  while (!taken.empty()) give_one();
}

// ---- Tests

void a_seek_that_waits_for_the_open_hears_of_a_chunk(void **) {
  take_all();
  opens_hang = true;
  open_file(O_WRONLY | O_CREAT | O_TRUNC);
  FAILS_WITH(ef_seek(fd, 10, SEEK_SET), EAGAIN);
  opens_hang = false;
  core::wait(fd, EF_OPEN);
  ::usleep(20000); // the end of the open is told
  give_all();
  told(EF_WRITE);
  assert_int_equal(ef_seek(fd, 10, SEEK_SET), 10);
  end_trial();
}

void a_file_for_reading_has_no_room_to_tell_of(void **) {
  core::put(dir + "/f", "text");
  opens_hang = true;
  open_file(O_RDONLY);
  const int now = ef_watch(fd, EF_READ | EF_WRITE, nullptr);
  opens_hang = false;
  assert_int_equal(now, 0);
  assert_int_equal(core::next(port).events, EF_READ);
  end_trial();
}

void a_thread_that_waits_hears_of_a_chunk(void **) {
  if (!stepped::install()) skip();
  open_written();
  take_all();
  {
    stepped::caller caller;
    const long places = stepped::each_place(11, [&](long n) {
      const auto began = std::chrono::steady_clock::now();
      const trial t = caller.hold(
          n, [] { return static_cast<ssize_t>(ef_wait(fd, EF_WRITE, core::patience_ms)); }, give_one);
      require(caller.result == EF_WRITE, "ef_wait");
      require(std::chrono::steady_clock::now() - began < std::chrono::seconds(core::patience_ms / 2000), "woken");
      if (t != trial::done) give_one();
      take_all();
      return t;
    });
    require(places > 10, "it was held");
  }
  give_all();
  end_trial();
}

// A chunk comes before one instruction of ef_watch, and goes before another.
std::atomic<long> at, comes, goes;
void come_and_go(int, siginfo_t *, void *) {
  const int error = errno;
  const long n = at.fetch_add(1);
  if (n == comes) give_one();
  if (n == goes) take_one();
  errno = error;
}
int watched;
long watch_stepped(long first, long second) {
  stepped::prepare(-1);
  at = 0, comes = first, goes = second;
  stepped::run([] { watched = ef_watch(fd, EF_WRITE, nullptr); });
  return at;
}
void a_chunk_that_comes_and_goes_is_not_missed(void **) {
  if (!stepped::install()) skip();
  struct sigaction a {};
  a.sa_sigaction = come_and_go;
  a.sa_flags = SA_SIGINFO | SA_RESTART;
  assert_int_equal(::sigaction(SIGTRAP, &a, nullptr), 0);
  open_written();
  take_all();
  const long total = watch_stepped(-1, -1);
  const long step = std::getenv("EFIO_LONG") ? 1 : 23;
  long trials = 0;
  for (long i = static_cast<long>(stress::seed() % 23) % step; i < total; i += step)
    for (long j = i + 1; j < total; j += step) {
      require(ef_watch(fd, 0, nullptr) == 0, "ef_watch");
      give_one();
      take_all();
      forget_events();
      watch_stepped(i, j);
      give_one();
      if (watched == 0) told(EF_WRITE);
      take_all();
      ++trials;
    }
  std::printf("  %ld trials, of an ef_watch of %ld instructions\n", trials, total);
  require(trials > 10, "it was tried");
  give_all();
  end_trial();
}

// A large write by another thread has the budget, and stands still in the middle of its copy, until the file failed.
char *halting;
std::atomic<bool> halted, go_on;
void halt(int, siginfo_t *, void *) {
  halted = true;
  while (!go_on) stepped::doze();
  ::mprotect(halting + 0x11000, 0x1000, PROT_READ);
}
void who_is_refused_while_the_file_fails_is_told(void **) {
  if (!stepped::install()) skip();
  halting = static_cast<char *>(::mmap(nullptr, 0x20000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  struct sigaction a {};
  a.sa_sigaction = halt;
  a.sa_flags = SA_SIGINFO;
  assert_int_equal(::sigaction(SIGSEGV, &a, nullptr), 0);
  stepped::caller caller;
  long refused = 0;
  stepped::each_place(11, [&](long n) {
    open_written(192 * 1024);
    faulty::now.hung = faulty::every_file;
    require(ef_write(fd, bytes, 100) == 100 && ef_flush(fd) == 0, "ef_write");
    ::mprotect(halting + 0x11000, 0x1000, PROT_NONE);
    halted = go_on = false;
    std::thread other([] { require(ef_write(fd, halting, 0x20000) != 0, "ef_write"); });
    while (!halted) stepped::doze();
    const auto fails = [] {
      faulty::now.write_errno = EIO;
      faulty::now.hung = -1;
      soon(has_failed);
    };
    const trial t = caller.hold(
        n, [] { return ef_write(fd, bytes, sizeof bytes); }, fails);
    fails();
    while (!has_failed()) stepped::doze();
    go_on = true;
    other.join();
    if (t == trial::done && caller.result < 0 && caller.error == EAGAIN) {
      ++refused;
      told(EF_WRITE);
    }
    end_trial();
    return t;
  });
  ::signal(SIGSEGV, SIG_DFL);
  std::printf("  refused %ld times\n", refused);
  require(refused > 0, "somebody was refused");
}

// ef_reopen is held while the file fails; a seek behind it is refused.
ssize_t sought;
int sought_errno;
ssize_t reopen_and_seek() {
  const ssize_t r = ef_reopen(fd);
  sought = r == 0 ? ef_seek(fd, 10, SEEK_SET) : 0;
  sought_errno = errno;
  return r;
}
void a_seek_behind_an_ef_reopen_that_comes_to_nothing_is_told(void **) {
  if (!stepped::install()) skip();
  stepped::caller caller;
  long refused = 0;
  stepped::each_place(3, [&](long n) {
    open_written();
    core::write(fd, "some");
    const trial t = caller.hold(n, reopen_and_seek, [] {
      faulty::now.write_errno = EIO;
      require(ef_flush(fd) == 0, "ef_flush");
      soon(has_failed);
    });
    if (t == trial::done && sought < 0 && sought_errno == EAGAIN) {
      ++refused;
      told(EF_WRITE);
    }
    end_trial();
    return t;
  });
  std::printf("  refused %ld times\n", refused);
}

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) {
    t.openat = [](int d, const char *path, int flags, mode_t mode) {
      while (opens_hang) stepped::doze();
      return faulty::table.openat(d, path, flags, mode);
    };
  });
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, core::start_test, core::end_test)
  const CMUnitTest tests[] = {
      TEST(a_seek_that_waits_for_the_open_hears_of_a_chunk),
      TEST(a_file_for_reading_has_no_room_to_tell_of),
      TEST(a_thread_that_waits_hears_of_a_chunk),
      TEST(a_chunk_that_comes_and_goes_is_not_missed),
      TEST(who_is_refused_while_the_file_fails_is_told),
      TEST(a_seek_behind_an_ef_reopen_that_comes_to_nothing_is_told),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
