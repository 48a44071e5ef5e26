/* SPDX-License-Identifier: BSD-2-Clause */
/* What libuv's users do wrong, and what runs out below them: told by the call itself, and nothing of it stays. The
 * linker leads the calls that can fail here. */
#include "adapter_files.h"

#include <efio_uv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

/* The call that fails, counted from now; 0: none. */
static atomic_int fails_at;

static bool fails(void) { return atomic_load(&fails_at) > 0 && atomic_fetch_sub(&fails_at, 1) == 1; }

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) { return fails() ? NULL : __real_malloc(bytes); }
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes) { return fails() ? NULL : __real_calloc(n, bytes); }
int __real_uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd);
int __wrap_uv_poll_init(uv_loop_t *loop, uv_poll_t *poll, int fd) {
  return fails() ? UV_ENOMEM : __real_uv_poll_init(loop, poll, fd);
}
ef_port *__real_ef_port_new(const ef_port_options *options);
ef_port *__wrap_ef_port_new(const ef_port_options *options) {
  if (!fails()) return __real_ef_port_new(options);
  errno = EMFILE;
  return NULL;
}
int __real_ef_port_fd(ef_port *port);
int __wrap_ef_port_fd(ef_port *port) {
  if (!fails()) return __real_ef_port_fd(port);
  errno = EMFILE;
  return -1;
}

enum { many = 20 }; /* spans: more than a request has room for */
static uv_loop_t loop;
static ef_uv_file_t file;
static char bytes[many];
static uv_buf_t spans[many];
static int calls;
static ssize_t last_result;

static int loop_setup(void **state) {
  (void)state;
  calls = 0;
  fails_at = 0;
  for (int i = 0; i < many; ++i) spans[i] = uv_buf_init(&bytes[i], 1);
  return uv_loop_init(&loop);
}
static int loop_teardown(void **state) {
  (void)state;
  return uv_loop_close(&loop);
}

static void on_closed(ef_uv_file_t *f) { (void)f, ++calls; }
static void on_done(ef_uv_req_t *r, int status) { (void)r, ++calls, last_result = status; }
static void on_at(ef_uv_at_t *r, ssize_t result) { (void)r, ++calls, last_result = result; }
static void on_poll(ef_uv_file_t *f, int status, int events) { (void)f, (void)status, (void)events; }
static void on_alloc(ef_uv_file_t *f, size_t wish, uv_buf_t *out) { (void)f, (void)wish, *out = spans[0]; }
static void on_read(ef_uv_file_t *f, ssize_t n, const uv_buf_t *b) { (void)f, (void)n, (void)b; }

static void open_file(int flags) {
  assert_true(make_file(in_scratch("trouble"), 100, 1));
  assert_int_equal(ef_uv_open(&loop, &file, in_scratch("trouble"), flags, 0600), 0);
}
static void close_file(void) {
  calls = 0;
  ef_uv_close(&file, on_closed);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(calls, 1);
}

#define REFUSED(call) assert_int_equal(call, UV_EINVAL)

static void what_is_missing_is_told(void **state) {
  (void)state;
  ef_uv_req_t r = {.data = NULL};
  ef_uv_at_t at = {.data = NULL};
  uv_stat_t st;
  ef_file_options old = {.size = 1};
  open_file(UV_FS_O_RDWR);
  REFUSED(ef_uv_open(NULL, &file, "/", UV_FS_O_RDONLY, 0));
  REFUSED(ef_uv_open(&loop, NULL, "/", UV_FS_O_RDONLY, 0));
  REFUSED(ef_uv_open(&loop, &file, NULL, UV_FS_O_RDONLY, 0));
  REFUSED(ef_uv_fdopen(&loop, &file, 0, &old));
  REFUSED(ef_uv_fstat(NULL, &st));
  REFUSED(ef_uv_fstat(&file, NULL));
  REFUSED(ef_uv_write(NULL, &file, spans, 1, on_done));
  REFUSED(ef_uv_write(&r, NULL, spans, 1, on_done));
  REFUSED(ef_uv_write(&r, &file, NULL, 1, on_done));
  REFUSED(ef_uv_write(&r, &file, spans, 0, on_done));
  REFUSED(ef_uv_write(&r, &file, spans, 1, NULL));
  REFUSED(ef_uv_try_write(NULL, spans, 1));
  REFUSED(ef_uv_try_write(&file, NULL, 1));
  REFUSED(ef_uv_try_write(&file, spans, 0));
  REFUSED(ef_uv_try_write(&file, spans, 1025));
  REFUSED(ef_uv_sync(NULL, &file, on_done));
  REFUSED(ef_uv_sync(&r, NULL, on_done));
  REFUSED(ef_uv_sync(&r, &file, NULL));
  REFUSED(ef_uv_read_at(NULL, &file, spans, 1, 0, on_at));
  REFUSED(ef_uv_read_at(&at, NULL, spans, 1, 0, on_at));
  REFUSED(ef_uv_read_at(&at, &file, NULL, 1, 0, on_at));
  REFUSED(ef_uv_read_at(&at, &file, spans, 0, 0, on_at));
  REFUSED(ef_uv_read_at(&at, &file, spans, 1025, 0, on_at));
  REFUSED(ef_uv_read_at(&at, &file, spans, 1, -1, on_at));
  REFUSED(ef_uv_read_at(&at, &file, spans, 1, 0, NULL));
  REFUSED(ef_uv_try_read_at(&file, spans, 0, 0));
  REFUSED(ef_uv_cancel_at(NULL));
  assert_int_equal(ef_uv_cancel_at(&at), UV_ENOENT);
  REFUSED(ef_uv_read_start(NULL, on_alloc, on_read));
  REFUSED(ef_uv_read_start(&file, NULL, on_read));
  REFUSED(ef_uv_read_start(&file, on_alloc, NULL));
  REFUSED(ef_uv_read_stop(NULL));
  REFUSED(ef_uv_poll_start(NULL, UV_READABLE, on_poll));
  REFUSED(ef_uv_poll_start(&file, 0, on_poll));
  REFUSED(ef_uv_poll_start(&file, 1 << 20, on_poll));
  REFUSED(ef_uv_poll_start(&file, UV_READABLE, NULL));
  REFUSED(ef_uv_poll_stop(NULL));
  assert_int_equal(ef_uv_read_stop(&file), 0); /* nothing was started */
  assert_int_equal(ef_uv_poll_stop(&file), 0);
  assert_false(ef_uv_owns(NULL));
  assert_false(ef_uv_is_active(&file));
  close_file();
  assert_true(file_is(in_scratch("trouble"), 100, 1));
}

