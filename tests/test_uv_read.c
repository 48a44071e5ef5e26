/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and polling files on libuv: contents, end of file, growth, errors, levels, stopping inside callbacks. */
#include "adapter_files.h"

#include <efio_uv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct reading {
  ef_uv_file_t file;
  unsigned seed;
  uint64_t offset;
  int calls, ends, error, closed, allocations, returned;
  size_t a_call;
};

static uv_loop_t loop;
static bool inside_call;

static int loop_setup(void **state) {
  (void)state;
  return uv_loop_init(&loop);
}

/* Everything has gone: the loop closes at once. */
static int loop_teardown(void **state) {
  (void)state;
  return uv_loop_close(&loop);
}

static struct reading *of(ef_uv_file_t *f) { return f->data; }

static void on_closed(ef_uv_file_t *f) {
  assert_true(ef_uv_is_closing(f));
  ++of(f)->closed;
}

static void on_alloc(ef_uv_file_t *f, size_t suggested, uv_buf_t *buf) {
  assert_int_equal(suggested, 65536);
  ++of(f)->allocations;
  *buf = uv_buf_init(malloc(of(f)->a_call), (unsigned)of(f)->a_call);
}

static void on_read(ef_uv_file_t *f, ssize_t n, const uv_buf_t *buf) {
  struct reading *r = of(f);
  assert_false(inside_call);
  ++r->calls;
  ++r->returned;
  if (n > 0) {
    assert_true(bytes_are(buf->base, (size_t)n, r->offset, r->seed));
    r->offset += (uint64_t)n;
  }
  free(buf->base);
  if (n >= 0) return;
  if (n == UV_EOF)
    ++r->ends;
  else
    r->error = (int)n;
  ef_uv_close(f, on_closed);
}

static void open_reading(struct reading *r, const char *path, unsigned seed, size_t a_call) {
  memset(r, 0, sizeof *r);
  r->seed = seed;
  r->a_call = a_call;
  r->file.data = r;
  assert_int_equal(ef_uv_open(&loop, &r->file, path, UV_FS_O_RDONLY, 0), 0);
  assert_ptr_equal(r->file.data, r);
  assert_ptr_equal(r->file.loop, &loop);
}

static void start_reading(struct reading *r) {
  inside_call = true;
  assert_int_equal(ef_uv_read_start(&r->file, on_alloc, on_read), 0);
  assert_int_equal(ef_uv_read_start(&r->file, on_alloc, on_read), UV_EALREADY);
  assert_true(ef_uv_is_active(&r->file));
  inside_call = false;
}

static void a_file_is_read_to_its_end(void **state) {
  (void)state;
  const uint64_t size = 3 * 1024 * 1024 + 123;
  assert_true(make_file(in_scratch("read"), size, 1));
  static const size_t sizes[] = {100, 4096, 65536};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
    struct reading r;
    open_reading(&r, in_scratch("read"), 1, sizes[i]);
    start_reading(&r);
    assert_int_equal(r.calls, 0);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(r.offset, size);
    assert_int_equal(r.ends, 1);
    assert_int_equal(r.closed, 1);
    assert_int_equal(r.file.status, 0);
    assert_int_equal(r.allocations, r.returned);
  }
}

static void bytes_that_are_not_in_memory_are_waited_for(void **state) {
  (void)state;
  const uint64_t size = 8 * 1024 * 1024;
  assert_true(make_file(in_scratch("cold"), size, 2));
  int fd = open(in_scratch("cold"), O_RDWR);
  assert_int_equal(fsync(fd), 0);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
  struct reading r;
  open_reading(&r, in_scratch("cold"), 2, 65536);
  start_reading(&r);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(r.offset, size);
  assert_int_equal(r.closed, 1);
}

static void the_error_of_the_open_comes_with_the_first_call(void **state) {
  (void)state;
  struct reading r;
  open_reading(&r, in_scratch("nowhere"), 0, 10);
  start_reading(&r);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(r.error, UV_ENOENT);
  assert_int_equal(r.calls, 1);
  assert_int_equal(r.closed, 1);
}

