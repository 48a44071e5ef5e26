/* SPDX-License-Identifier: BSD-2-Clause */
/* What libev's users do wrong, and what runs out below them: told by the call or to the watcher, and nothing of it
 * stays. The linker leads the calls that can fail here. */
#include "adapter_files.h"

#include <efio_ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

/* The call that fails, counted from now; 0: none. */
static atomic_int fails_at;

static bool fails(int error) {
  if (atomic_load(&fails_at) <= 0 || atomic_fetch_sub(&fails_at, 1) != 1) return false;
  errno = error;
  return true;
}

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes) { return fails(ENOMEM) ? NULL : __real_calloc(n, bytes); }
ef_port *__real_ef_port_new(const ef_port_options *options);
ef_port *__wrap_ef_port_new(const ef_port_options *options) {
  return fails(EMFILE) ? NULL : __real_ef_port_new(options);
}
int __real_ef_port_fd(ef_port *port);
int __wrap_ef_port_fd(ef_port *port) { return fails(EMFILE) ? -1 : __real_ef_port_fd(port); }

struct probe {
  ef_ev_io io;
  int calls, revents, error;
};

static void on_once(EV_P_ ef_ev_io *w, int revents) {
  struct probe *p = (struct probe *)w;
  ++p->calls;
  p->revents = revents;
  p->error = w->error;
  ef_ev_io_stop(EV_A_ w);
}

static void on_request(EV_P_ ef_ev_request *r) {
  (void)loop;
  ++*(int *)r->data;
}

static struct ev_loop *new_loop(void) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  assert_non_null(loop);
  return loop;
}

static void refused(EV_P_ int fd, int events, int error) {
  struct probe p = {.calls = 0};
  ef_ev_io_init(&p.io, on_once, fd, events);
  ef_ev_io_start(EV_A_ &p.io);
  assert_false(ev_is_active(&p.io));
  ev_run(EV_A_ EVRUN_NOWAIT);
  assert_int_equal(p.calls, 1);
  assert_true(p.revents & EV_ERROR);
  assert_int_equal(p.error, error);
}

/* Each way into a new loop, and each step of it that fails: told, and the loop is as it was. */
static int into(int way, EV_P_ int fd, struct probe *p) {
  ef_ev_request r = {.data = NULL};
  char byte;
  errno = 0;
  switch (way) {
  case 0: return ef_ev_port(EV_A) ? 0 : errno;
  case 1: return ef_ev_open(EV_A_ "/dev/null", O_RDONLY, 0) >= 0 ? 0 : errno;
  case 2:
    ef_ev_request_init(&r, on_request);
    return ef_ev_pread(EV_A_ &r, fd, &byte, 1, 0) >= 0 || errno == EINVAL ? 0 : errno; /* a file of another loop */
  default:
    ef_ev_io_init(&p->io, on_once, fd, EV_READ);
    ef_ev_io_start(EV_A_ &p->io);
    ev_run(EV_A_ EVRUN_NOWAIT);
    return p->error == EINVAL ? 0 : p->error;
  }
}

static void a_loop_without_memory_or_descriptors_is_told_of(void **state) {
  (void)state;
  assert_true(make_file(in_scratch("trouble"), 100, 1));
  struct ev_loop *others = new_loop();
  const int fd = ef_ev_open(others, in_scratch("trouble"), O_RDONLY, 0);
  assert_true(fd >= 0);
  int failed = 0;
  for (int way = 0; way < 4; ++way)
    for (int n = 1;; ++n) {
      struct ev_loop *loop = new_loop();
      struct probe p = {.calls = 0};
      fails_at = n;
      const int error = into(way, EV_A_ fd, &p);
      const bool none = fails_at > 0;
      fails_at = 0;
      assert_true(error == 0 || error == ENOMEM || error == EMFILE);
      failed += error != 0;
      assert_int_equal(into(way, EV_A_ fd, &p), 0);
      ev_loop_destroy(EV_A);
      if (none) break;
    }
  print_message("  %d ways to fail\n", failed);
  assert_true(failed >= 16);
  ef_close(fd);
  ev_loop_destroy(others);
}

