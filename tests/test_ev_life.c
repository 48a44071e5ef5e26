/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of libev watchers of files: what keeps a loop alive, stopping and freeing inside callbacks, misuse, the
 * end of loops, fork. */
#include "adapter_files.h"
#include "child.h"

#include <efio_ev.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct probe {
  ef_ev_io io;
  struct probe *other, **slot;
  int calls, revents, error, *order;
};

static struct ev_loop *new_loop(void) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  assert_non_null(loop);
  return loop;
}

static int open_small(EV_P_ const char *name) {
  assert_true(make_file(in_scratch(name), 100, 1));
  int fd = ef_ev_open(EV_A_ in_scratch(name), O_RDONLY, 0);
  assert_true(fd >= 0);
  return fd;
}

static void on_once(EV_P_ ef_ev_io *w, int revents) {
  struct probe *p = (struct probe *)w;
  ++p->calls;
  p->revents = revents;
  p->error = w->error;
  ef_ev_io_stop(EV_A_ w);
}

static void start_probe(EV_P_ struct probe *p, void (*cb)(EV_P_ ef_ev_io *, int), int fd, int events) {
  ef_ev_io_init(&p->io, cb, fd, events);
  ef_ev_io_start(EV_A_ &p->io);
}

/* ---- What keeps a loop alive */

static void only_started_watchers_hold_the_loop(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  char line[100];
  fill_bytes(line, sizeof line, 0, 2);
  unlink(in_scratch("held"));
  int fd = ef_ev_open(EV_A_ in_scratch("held"), O_WRONLY | O_CREAT, 0600);
  assert_int_equal(ef_write(fd, line, sizeof line), sizeof line);
  assert_false(ev_run(EV_A_ 0)); /* buffered bytes do not */
  struct probe p = {.calls = 0};
  start_probe(EV_A_ &p, on_once, fd, EF_EV_SYNC);
  assert_true(ev_run(EV_A_ EVRUN_NOWAIT)); /* a watcher that nothing happens to does */
  ef_ev_io_stop(EV_A_ &p.io);
  ef_ev_io_stop(EV_A_ &p.io);
  assert_false(ev_run(EV_A_ 0));
  start_probe(EV_A_ &p, on_once, fd, EF_EV_SYNC);
  ev_unref(EV_A); /* the host's choice, as with libev's own */
  assert_false(ev_run(EV_A_ 0));
  ev_ref(EV_A);
  ef_ev_io_stop(EV_A_ &p.io);
  assert_int_equal(p.calls, 0);
  assert_int_equal(ef_close(fd), 0);
  assert_int_equal(ef_drain(ef_ev_port(EV_A), 5000), 0);
  assert_true(file_is(in_scratch("held"), 100, 2));
  ev_loop_destroy(EV_A);
}

/* ---- Inside callbacks */

static void on_kill_other(EV_P_ ef_ev_io *w, int revents) {
  struct probe *p = (struct probe *)w, *other = p->other;
  (void)revents;
  ++*p->order;
  ef_ev_io_stop(EV_A_ w);
  if (!other) return;
  assert_true(ev_is_pending(&other->io));
  ef_ev_io_stop(EV_A_ &other->io);
  assert_false(ev_is_pending(&other->io));
  free(other); /* whichever comes first; freed memory is looked at by nobody, or the sanitizer tells */
  p->other = NULL;
  free(p);
}

static void a_pending_watcher_can_be_stopped_and_freed(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  for (int same_file = 0; same_file < 2; ++same_file)
    for (int i = 0; i < 100; ++i) {
      int calls = 0, fd = open_small(EV_A_ "pending"), fd2 = same_file ? fd : open_small(EV_A_ "pending2");
      struct probe *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
      a->other = b;
      b->other = a;
      a->order = b->order = &calls;
      while (!(ef_ready(fd) & EF_READ) || !(ef_ready(fd2) & EF_READ)) sched_yield();
      start_probe(EV_A_ a, on_kill_other, fd, EV_READ);
      start_probe(EV_A_ b, on_kill_other, fd2, EV_READ);
      ev_run(EV_A_ 0);
      assert_int_equal(calls, 1);
      ef_close(fd);
      if (!same_file) ef_close(fd2);
    }
  ev_loop_destroy(EV_A);
}

