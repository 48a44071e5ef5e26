/* SPDX-License-Identifier: BSD-2-Clause */
/* What a libev watcher of a file tells beyond reading: room, open, sync, close, trouble. */
#include "adapter_files.h"

#include <efio_ev.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct ev_loop *new_loop(void) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  assert_non_null(loop);
  return loop;
}

struct counting {
  ef_ev_io io;
  int calls, revents, most;
};

static void on_timer(EV_P_ ev_timer *w, int revents) {
  (void)revents;
  ++*(int *)w->data;
  ev_break(EV_A_ EVBREAK_ONE);
}

/* Turns that the loop makes while nothing happens, in a tenth of a second. */
static unsigned idle_turns(EV_P) {
  int ticks = 0;
  ev_timer t;
  ev_timer_init(&t, on_timer, 0.1, 0.);
  t.data = &ticks;
  ev_timer_start(EV_A_ &t);
  unsigned before = ev_iteration(EV_A);
  ev_run(EV_A_ 0);
  assert_int_equal(ticks, 1);
  return ev_iteration(EV_A) - before;
}

struct writing {
  ef_ev_io io;
  uint64_t accepted, wanted;
  int refusals, syncs, closes;
};

/* A FIFO whose reader comes late makes the budget run full for certain. */
static void *drain_fifo(void *arg) {
  uint64_t *received = arg;
  static unsigned char buf[32768];
  int fd = (int)received[1];
  for (ssize_t n; (n = read(fd, buf, sizeof buf)) != 0;) {
    if (n < 0) return "read";
    if (!bytes_are(buf, (size_t)n, received[0], 5)) return "bytes";
    received[0] += (uint64_t)n;
  }
  return NULL;
}

static void on_room(EV_P_ ef_ev_io *w, int revents) {
  struct writing *x = (struct writing *)w;
  static char buf[20000];
  assert_int_equal(revents, EV_WRITE);
  size_t n = x->wanted - x->accepted < sizeof buf ? (size_t)(x->wanted - x->accepted) : sizeof buf;
  if (n == 0) return ef_ev_io_stop(EV_A_ w);
  fill_bytes(buf, n, x->accepted, 5);
  ssize_t r = ef_write(w->fd, buf, n);
  if (r < 0) {
    assert_int_equal(errno, EAGAIN);
    ++x->refusals;
    return;
  }
  assert_int_equal(r, n);
  x->accepted += n;
}

static void a_full_budget_refuses_until_there_is_room(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  assert_int_equal(mkfifo(in_scratch("fifo"), 0600), 0);
  int readable = open(in_scratch("fifo"), O_RDONLY | O_NONBLOCK);
  assert_int_equal(fcntl(readable, F_SETFL, 0), 0);
  ef_file_options o = {.size = sizeof o, .write_buffer_max = 128 * 1024};
  struct writing x = {.wanted = 2 * 1024 * 1024};
  int fd = ef_openat(ef_ev_port(EV_A), AT_FDCWD, in_scratch("fifo"), O_WRONLY, 0, &o);
  assert_int_equal(ef_wait(fd, EF_OPEN, 5000), EF_OPEN); /* before, the reader would see the end */
  ef_ev_io_init(&x.io, on_room, fd, EV_WRITE);
  ef_ev_io_start(EV_A_ &x.io);
  unsigned turns = idle_turns(EV_A);
  for (int i = 0; (turns >= 10 || x.accepted < 64 * 1024) && i < 50; ++i) turns = idle_turns(EV_A);
  assert_true(turns < 10); /* who waits does not spin */
  assert_true(x.accepted >= 64 * 1024 && x.accepted < x.wanted);
  uint64_t received[2] = {0, (uint64_t)readable};
  pthread_t reader;
  assert_int_equal(pthread_create(&reader, NULL, drain_fifo, received), 0);
  ev_run(EV_A_ 0);
  assert_int_equal(x.accepted, x.wanted);
  assert_int_equal(ef_close(fd), 0);
  void *trouble;
  pthread_join(reader, &trouble);
  assert_null(trouble);
  assert_int_equal(received[0], x.wanted);
  close(readable);
  ev_loop_destroy(EV_A);
}

