/* SPDX-License-Identifier: BSD-2-Clause */
/* What a libev watcher of a file tells, and when, while it is read. */
#include "adapter_files.h"

#include <efio_ev.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct reading {
  ef_ev_io io;
  unsigned seed;
  uint64_t offset;
  int calls, ends, error, refusals;
  size_t a_call;
};

static bool inside_start;

static struct ev_loop *new_loop(void) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  assert_non_null(loop);
  return loop;
}

static void on_read(EV_P_ ef_ev_io *w, int revents) {
  struct reading *r = (struct reading *)w;
  static _Thread_local char buf[65536];
  assert_false(inside_start);
  assert_true(ev_is_active(w) && !ev_is_pending(w));
  assert_int_equal(revents, EV_READ);
  ++r->calls;
  ssize_t n = ef_read(w->fd, buf, r->a_call);
  if (n > 0) {
    assert_true(bytes_are(buf, (size_t)n, r->offset, r->seed));
    r->offset += (uint64_t)n;
    return;
  }
  if (n < 0 && errno == EAGAIN) {
    ++r->refusals;
    return;
  }
  if (n == 0) ++r->ends;
  if (n < 0) r->error = errno;
  ef_ev_io_stop(EV_A_ w);
  assert_false(ev_is_active(w));
  assert_int_equal(ef_close(w->fd), r->error ? -1 : 0); /* the error of the open sticks */
}

static void start_reading(EV_P_ struct reading *r, const char *path, unsigned seed, size_t a_call) {
  memset(r, 0, sizeof *r);
  r->seed = seed;
  r->a_call = a_call;
  int fd = ef_ev_open(EV_A_ path, O_RDONLY, 0);
  assert_true(fd >= 0);
  ef_ev_io_init(&r->io, on_read, fd, EV_READ);
  inside_start = true;
  ef_ev_io_start(EV_A_ &r->io);
  inside_start = false;
  assert_true(ev_is_active(&r->io));
}

static void a_file_is_read_to_its_end(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  const uint64_t size = 3 * 1024 * 1024 + 123;
  assert_true(make_file(in_scratch("read"), size, 1));
  static const size_t sizes[] = {100, 4096, 65536};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
    struct reading r;
    start_reading(EV_A_ &r, in_scratch("read"), 1, sizes[i]);
    assert_int_equal(r.calls, 0);
    ev_run(EV_A_ 0);
    assert_int_equal(r.offset, size);
    assert_int_equal(r.ends, 1);
    assert_false(ev_is_active(&r.io));
  }
  ev_loop_destroy(EV_A);
}

static void bytes_that_are_not_in_memory_are_waited_for(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  const uint64_t size = 8 * 1024 * 1024;
  const char *path = in_scratch("cold");
  assert_true(make_file(path, size, 2));
  int fd = open(path, O_RDWR);
  assert_int_equal(fsync(fd), 0);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
  struct reading r;
  start_reading(EV_A_ &r, path, 2, 65536);
  ev_run(EV_A_ 0);
  assert_int_equal(r.offset, size);
  ev_loop_destroy(EV_A);
}

static void the_error_of_the_open_comes_with_the_first_call(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  struct reading r;
  start_reading(EV_A_ &r, in_scratch("nowhere"), 0, 10);
  ev_run(EV_A_ 0);
  assert_int_equal(r.error, ENOENT);
  assert_int_equal(r.calls, 1);
  ev_loop_destroy(EV_A);
}

/* ---- Level */

struct counting {
  ef_ev_io io;
  int calls, revents, most;
};

static void on_count(EV_P_ ef_ev_io *w, int revents) {
  struct counting *c = (struct counting *)w;
  c->revents = revents;
  if (++c->calls == c->most) ef_ev_io_stop(EV_A_ w);
}

static void start_counting(EV_P_ struct counting *c, int fd, int events, int most) {
  memset(c, 0, sizeof *c);
  c->most = most;
  ef_ev_io_init(&c->io, on_count, fd, events);
  ef_ev_io_start(EV_A_ &c->io);
}