static void on_no_memory(ef_uv_file_t *f, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  (void)buf; /* left as it is: nothing */
  ++of(f)->allocations;
}

static void without_a_buffer_the_error_is_ENOBUFS(void **state) {
  (void)state;
  struct reading r;
  assert_true(make_file(in_scratch("small"), 100, 3));
  open_reading(&r, in_scratch("small"), 3, 10);
  assert_int_equal(ef_uv_read_start(&r.file, on_no_memory, on_read), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(r.error, UV_ENOBUFS);
  assert_int_equal(r.calls, 1);
}

static void on_alloc_and_stop(ef_uv_file_t *f, size_t suggested, uv_buf_t *buf) {
  on_alloc(f, suggested, buf);
  if (of(f)->calls == 0)
    assert_int_equal(ef_uv_read_stop(f), 0);
  else
    ef_uv_close(f, on_closed);
}

static void stopping_in_the_alloc_callback_gives_the_buffer_back(void **state) {
  (void)state;
  struct reading r;
  assert_true(make_file(in_scratch("small"), 100, 3));
  open_reading(&r, in_scratch("small"), 3, 10);
  for (int i = 1; i <= 2; ++i) {
    assert_int_equal(ef_uv_read_start(&r.file, on_alloc_and_stop, on_read), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(r.calls, i);
    assert_int_equal(r.returned, i);
    assert_int_equal(r.offset, 0);
  }
  assert_int_equal(r.closed, 1);
}

static void on_read_then_stop(ef_uv_file_t *f, ssize_t n, const uv_buf_t *buf) {
  on_read(f, n, buf);
  if (n > 0) assert_int_equal(ef_uv_read_stop(f), 0);
}

static void reading_stops_and_goes_on_where_it_was(void **state) {
  (void)state;
  struct reading r;
  assert_true(make_file(in_scratch("small"), 100, 3));
  open_reading(&r, in_scratch("small"), 3, 10);
  for (int i = 1; i <= 10; ++i) {
    assert_int_equal(ef_uv_read_start(&r.file, on_alloc, on_read_then_stop), 0);
    uv_run(&loop, UV_RUN_DEFAULT); /* ends because nothing is active */
    assert_int_equal(r.offset, i * 10);
    assert_false(ef_uv_is_active(&r.file));
  }
  assert_int_equal(ef_uv_read_stop(&r.file), 0);
  assert_int_equal(r.closed, 0);
  ef_uv_close(&r.file, on_closed);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(r.closed, 1);
}

static void on_grow(ef_uv_file_t *f, ssize_t n, const uv_buf_t *buf) {
  struct reading *r = of(f);
  if (n != UV_EOF || ++r->ends == 5) return on_read(f, n, buf);
  free(buf->base);
  assert_false(ef_uv_is_active(f));
  assert_true(grow_file(in_scratch("tail"), r->offset, r->offset + 10000, 4));
  assert_int_equal(ef_uv_read_start(f, on_alloc, on_grow), 0);
}

static void a_file_that_grew_is_read_on(void **state) {
  (void)state;
  struct reading r;
  assert_true(make_file(in_scratch("tail"), 5000, 4));
  open_reading(&r, in_scratch("tail"), 4, 4096);
  assert_int_equal(ef_uv_read_start(&r.file, on_alloc, on_grow), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(r.offset, 45000);
  assert_int_equal(r.closed, 1);
}

static void on_tick(uv_timer_t *t) {
  ++*(int *)t->data;
  uv_stop(&loop);
}

static void on_forever(ef_uv_file_t *f, ssize_t n, const uv_buf_t *buf) {
  free(buf->base);
  ++of(f)->calls;
  assert_true(n == UV_EOF || n >= 0); /* 0: EAGAIN, where every read goes to a thread */
  if (n == UV_EOF) ef_uv_read_start(f, on_alloc, on_forever);
}

static void others_are_served_while_a_file_is_always_ready(void **state) {
  (void)state;
  struct reading r;
  int ticks = 0;
  uv_timer_t t;
  assert_true(make_file(in_scratch("small"), 100, 3));
  open_reading(&r, in_scratch("small"), 3, 10);
  assert_int_equal(ef_uv_read_start(&r.file, on_alloc, on_forever), 0);
  uv_timer_init(&loop, &t);
  t.data = &ticks;
  uv_timer_start(&t, on_tick, 50, 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(ticks, 1);
  assert_true(r.calls > 32);
  uv_close((uv_handle_t *)&t, NULL);
  ef_uv_close(&r.file, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- Polling */

struct polling {
  ef_uv_file_t file;
  int calls, status, events, most, closed;
};

static void on_poll(ef_uv_file_t *f, int status, int events) {
  struct polling *p = f->data;
  p->status = status;
  p->events = events;
  if (++p->calls == p->most) assert_int_equal(ef_uv_poll_stop(f), 0);
}

static void open_polling(struct polling *p, const char *path, int flags, int most) {
  memset(p, 0, sizeof *p);
  p->most = most;
  p->file.data = p;
  assert_int_equal(ef_uv_open(&loop, &p->file, path, flags, 0600), 0);
}

static void close_now(ef_uv_file_t *f) {
  ef_uv_close(f, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
}

static void polling_calls_as_long_as_the_file_is_ready(void **state) {
  (void)state;
  struct polling p;
  assert_true(make_file(in_scratch("small"), 100, 3));
  open_polling(&p, in_scratch("small"), UV_FS_O_RDWR, 1000);
  assert_int_equal(ef_uv_poll_start(&p.file, UV_READABLE | UV_WRITABLE, on_poll), 0);
  assert_int_equal(ef_uv_poll_start(&p.file, UV_READABLE, on_poll), 0); /* instead */
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(p.calls, 1000);
  assert_int_equal(p.events, UV_READABLE);
  char buf[100];
  ssize_t n; /* readiness is a hint: where nothing can be read at once, it is fetched now */
  while ((n = ef_read(p.file.fd, buf, sizeof buf)) < 0 && errno == EAGAIN) ef_wait(p.file.fd, EF_READ, -1);
  assert_int_equal(n, 100);
  assert_true(bytes_are(buf, 100, 0, 3));
  close_now(&p.file);
}

static void the_open_is_told_once_with_its_error(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int status;
  } cases[] = {{"small", 0}, {"nowhere", UV_ENOENT}};
  assert_true(make_file(in_scratch("small"), 100, 3));
  for (int i = 0; i < 2; ++i) {
    struct polling p;
    open_polling(&p, in_scratch(cases[i].name), UV_FS_O_RDONLY, 0);
    for (int again = 1; again <= 2; ++again) {
      assert_int_equal(ef_uv_poll_start(&p.file, EF_OPEN, on_poll), 0);
      uv_run(&loop, UV_RUN_DEFAULT); /* ends: it is told once, and polls for nothing else */
      assert_int_equal(p.calls, again);
      assert_int_equal(p.events, EF_OPEN);
      assert_int_equal(p.status, cases[i].status);
    }
    close_now(&p.file);
  }
}

static void trouble_with_accepted_bytes_is_told(void **state) {
  (void)state;
  struct polling p;
  open_polling(&p, "/dev/full", UV_FS_O_WRONLY, 1);
  uv_buf_t b = uv_buf_init((char[]){"x"}, 1);
  assert_int_equal(ef_uv_poll_start(&p.file, EF_ERROR, on_poll), 0);
  assert_int_equal(ef_uv_try_write(&p.file, &b, 1), 1);
  assert_int_equal(ef_flush(p.file.fd), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(p.calls, 1);
  assert_int_equal(p.status, UV_ENOSPC);
  assert_int_equal(p.events, EF_ERROR);
  ef_uv_close(&p.file, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(p.file.status, UV_ENOSPC); /* the byte was lost, and that is told again */
}

static void bad_arguments_are_told_at_once(void **state) {
  (void)state;
  struct polling p;
  uv_buf_t b = uv_buf_init((char[]){"x"}, 1);
  uv_stat_t st;
  ef_uv_req_t req;
  assert_int_equal(ef_uv_open(&loop, &p.file, "", UV_FS_O_RDONLY, 0), UV_ENOENT);
  assert_int_equal(ef_uv_open(&loop, &p.file, NULL, UV_FS_O_RDONLY, 0), UV_EINVAL);
  assert_int_equal(ef_uv_open(NULL, &p.file, "x", UV_FS_O_RDONLY, 0), UV_EINVAL);
  assert_int_equal(ef_uv_open(&loop, NULL, "x", UV_FS_O_RDONLY, 0), UV_EINVAL);
  assert_int_equal(ef_uv_openat(&loop, &p.file, -5, "x", UV_FS_O_RDONLY, 0, NULL), UV_EBADF);
  assert_int_equal(ef_uv_openat(&loop, &p.file, 0, "x", UV_FS_O_RDONLY, 0, &(ef_file_options){.size = 3}), UV_EINVAL);
  assert_int_equal(ef_uv_fdopen(&loop, &p.file, -1, NULL), UV_EBADF);
  assert_true(make_file(in_scratch("small"), 100, 3));
  open_polling(&p, in_scratch("small"), UV_FS_O_RDONLY, 0);
  assert_int_equal(ef_uv_poll_start(&p.file, 0, on_poll), UV_EINVAL);
  assert_int_equal(ef_uv_poll_start(&p.file, UV_PRIORITIZED, on_poll), UV_EINVAL);
  assert_int_equal(ef_uv_poll_start(&p.file, UV_READABLE, NULL), UV_EINVAL);
  assert_int_equal(ef_uv_poll_start(&p.file, UV_WRITABLE, on_poll), UV_EBADF);
  assert_int_equal(ef_uv_read_start(&p.file, NULL, on_read), UV_EINVAL);
  assert_int_equal(ef_uv_write(&req, &p.file, &b, 0, NULL), UV_EINVAL);
  assert_int_equal(ef_uv_try_write(&p.file, &b, 1), UV_EBADF);
  assert_int_equal(ef_uv_fstat(&p.file, NULL), UV_EINVAL);
  ef_uv_close(&p.file, NULL);
  ef_uv_close(&p.file, NULL);
  assert_int_equal(ef_uv_poll_start(&p.file, UV_READABLE, on_poll), UV_EINVAL);
  assert_int_equal(ef_uv_read_start(&p.file, on_alloc, on_read), UV_EINVAL);
  assert_int_equal(ef_uv_try_write(&p.file, &b, 1), UV_EBADF);
  assert_int_equal(ef_uv_fstat(&p.file, &st), UV_EBADF);
  uv_run(&loop, UV_RUN_DEFAULT);
  open_polling(&p, in_scratch("small"), UV_FS_O_WRONLY, 0);
  assert_int_equal(ef_uv_read_start(&p.file, on_alloc, on_read), UV_EBADF);
  assert_false(ef_uv_is_active(&p.file));
  close_now(&p.file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_file_is_read_to_its_end),
      TEST(bytes_that_are_not_in_memory_are_waited_for),
      TEST(the_error_of_the_open_comes_with_the_first_call),
      TEST(without_a_buffer_the_error_is_ENOBUFS),
      TEST(stopping_in_the_alloc_callback_gives_the_buffer_back),
      TEST(reading_stops_and_goes_on_where_it_was),
      TEST(a_file_that_grew_is_read_on),
      TEST(others_are_served_while_a_file_is_always_ready),
      TEST(polling_calls_as_long_as_the_file_is_ready),
      TEST(the_open_is_told_once_with_its_error),
      TEST(trouble_with_accepted_bytes_is_told),
      TEST(bad_arguments_are_told_at_once),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