static void on_stage(EV_P_ ef_ev_io *w, int revents) {
  struct writing *x = (struct writing *)w;
  assert_int_equal(w->error, 0);
  if (revents & EF_EV_SYNC) {
    ef_file_counters c = {.size = sizeof c};
    assert_int_equal(ef_file_stats(w->fd, &c), 0);
    assert_int_equal(c.synced, x->accepted);
    ++x->syncs;
    assert_int_equal(ef_close(w->fd), 0);
  }
  if (revents & EF_EV_CLOSE) {
    ++x->closes;
    assert_false(ev_is_active(w));
    ef_ev_io_stop(EV_A_ w);
  }
}

static void sync_and_close_are_told(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  struct writing x = {.accepted = 50000};
  static char buf[50000];
  fill_bytes(buf, sizeof buf, 0, 6);
  unlink(in_scratch("sync"));
  int fd = ef_ev_open(EV_A_ in_scratch("sync"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ef_ev_io_init(&x.io, on_stage, fd, EF_EV_SYNC | EF_EV_CLOSE);
  ef_ev_io_start(EV_A_ &x.io);
  assert_int_equal(ef_write(fd, buf, sizeof buf), sizeof buf);
  assert_int_equal(ef_sync(fd), 0);
  ev_run(EV_A_ 0);
  assert_int_equal(x.syncs, 1);
  assert_int_equal(x.closes, 1);
  assert_true(file_is(in_scratch("sync"), sizeof buf, 6));
  ev_loop_destroy(EV_A);
}

static void on_open(EV_P_ ef_ev_io *w, int revents) {
  struct counting *c = (struct counting *)w;
  ++c->calls;
  c->revents = revents;
  ef_ev_io_stop(EV_A_ w);
}

static void the_open_is_told_with_its_error(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  assert_true(make_file(in_scratch("level"), 10, 3));
  static const struct {
    const char *name;
    int error;
  } cases[] = {{"level", 0}, {"nowhere", ENOENT}};
  for (int i = 0; i < 2; ++i) {
    int fd = ef_ev_open(EV_A_ in_scratch(cases[i].name), O_RDONLY, 0);
    for (int again = 0; again < 2; ++again) { /* the second time it is over before the start */
      struct counting c = {.calls = 0};
      ef_ev_io_init(&c.io, on_open, fd, EF_EV_OPEN);
      ef_ev_io_start(EV_A_ &c.io);
      ev_run(EV_A_ 0);
      assert_int_equal(c.calls, 1);
      assert_int_equal(c.revents, EF_EV_OPEN);
      assert_int_equal(c.io.error, cases[i].error);
    }
    ef_close(fd);
  }
  ev_loop_destroy(EV_A);
}

static void trouble_with_accepted_bytes_is_told(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  int fd = ef_ev_open(EV_A_ "/dev/full", O_WRONLY, 0);
  struct counting c = {.calls = 0};
  ef_ev_io_init(&c.io, on_open, fd, EF_EV_ERROR);
  ef_ev_io_start(EV_A_ &c.io);
  assert_int_equal(ef_write(fd, "x", 1), 1);
  assert_int_equal(ef_flush(fd), 0);
  ev_run(EV_A_ 0);
  assert_int_equal(c.calls, 1);
  assert_int_equal(c.revents, EF_EV_ERROR);
  assert_int_equal(c.io.error, ENOSPC);
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

/* A watcher for room is started when it is needed: the disk was full before. */
static void trouble_is_told_to_who_comes_later(void **state) {
  (void)state;
  const struct timespec pause = {0, 1000000};
  struct ev_loop *loop = new_loop();
  int fd = ef_ev_open(EV_A_ "/dev/full", O_WRONLY, 0);
  struct counting c = {.calls = 0};
  ef_port_counters port = {.size = sizeof port};
  assert_int_equal(ef_write(fd, "x", 1), 1);
  assert_int_equal(ef_flush(fd), 0);
  for (uint64_t end = now_ms() + 5000; port.events == 0 && now_ms() < end; nanosleep(&pause, NULL)) {
    ev_run(EV_A_ EVRUN_NOWAIT); /* the event is taken, and nobody is there to hear of it */
    assert_int_equal(ef_port_stats(ef_ev_port(EV_A), &port), 0);
  }
  assert_int_equal(port.events, 1);
  for (int i = 0; i < 2; ++i) {
    ef_ev_io_init(&c.io, on_open, fd, EF_EV_ERROR);
    ef_ev_io_start(EV_A_ &c.io);
    assert_true(ev_is_pending(&c.io));
    ev_run(EV_A_ 0);
    assert_int_equal(c.calls, i + 1);
    assert_int_equal(c.revents, EF_EV_ERROR);
    assert_int_equal(c.io.error, ENOSPC);
  }
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

static void on_room_close(EV_P_ ef_ev_io *w, int revents) {
  struct counting *c = (struct counting *)w;
  (void)EV_A;
  ++c->calls;
  c->revents = revents;
  if (revents & EV_WRITE) assert_int_equal(ef_close(w->fd), 0);
}

/* Also if the watcher was ready for something else when the file was closed. */
static void the_close_is_told_to_a_watcher_that_is_ready(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  struct counting c = {.calls = 0};
  int fd = ef_ev_open(EV_A_ in_scratch("ready"), O_WRONLY | O_CREAT, 0600);
  ef_ev_io_init(&c.io, on_room_close, fd, EV_WRITE | EF_EV_CLOSE);
  ef_ev_io_start(EV_A_ &c.io);
  ev_run(EV_A_ 0);
  assert_int_equal(c.calls, 2);
  assert_int_equal(c.revents, EF_EV_CLOSE);
  assert_int_equal(c.io.error, 0);
  assert_false(ev_is_active(&c.io));
  ev_loop_destroy(EV_A);
}

static void a_watcher_started_again_is_not_told_of_its_former_end(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  struct counting c = {.calls = 0};
  assert_true(make_file(in_scratch("again"), 10, 1));
  int fd = ef_ev_open(EV_A_ in_scratch("again"), O_RDONLY, 0);
  ef_ev_io_init(&c.io, on_open, -1, EV_READ);
  ef_ev_io_start(EV_A_ &c.io);
  assert_true(ev_is_pending(&c.io)); /* EV_ERROR: it could not be started */
  ef_ev_io_set(&c.io, fd, EV_READ);
  ef_ev_io_start(EV_A_ &c.io);
  assert_true(ev_is_active(&c.io));
  ev_run(EV_A_ 0);
  assert_int_equal(c.calls, 1);
  assert_int_equal(c.revents, EV_READ);
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

static void the_bits_are_free_in_libev(void **state) {
  (void)state;
  unsigned ours = EF_EV_OPEN | EF_EV_SYNC | EF_EV_CLOSE | EF_EV_ERROR;
  unsigned theirs = (unsigned)EV_ERROR | EV_READ | EV_WRITE | EV__IOFDSET | EV_TIMER | EV_PERIODIC | EV_SIGNAL |
                    EV_CHILD | EV_STAT | EV_IDLE | EV_PREPARE | EV_CHECK | EV_EMBED | EV_FORK | EV_CLEANUP | EV_ASYNC |
                    EV_CUSTOM;
  assert_int_equal(ours & theirs, 0);
  assert_int_equal(__builtin_popcount(ours), 4);
  assert_int_equal(EV_READ, EF_READ);
  assert_int_equal(EV_WRITE, EF_WRITE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_full_budget_refuses_until_there_is_room),
      cmocka_unit_test(sync_and_close_are_told),
      cmocka_unit_test(the_open_is_told_with_its_error),
      cmocka_unit_test(trouble_with_accepted_bytes_is_told),
      cmocka_unit_test(trouble_is_told_to_who_comes_later),
      cmocka_unit_test(the_close_is_told_to_a_watcher_that_is_ready),
      cmocka_unit_test(a_watcher_started_again_is_not_told_of_its_former_end),
      cmocka_unit_test(the_bits_are_free_in_libev),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