static void a_watcher_is_called_as_long_as_it_is_ready(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  assert_true(make_file(in_scratch("level"), 10, 3));
  int fd = ef_ev_open(EV_A_ in_scratch("level"), O_RDONLY, 0);
  struct counting c;
  start_counting(EV_A_ &c, fd, EV_READ, 1000);
  ev_run(EV_A_ 0);
  assert_int_equal(c.calls, 1000);
  assert_int_equal(ef_close(fd), 0);
  ev_loop_destroy(EV_A);
}

static void on_timer(EV_P_ ev_timer *w, int revents) {
  (void)revents;
  ++*(int *)w->data;
  ev_break(EV_A_ EVBREAK_ONE);
}

static void others_are_served_while_a_file_is_always_ready(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  assert_true(make_file(in_scratch("level"), 10, 3));
  int fd = ef_ev_open(EV_A_ in_scratch("level"), O_RDONLY, 0), ticks = 0;
  struct counting c;
  start_counting(EV_A_ &c, fd, EV_READ, 0);
  ev_timer t;
  ev_timer_init(&t, on_timer, 0.05, 0.);
  t.data = &ticks;
  ev_timer_start(EV_A_ &t);
  uint64_t began = now_ms();
  ev_run(EV_A_ 0);
  assert_int_equal(ticks, 1);
  assert_true(now_ms() - began < 5000);
  assert_true(c.calls > 16);
  ef_ev_io_stop(EV_A_ &c.io);
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

static void on_restart(EV_P_ ef_ev_io *w, int revents) {
  (void)revents;
  ++((struct counting *)w)->calls;
  ef_ev_io_stop(EV_A_ w);
  ef_ev_io_start(EV_A_ w);
}

static void starting_again_in_the_callback_starves_nobody(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  assert_true(make_file(in_scratch("level"), 10, 3));
  int fd = ef_ev_open(EV_A_ in_scratch("level"), O_RDONLY, 0), ticks = 0;
  struct counting c;
  start_counting(EV_A_ &c, fd, EV_READ, 0);
  ev_set_cb(&c.io, on_restart);
  ev_timer t;
  assert_int_equal(ef_wait(fd, EF_OPEN, 20000), EF_OPEN); /* the time is for the callbacks */
  ev_timer_init(&t, on_timer, 0.1, 0.);
  t.data = &ticks;
  ev_timer_start(EV_A_ &t);
  ev_run(EV_A_ 0);
  assert_int_equal(ticks, 1);
  assert_true(c.calls > 1);
  ef_ev_io_stop(EV_A_ &c.io);
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

/* ---- Growth */

struct tail {
  struct reading r;
  uint64_t size;
  int rounds;
};

static void on_tail(EV_P_ ef_ev_io *w, int revents) {
  struct tail *t = (struct tail *)w;
  static char buf[4096];
  assert_int_equal(revents, EV_READ);
  ssize_t n = ef_read(w->fd, buf, sizeof buf);
  if (n < 0) {
    assert_int_equal(errno, EAGAIN);
    return;
  }
  assert_true(bytes_are(buf, (size_t)n, t->r.offset, 4));
  t->r.offset += (uint64_t)n;
  if (n > 0) return;
  assert_int_equal(t->r.offset, t->size);
  if (++t->rounds == 5) return ef_ev_io_stop(EV_A_ w);
  assert_true(grow_file(in_scratch("tail"), t->size, t->size + 10000, 4));
  t->size += 10000;
}

static void a_file_that_grew_is_read_on(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  struct tail t = {.size = 5000};
  assert_true(make_file(in_scratch("tail"), t.size, 4));
  int fd = ef_ev_open(EV_A_ in_scratch("tail"), O_RDONLY, 0);
  ef_ev_io_init(&t.r.io, on_tail, fd, EV_READ);
  ef_ev_io_start(EV_A_ &t.r.io);
  ev_run(EV_A_ 0);
  assert_int_equal(t.r.offset, 45000);
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

/* ---- Writing */

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_file_is_read_to_its_end),
      cmocka_unit_test(bytes_that_are_not_in_memory_are_waited_for),
      cmocka_unit_test(the_error_of_the_open_comes_with_the_first_call),
      cmocka_unit_test(a_watcher_is_called_as_long_as_it_is_ready),
      cmocka_unit_test(others_are_served_while_a_file_is_always_ready),
      cmocka_unit_test(starting_again_in_the_callback_starves_nobody),
      cmocka_unit_test(a_file_that_grew_is_read_on),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