static void a_file_that_is_closing_takes_nothing_more(void **state) {
  (void)state;
  ef_uv_req_t r = {.data = NULL};
  ef_uv_at_t at = {.data = NULL};
  open_file(UV_FS_O_RDWR);
  ef_uv_close(&file, on_closed);
  assert_int_equal(ef_uv_write(&r, &file, spans, 1, on_done), UV_EBADF);
  assert_int_equal(ef_uv_try_write(&file, spans, 1), UV_EBADF);
  assert_int_equal(ef_uv_sync(&r, &file, on_done), UV_EBADF);
  assert_int_equal(ef_uv_write_at(&at, &file, spans, 1, 0, on_at), UV_EBADF);
  assert_int_equal(ef_uv_try_read_at(&file, spans, 1, 0), UV_EBADF);
  REFUSED(ef_uv_read_start(&file, on_alloc, on_read));
  REFUSED(ef_uv_poll_start(&file, UV_READABLE, on_poll));
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(calls, 1); /* of the close alone */
  assert_true(file_is(in_scratch("trouble"), 100, 1));
}

static void a_file_of_the_wrong_mode_refuses_requests(void **state) {
  (void)state;
  ef_uv_at_t at = {.data = NULL};
  open_file(UV_FS_O_RDONLY);
  for (unsigned n = 1; n <= many; n += many - 1) { /* with spans of its own, and without */
    assert_int_equal(ef_uv_write_at(&at, &file, spans, n, 0, on_at), UV_EBADF);
    assert_int_equal(ef_uv_cancel_at(&at), UV_ENOENT);
  }
  assert_int_equal(ef_uv_is_active(&file), 0);
  close_file();
  open_file(UV_FS_O_WRONLY);
  assert_int_equal(ef_uv_try_read_at(&file, spans, 1, 0), UV_EBADF);
  close_file();
}

/* Spans of a request that need memory: refused without it, and nothing was written. */
static void a_request_without_memory_is_refused(void **state) {
  (void)state;
  ef_uv_req_t r = {.data = NULL};
  ef_uv_at_t at = {.data = NULL};
  assert_true(make_file(in_scratch("trouble"), 0, 1));
  assert_int_equal(ef_uv_open(&loop, &file, in_scratch("trouble"), UV_FS_O_WRONLY, 0600), 0);
  uv_run(&loop, UV_RUN_NOWAIT);
  fill_bytes(bytes, many, 0, 1);
  fails_at = 1;
  assert_int_equal(ef_uv_write(&r, &file, spans, many, on_done), UV_ENOMEM);
  fails_at = 1;
  assert_int_equal(ef_uv_write_at(&at, &file, spans, many, 0, on_at), UV_ENOMEM);
  assert_int_equal(ef_uv_is_active(&file), 0);
  assert_int_equal(ef_uv_write(&r, &file, spans, many, on_done), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(calls, 1);
  assert_int_equal(last_result, 0);
  close_file();
  assert_true(file_is(in_scratch("trouble"), many, 1));
}

/* Each step of making a loop's first file fails: it is told, the loop is as it was. */
static void a_first_open_that_fails_leaves_the_loop_alone(void **state) {
  (void)state;
  int failed = 0;
  for (int n = 1;; ++n) {
    assert_true(make_file(in_scratch("trouble"), 100, 1));
    fails_at = n;
    const int r = ef_uv_open(&loop, &file, in_scratch("trouble"), UV_FS_O_RDONLY, 0);
    const bool none = fails_at > 0;
    fails_at = 0;
    if (none) {
      assert_int_equal(r, 0);
      close_file();
      break;
    }
    if (r == 0) { /* a thread more or less of the library */
      close_file();
      uv_run(&loop, UV_RUN_DEFAULT);
      continue;
    }
    assert_true(r == UV_ENOMEM || r == UV_EMFILE);
    assert_false(uv_loop_alive(&loop));
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
    ++failed;
  }
  print_message("  %d ways to fail\n", failed);
  assert_true(failed >= 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_first_open_that_fails_leaves_the_loop_alone), /* first: the library itself begins */
      TEST(what_is_missing_is_told),
      TEST(a_file_that_is_closing_takes_nothing_more),
      TEST(a_file_of_the_wrong_mode_refuses_requests),
      TEST(a_request_without_memory_is_refused),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