static void nothing_stale_comes_after_a_restart(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  int fd = ef_ev_open(EV_A_ in_scratch("stale"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_int_equal(ef_write(fd, "x", 1), 1);
  struct probe p = {.calls = 0};
  start_probe(EV_A_ &p, on_once, fd, EF_EV_SYNC);
  assert_int_equal(ef_sync(fd), 0);
  assert_int_equal(ef_wait(fd, EF_SYNC, 5000), EF_SYNC); /* its event is in the queue now, or about to be */
  ef_ev_io_stop(EV_A_ &p.io);
  ef_ev_io_set(&p.io, fd, EV_WRITE);
  ef_ev_io_start(EV_A_ &p.io);
  ev_run(EV_A_ 0);
  assert_int_equal(p.calls, 1);
  assert_int_equal(p.revents, EV_WRITE);
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

static int sequence[8], sequence_length;

static void on_sequence(EV_P_ ef_ev_io *w, int revents) {
  (void)revents;
  sequence[sequence_length++] = ev_priority(w);
  ef_ev_io_stop(EV_A_ w);
}

static void priorities_are_kept(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  static const int priorities[] = {0, -2, 2, 1, -1};
  struct probe p[5];
  int fd = open_small(EV_A_ "priority");
  sequence_length = 0;
  memset(p, 0, sizeof p);
  while (!(ef_ready(fd) & EF_READ)) sched_yield();
  for (int i = 0; i < 5; ++i) {
    ef_ev_io_init(&p[i].io, on_sequence, fd, EV_READ);
    ev_set_priority(&p[i].io, priorities[i]);
    ef_ev_io_start(EV_A_ &p[i].io);
  }
  ev_run(EV_A_ 0);
  assert_int_equal(sequence_length, 5);
  for (int i = 0; i < 5; ++i) assert_int_equal(sequence[i], 2 - i);
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

static void libev_knows_the_watcher_as_one_of_its_own(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  int fd = open_small(EV_A_ "own");
  struct probe p = {.calls = 0};
  ef_ev_io_init(&p.io, on_once, fd, EV_READ);
  p.io.data = &p;
  ev_feed_event(EV_A_ &p.io, EV_CUSTOM);
  assert_true(ev_is_pending(&p.io));
  assert_int_equal(ev_clear_pending(EV_A_ &p.io), EV_CUSTOM);
  ev_feed_event(EV_A_ &p.io, EV_CUSTOM);
  ev_run(EV_A_ EVRUN_NOWAIT);
  assert_int_equal(p.calls, 1);
  assert_int_equal(p.revents, EV_CUSTOM);
  ev_invoke(EV_A_ &p.io, EV_CUSTOM);
  assert_int_equal(p.calls, 2);
  ef_ev_io_modify(&p.io, EF_EV_OPEN);
  ef_ev_io_start(EV_A_ &p.io);
  ev_run(EV_A_ 0);
  assert_int_equal(p.revents, EF_EV_OPEN);
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

/* ---- Misuse */

static void closing_a_watched_file_ends_its_watchers(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  for (int ready = 0; ready < 2; ++ready) {
    struct probe told = {.calls = 0}, others[2];
    memset(others, 0, sizeof others);
    int fd = ef_ev_open(EV_A_ in_scratch("gone"), O_RDWR | O_CREAT, 0600);
    start_probe(EV_A_ &told, on_once, fd, EF_EV_CLOSE);
    start_probe(EV_A_ &others[0], on_once, fd, EF_EV_SYNC);
    start_probe(EV_A_ &others[1], on_once, fd, ready ? EV_WRITE : EF_EV_ERROR);
    ef_close(fd);
    ev_run(EV_A_ 0);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.revents, EF_EV_CLOSE);
    assert_int_equal(told.error, 0);
    for (int i = 0; i < 2; ++i) {
      assert_int_equal(others[i].calls, 1);
      assert_true(others[i].revents & EV_ERROR);
      assert_int_equal(others[i].error, EBADF);
    }
  }
  ev_loop_destroy(EV_A);
}

static void numbers_that_cannot_be_watched_give_an_error_event(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop(), *another = ev_loop_new(EVFLAG_AUTO);
  int closed = open_small(EV_A_ "misuse"), foreign = open_small(another, "misuse"), fd = open_small(EV_A_ "misuse");
  int write_only = ef_ev_open(EV_A_ in_scratch("misuse"), O_WRONLY, 0);
  ef_close(closed);
  const struct {
    int fd, events, error;
  } cases[] = {
      {-1, EV_READ, EBADF},
      {123456, EV_READ, EBADF},
      {closed, EV_READ, EBADF},
      {foreign, EV_READ, EINVAL},
      {fd, EV_READ | EV_TIMER, EINVAL},
      {fd, -1, EINVAL},
      {fd, EV_WRITE, EBADF},
      {write_only, EV_READ | EF_EV_SYNC, EBADF},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
    struct probe p = {.calls = 0};
    errno = 4711;
    start_probe(EV_A_ &p, on_once, cases[i].fd, cases[i].events);
    assert_int_equal(errno, 4711);
    assert_false(ev_is_active(&p.io));
    assert_int_equal(p.calls, 0);
    ev_run(EV_A_ 0);
    assert_int_equal(p.calls, 1);
    assert_true(p.revents & EV_ERROR);
    assert_int_equal(p.error, cases[i].error);
  }
  ef_close(fd);
  ef_close(write_only);
  ef_close(foreign);
  assert_int_equal(ef_ev_open(EV_A_ NULL, O_RDONLY, 0), -1);
  assert_int_equal(errno, EFAULT);
  errno = 0;
  assert_null(ef_ev_port_sized(EV_A_ sizeof(ef_ev_io) + sizeof(void *)));
  assert_int_equal(errno, EINVAL);
  ev_loop_destroy(another);
  ev_loop_destroy(EV_A);
}

/* ---- The end of loops */

static void a_loop_has_one_port_for_its_life(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop(), *another = new_loop();
  ef_port *port = ef_ev_port(EV_A);
  assert_non_null(port);
  assert_ptr_equal(ef_ev_port(EV_A), port);
  assert_ptr_not_equal(ef_ev_port(another), port);
  int fd = open_small(EV_A_ "port");
  assert_ptr_equal(ef_port_of(fd), port);
  struct probe p = {.calls = 0};
  start_probe(EV_A_ &p, on_once, fd, EF_EV_CLOSE);
  assert_int_equal(ef_ev_detach(EV_A), -1);
  assert_int_equal(errno, EBUSY);
  ef_ev_io_stop(EV_A_ &p.io);
  assert_int_equal(ef_ev_detach(EV_A), 0);
  assert_int_equal(ef_ev_detach(EV_A), 0);
  ef_close(fd);
  assert_false(ev_run(EV_A_ 0));
  fd = open_small(EV_A_ "port"); /* and the next one is made on use */
  start_probe(EV_A_ &p, on_once, fd, EV_READ);
  ev_run(EV_A_ 0);
  assert_int_equal(p.calls, 1);
  ef_close(fd);
  ev_loop_destroy(another);
  ev_loop_destroy(EV_A);
}

static void on_host_cleanup(EV_P_ ev_cleanup *w, int revents) {
  (void)revents;
  ef_ev_io_stop(EV_A_ w->data);
}

static void a_destroyed_loop_leaves_its_bytes_to_the_disk(void **state) {
  (void)state;
  enum { files = 8, bytes = 300000 };
  static char buf[bytes];
  struct ev_loop *loop = new_loop();
  struct probe p[files];
  char name[32];
  ef_file_options o = {.size = sizeof o, .flush_interval_ms = 3600000};
  memset(p, 0, sizeof p);
  for (int i = 0; i < files; ++i) {
    snprintf(name, sizeof name, "dirty%d", i);
    int fd = ef_openat(ef_ev_port(EV_A), AT_FDCWD, in_scratch(name), O_RDWR | O_CREAT, 0600, &o);
    start_probe(EV_A_ &p[i], on_once, fd, i % 2 ? EV_WRITE : EF_EV_SYNC | EF_EV_CLOSE);
    fill_bytes(buf, bytes, 0, (unsigned)i);
    for (int at = 0; at < bytes; at += 50000) assert_int_equal(ef_write(fd, buf + at, 50000), 50000);
  }
  ev_cleanup host;
  ev_cleanup_init(&host, on_host_cleanup);
  host.data = &p[0].io;
  ev_cleanup_start(EV_A_ &host);
  ev_loop_destroy(EV_A);
  for (int i = 0; i < files; ++i) {
    assert_int_equal(p[i].calls, 0);
    assert_false(ev_is_active(&p[i].io));
    snprintf(name, sizeof name, "dirty%d", i);
    assert_int_equal(i % 2 ? ef_close(p[i].io.fd) : ef_flush(p[i].io.fd), 0);
    assert_true(file_becomes(in_scratch(name), bytes, (unsigned)i));
    if (i % 2 == 0) assert_int_equal(ef_close(p[i].io.fd), 0);
  }
}

static void loops_come_and_go_at_the_same_address(void **state) {
  (void)state;
  for (int i = 0; i < 300; ++i) {
    struct ev_loop *loop = new_loop();
    struct probe p = {.calls = 0};
    int fd = open_small(EV_A_ "again");
    start_probe(EV_A_ &p, on_once, fd, EV_READ);
    if (i % 3) ev_run(EV_A_ 0);
    if (i % 2) ef_close(fd);
    ev_loop_destroy(EV_A);
    if (i % 2 == 0) ef_close(fd);
  }
}

/* ---- Fork */

static int child_of(EV_P_ struct probe *p) {
  ev_loop_fork(EV_A);
  if (ev_run(EV_A_ 0)) return 1; /* the watchers are stopped, nothing holds the loop */
  if (p->calls != 1 || !(p->revents & EV_ERROR) || p->error != ECHILD) return 2;
  if (ev_is_active(&p->io)) return 3;
  if (ef_read(p->io.fd, &(char){0}, 1) >= 0 || errno != ECHILD) return 4;
  if (!FORK_CHILD_HAS_THREADS) return 0;
  struct probe fresh = {.calls = 0};
  int fd = ef_ev_open(EV_A_ in_scratch("fork"), O_RDONLY, 0);
  if (fd < 0) return 5;
  start_probe(EV_A_ &fresh, on_once, fd, EV_READ);
  ev_run(EV_A_ 0);
  char buf[100];
  if (fresh.calls != 1 || fresh.revents != EV_READ) return 6;
  ssize_t n; /* readiness is a hint: where nothing can be read at once, it is fetched now */
  while ((n = ef_read(fd, buf, sizeof buf)) < 0 && errno == EAGAIN) ef_wait(fd, EF_READ, -1);
  if (n != 100 || !bytes_are(buf, 100, 0, 1)) return 7;
  ef_close(fd);
  ev_loop_destroy(EV_A);
  return 0;
}

struct inherited {
  struct ev_loop *loop;
  struct probe *p;
};
static int in_child(void *arg) {
  struct inherited *i = arg;
  return child_of(i->loop, i->p);
}

static void a_fork_child_loses_the_watchers_and_may_make_new_ones(void **state) {
  (void)state;
  struct ev_loop *loop = new_loop();
  struct probe p = {.calls = 0};
  int fd = open_small(EV_A_ "fork");
  start_probe(EV_A_ &p, on_once, fd, EF_EV_CLOSE);
  ev_run(EV_A_ EVRUN_NOWAIT);
  struct inherited i = {loop, &p};
  assert_int_equal(status_of_child(in_child, &i), 0);
  ev_loop_fork(EV_A); /* legal here too: this is no child */
  ef_close(fd);
  ev_run(EV_A_ 0);
  assert_int_equal(p.calls, 1);
  assert_int_equal(p.revents, EF_EV_CLOSE);
  ev_loop_destroy(EV_A);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(only_started_watchers_hold_the_loop),
      cmocka_unit_test(a_pending_watcher_can_be_stopped_and_freed),
      cmocka_unit_test(nothing_stale_comes_after_a_restart),
      cmocka_unit_test(priorities_are_kept),
      cmocka_unit_test(libev_knows_the_watcher_as_one_of_its_own),
      cmocka_unit_test(closing_a_watched_file_ends_its_watchers),
      cmocka_unit_test(numbers_that_cannot_be_watched_give_an_error_event),
      cmocka_unit_test(a_loop_has_one_port_for_its_life),
      cmocka_unit_test(a_destroyed_loop_leaves_its_bytes_to_the_disk),
      cmocka_unit_test(loops_come_and_go_at_the_same_address),
      cmocka_unit_test(a_fork_child_loses_the_watchers_and_may_make_new_ones),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
