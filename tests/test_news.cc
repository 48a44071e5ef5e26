// SPDX-License-Identifier: BSD-2-Clause
// Ports and events: exactly one for each EAGAIN, armed, disarmed, waked, notified, quiescent.
#include "own_port.hh"

namespace {

using core::end_test;
using core::port;
using core::start_test;

std::string dir;

void each_eagain_of_a_read_is_followed_by_one_event(void **) {
  core::put(dir + "/r", core::pattern(300000));
  faulty::now.nowait_miss = 1024;
  int fd = core::open(dir + "/r", O_RDONLY, {}, port), mark;
  ef_watch(fd, 0, &mark);
  long agains = 0, total = 0;
  char b[7000];
  for (ssize_t r; (r = ef_read(fd, b, sizeof b)) != 0;) {
    if (r > 0) {
      total += r;
      continue;
    }
    assert_int_equal(errno, EAGAIN);
    ++agains;
    ef_event e = core::next(port);
    assert_int_equal(e.fd, fd);
    assert_int_equal(e.events, EF_READ);
    assert_int_equal(e.error, 0);
    assert_ptr_equal(e.data, &mark);
  }
  assert_int_equal(total, 300000);
  assert_true(agains > 0);
  assert_true(core::nothing_more(port));
  core::close(fd, port);
}

void each_eagain_of_a_write_is_followed_by_one_event(void **) {
  faulty::now.delay = 1024;
  faulty::now.delay_us = 2000;
  ef_file_options o{};
  o.write_buffer_max = 128 * 1024;
  int fd = core::open(dir + "/w", O_WRONLY | O_CREAT, o, port);
  std::string line = core::pattern(30000), all;
  int agains = 0;
  while (agains < 20) {
    if (ef_write(fd, line.data(), line.size()) > 0) {
      all += line;
      continue;
    }
    assert_int_equal(errno, EAGAIN);
    ++agains;
    ef_event e = core::next(port);
    assert_int_equal(e.events, EF_WRITE);
    assert_int_equal(ef_write(fd, line.data(), line.size()), line.size()); // what the event promises
    all += line;
  }
  core::close(fd, port);
  assert_true(core::nothing_more(port));
  assert_true(core::contents(dir + "/w") == all);
}

void watch_reports_or_arms_once(void **) {
  core::put(dir + "/o", "text");
  faulty::now.delay = 1024;
  faulty::now.delay_us = 20000;
  int fd = core::open(dir + "/o", O_RDWR, {}, port), mark;
  int r = ef_watch(fd, EF_OPEN, &mark);
  if (r == 0) {
    ef_event e = core::next(port);
    assert_int_equal(e.events, EF_OPEN);
    assert_ptr_equal(e.data, &mark);
  }
  assert_int_equal(ef_watch(fd, EF_OPEN | EF_WRITE, &mark), EF_OPEN | EF_WRITE);
  assert_true(core::nothing_more(port));
  faulty::now.nowait_none = 1;
  char b[8];
  FAILS_WITH(ef_read(fd, b, 4), EAGAIN);
  assert_int_equal(ef_watch(fd, EF_READ, &mark), 0);
  assert_int_equal(core::next(port).events, EF_READ);
  assert_int_equal(ef_watch(fd, EF_READ, &mark), EF_READ);
  assert_int_equal(ef_ready(fd), EF_READ | EF_WRITE);
  assert_true(core::nothing_more(port));
  assert_int_equal(ef_read(fd, b, 4), 4);
  core::close(fd, port);
}

// Whoever takes fewer events than there are needs no other sign.
void what_is_left_on_the_queue_is_told_again(void **) {
  pollfd bell{ef_port_fd(port), POLLIN, 0};
  int fd[3];
  for (int &f : fd) {
    f = core::open(dir + "/left", O_WRONLY | O_CREAT, {}, port);
    assert_int_equal(ef_sync(f), 0);
    core::wait(f, EF_SYNC);
  }
  ::usleep(50'000);               // all three are on the queue now
  for (int told = 0; told < 3;) { // it may ring for one that was taken just before
    ef_event e{};
    assert_int_equal(::poll(&bell, 1, core::patience_ms), 1);
    told += ef_port_next(port, &e, 1);
  }
  for (int f : fd) core::close(f, port);
}

void disarming_takes_back_what_was_not_taken(void **) {
  core::put(dir + "/d", "text");
  faulty::now.nowait_miss = 1024;
  int fd = core::open(dir + "/d", O_RDONLY, {}, port), mark;
  char b[8];
  FAILS_WITH(ef_read(fd, b, 4), EAGAIN);
  core::wait(fd, EF_READ);
  ef_watch(fd, EF_READ | EF_CLOSE, &mark);
  assert_int_equal(ef_watch(fd, 0, nullptr), 0);
  assert_true(core::nothing_more(port));
  core::close(fd, port);
  assert_true(core::nothing_more(port));
}

void sync_and_close_tell_once(void **) {
  int fd = core::open(dir + "/s", O_WRONLY | O_CREAT, {}, port), mark;
  core::write(fd, "durable");
  assert_int_equal(ef_sync(fd), 0);
  ef_event e = core::next(port);
  assert_int_equal(e.events, EF_SYNC);
  assert_int_equal(e.error, 0);
  assert_int_equal(core::stats(fd).synced, 7);
  assert_string_equal(core::contents(dir + "/s").c_str(), "durable");
  assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
  assert_true(core::nothing_more(port)); // nobody asked for an event
  core::write(fd, " too");
  assert_int_equal(ef_watch(fd, EF_CLOSE, &mark), 0);
  assert_int_equal(ef_close(fd), 0);
  e = core::next(port);
  assert_int_equal(e.events, EF_CLOSE);
  assert_int_equal(e.fd, fd);
  assert_int_equal(e.error, 0);
  assert_ptr_equal(e.data, &mark);
  assert_string_equal(core::contents(dir + "/s").c_str(), "durable too");
  assert_true(core::nothing_more(port));
}

// Slots are used again after 64 others; this one not before its last event was taken.
void an_event_that_waits_keeps_its_slot(void **) {
  const int fd = core::open(dir + "/kept", O_WRONLY | O_CREAT, {}, port);
  int mark;
  ef_watch(fd, EF_CLOSE, &mark);
  core::close(fd, port);
  constexpr int slot = (1 << 20) - 1; // of a handle's bits
  for (int i = 0; i < 200; ++i) {
    const int other = core::open(dir + "/others", O_WRONLY | O_CREAT);
    assert_int_not_equal(other & slot, fd & slot);
    core::close(other);
  }
  const ef_event e = core::next(port);
  assert_int_equal(e.fd, fd);
  assert_int_equal(e.events, EF_CLOSE);
  assert_ptr_equal(e.data, &mark);
  assert_true(core::nothing_more(port));
}

void the_wake_comes_once_for_many_events(void **) {
  std::atomic<int> wakes{0};
  assert_int_equal(ef_port_wake(
                       port, [](void *p) { ++*static_cast<std::atomic<int> *>(p); }, &wakes),
                   0);
  FAILS_WITH(ef_port_notify(
                 port, [](void *, const ef_event *, int) {}, nullptr),
             ENOTSUP);
  int fd[20];
  for (int &f : fd) {
    f = core::open(dir + "/many", O_WRONLY | O_CREAT, {}, port);
    ef_watch(f, EF_CLOSE, nullptr);
    ef_close(f);
  }
  assert_int_equal(ef_drain(port, core::patience_ms), 0);
  assert_int_equal(wakes, 1); // nobody took anything in between
  ef_event e[32];
  assert_int_equal(ef_port_next(port, e, 7), 7);
  assert_int_equal(ef_port_next(port, e, 32), 13);
  assert_int_equal(ef_port_next(port, e, 32), 0);
  assert_int_equal(ef_port_wake(port, nullptr, nullptr), 0);
  int f = core::open(dir + "/many", O_WRONLY, {}, port);
  ef_watch(f, EF_CLOSE, nullptr);
  core::close(f, port);
  assert_int_equal(wakes, 1); // removed: it does not run any more
  assert_int_equal(ef_port_wake(
                       port, [](void *p) { ++*static_cast<std::atomic<int> *>(p); }, &wakes),
                   0);
  assert_int_equal(wakes, 2); // an event waited already
  assert_int_equal(core::next(port).events, EF_CLOSE);
}

struct notes {
  std::atomic<int> reads{0}, closes{0}, others{0};
};

void notify_hands_events_over_directly(void **) {
  notes seen;
  auto note = [](void *arg, const ef_event *e, int n) {
    auto *s = static_cast<notes *>(arg);
    for (int i = 0; i < n; ++i) ++(e[i].events == EF_READ ? s->reads : e[i].events == EF_CLOSE ? s->closes : s->others);
  };
  assert_int_equal(ef_port_notify(port, note, &seen), 0);
  ef_event e;
  FAILS_WITH(ef_port_next(port, &e, 1), ENOTSUP);
  core::put(dir + "/n", core::pattern(200000));
  faulty::now.nowait_miss = 1024;
  int fd = core::open(dir + "/n", O_RDONLY, {}, port);
  char b[5000];
  int agains = 0;
  for (ssize_t r; (r = ef_read(fd, b, sizeof b)) != 0;) {
    if (r > 0) continue;
    ++agains;
    for (int i = 0; seen.reads < agains && i < core::patience_ms; ++i) ::usleep(1000);
    assert_int_equal(seen.reads, agains);
  }
  ef_watch(fd, EF_CLOSE, nullptr);
  core::close(fd, port);
  assert_int_equal(seen.closes, 1);
  assert_int_equal(seen.others, 0);
}

// The old function must not run once its removal has returned: its argument is gone then.
void replacing_the_wake_is_quiescent(void **) {
  struct target {
    std::atomic<bool> alive{true};
    std::atomic<long> *calls;
  };
  std::atomic<bool> stop{false};
  std::atomic<long> calls{0};
  std::thread traffic([&] {
    while (!stop) {
      int f = core::open(dir + "/q", O_WRONLY | O_CREAT, {}, port);
      ef_watch(f, EF_CLOSE, nullptr);
      ef_close(f);
      ef_event e[64];
      ef_drain(port, core::patience_ms);
      while (ef_port_next(port, e, 64) > 0) {}
    }
  });
  auto wake = [](void *p) {
    auto *t = static_cast<target *>(p);
    if (!t->alive) std::abort();
    ++*t->calls;
    std::this_thread::yield();
    if (!t->alive) std::abort();
  };
  int rounds = 0;
  for (; calls < 300 && rounds < 20000; ++rounds) {
    target t;
    t.calls = &calls;
    assert_int_equal(ef_port_wake(port, wake, &t), 0);
    if (rounds % 3 == 0) ::usleep(50);
    assert_int_equal(ef_port_wake(port, nullptr, nullptr), 0);
    t.alive = false;
  }
  stop = true;
  traffic.join();
  assert_true(calls >= 300);
}

void an_abandoned_port_lets_its_files_finish(void **) {
  ef_port *p = ef_port_new(nullptr);
  int fd = core::open(dir + "/left", O_WRONLY | O_CREAT, {}, p);
  core::write(fd, "written ");
  ef_watch(fd, EF_CLOSE, nullptr);
  assert_int_equal(ef_port_abandon(p), 0);
  core::write(fd, "all the same");
  assert_int_equal(ef_wait(fd, EF_SYNC, core::patience_ms), EF_SYNC);
  assert_int_equal(ef_close(fd), 0);
  assert_string_equal(core::contents(dir + "/left").c_str(), "written all the same");
}

void a_failed_open_is_told_and_sticks(void **) {
  int fd = core::open(dir + "/no/such", O_RDWR, {}, port);
  if (ef_watch(fd, EF_OPEN, nullptr) == 0) {
    ef_event e = core::next(port);
    assert_int_equal(e.events, EF_OPEN);
    assert_int_equal(e.error, ENOENT);
  }
  char b[4];
  struct stat st;
  assert_int_equal(ef_ready(fd), EF_READ | EF_WRITE);
  FAILS_WITH(ef_read(fd, b, 4), ENOENT);
  FAILS_WITH(ef_write(fd, b, 4), ENOENT);
  FAILS_WITH(ef_sync(fd), ENOENT);
  FAILS_WITH(ef_seek(fd, 0, SEEK_SET), ENOENT);
  FAILS_WITH(ef_fstat(fd, &st), ENOENT);
  FAILS_WITH(ef_close(fd), ENOENT);
  FAILS_WITH(ef_close(fd), EBADF);
}

} // namespace

int main() {
  faulty::install();
  faulty::now.memory_shown = false;
  dir = core::directory();
#define TEST(f) cmocka_unit_test_setup_teardown(f, start_test, end_test)
  const CMUnitTest tests[] = {
      TEST(each_eagain_of_a_read_is_followed_by_one_event),
      TEST(each_eagain_of_a_write_is_followed_by_one_event),
      TEST(watch_reports_or_arms_once),
      TEST(what_is_left_on_the_queue_is_told_again),
      TEST(disarming_takes_back_what_was_not_taken),
      TEST(sync_and_close_tell_once),
      TEST(an_event_that_waits_keeps_its_slot),
      TEST(the_wake_comes_once_for_many_events),
      TEST(notify_hands_events_over_directly),
      TEST(replacing_the_wake_is_quiescent),
      TEST(an_abandoned_port_lets_its_files_finish),
      TEST(a_failed_open_is_told_and_sticks),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