/* More watchers than the table began with, which cannot grow: each of them is found. */
static void a_table_that_cannot_grow_still_finds_all(void **state) {
  (void)state;
  enum { count = 400 };
  static struct probe all[count];
  assert_true(make_file(in_scratch("trouble"), 100, 1));
  struct ev_loop *loop = new_loop();
  const int fd = ef_ev_open(EV_A_ in_scratch("trouble"), O_RDONLY, 0);
  int denied = 0;
  for (int i = 0; i < count; ++i) {
    fails_at = 1;
    ef_ev_io_init(&all[i].io, on_once, fd, EV_READ);
    ef_ev_io_start(EV_A_ &all[i].io);
    denied += fails_at == 0;
    fails_at = 0;
    assert_true(ev_is_active(&all[i].io));
  }
  assert_true(denied > 0);
  ev_run(EV_A_ 0);
  for (int i = 0; i < count; ++i) {
    assert_int_equal(all[i].calls, 1);
    assert_int_equal(all[i].revents, EV_READ);
  }
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

static void what_cannot_be_watched_is_told(void **state) {
  (void)state;
  assert_true(make_file(in_scratch("trouble"), 100, 1));
  struct ev_loop *loop = new_loop(), *others = new_loop();
  const int fd = ef_ev_open(EV_A_ in_scratch("trouble"), O_RDONLY, 0),
            written = ef_ev_open(EV_A_ in_scratch("trouble"), O_WRONLY, 0),
            foreign = ef_ev_open(others, in_scratch("trouble"), O_RDONLY, 0);
  refused(EV_A_ -1, EV_READ, EBADF);
  refused(EV_A_ foreign, EV_READ, EINVAL);
  refused(EV_A_ fd, 1 << 20, EINVAL);
  refused(EV_A_ fd, EV_WRITE, EBADF);
  refused(EV_A_ written, EV_READ, EBADF);
  errno = 0;
  assert_null(ef_ev_port_sized(EV_A_ sizeof(ef_ev_io) + 8));
  assert_int_equal(errno, EINVAL);

  char byte = 0;
  int over = 0;
  ef_ev_request r = {.data = &over};
  const int wrong[][2] = {{-1, EBADF}, {foreign, EINVAL}};
  ef_ev_request_init(&r, on_request);
  for (int i = 0; i < 2; ++i) {
    errno = 0;
    assert_int_equal(ef_ev_pread(EV_A_ &r, wrong[i][0], &byte, 1, 0), -1);
    assert_int_equal(errno, wrong[i][1]);
    errno = 0;
    assert_int_equal(ef_ev_pwrite(EV_A_ &r, wrong[i][0], &byte, 1, 0), -1);
    assert_int_equal(errno, wrong[i][1]);
  }
  errno = 0;
  assert_int_equal(ef_ev_pread(EV_A_ NULL, fd, &byte, 1, 0), -1);
  assert_int_equal(errno, EINVAL);
  ef_ev_request_init(&r, NULL);
  errno = 0;
  assert_int_equal(ef_ev_pread(EV_A_ &r, fd, &byte, 1, 0), -1);
  assert_int_equal(errno, EINVAL);
  ef_ev_request_init(&r, on_request);
  errno = 0;
  assert_int_equal(ef_ev_pwrite(EV_A_ &r, fd, &byte, 1, 0), -1); /* it was opened for reading */
  assert_int_equal(errno, EBADF);
  assert_false(ev_run(EV_A_ 0)); /* nothing holds the loop */
  assert_int_equal(over, 0);
  ef_close(fd), ef_close(written), ef_close(foreign);
  ev_loop_destroy(others);
  ev_loop_destroy(EV_A);
}

static void a_watcher_starts_once_and_with_a_priority_that_is(void **state) {
  (void)state;
  assert_true(make_file(in_scratch("trouble"), 100, 1));
  struct ev_loop *loop = new_loop();
  const int fd = ef_ev_open(EV_A_ in_scratch("trouble"), O_RDONLY, 0);
  for (int priority = -1000; priority <= 1000; priority += 1000) {
    struct probe p = {.calls = 0};
    ef_ev_io_init(&p.io, on_once, fd, EV_READ);
    ev_set_priority(&p.io, priority);
    ef_ev_io_start(EV_A_ &p.io);
    ef_ev_io_start(EV_A_ &p.io);
    assert_int_equal(ev_priority(&p.io), priority < 0 ? EV_MINPRI : priority > 0 ? EV_MAXPRI : 0);
    ev_run(EV_A_ 0);
    assert_int_equal(p.calls, 1);
  }
  ef_close(fd);
  ev_loop_destroy(EV_A);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_loop_without_memory_or_descriptors_is_told_of), /* first: the library itself begins */
      cmocka_unit_test(a_table_that_cannot_grow_still_finds_all),
      cmocka_unit_test(what_cannot_be_watched_is_told),
      cmocka_unit_test(a_watcher_starts_once_and_with_a_priority_that_is),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
