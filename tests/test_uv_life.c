/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of libuv files: what keeps a loop alive, closing at any time, the adapter's own handles, fork. */
#include "adapter_files.h"
#include "child.h"

#include <efio_uv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uv_loop_t loop;
static int closed;

static int loop_setup(void **state) {
  (void)state;
  closed = 0;
  return uv_loop_init(&loop);
}

/* Everything has gone: the loop closes at once. */
static int loop_teardown(void **state) {
  (void)state;
  return uv_loop_close(&loop);
}

static void on_closed(ef_uv_file_t *f) {
  ++closed;
  memset(f, 0xee, sizeof *f); /* the caller's again */
}

static void on_closed_kept(ef_uv_file_t *f) {
  (void)f;
  ++closed;
}

static void open_small(ef_uv_file_t *f, const char *name, int flags) {
  assert_true(make_file(in_scratch(name), 100, 1));
  assert_int_equal(ef_uv_open(&loop, f, in_scratch(name), flags, 0600), 0);
}

static void on_poll_stop(ef_uv_file_t *f, int status, int events) {
  (void)status;
  (void)events;
  ++*(int *)f->data;
  ef_uv_poll_stop(f);
}

/* ---- What keeps a loop alive */

static void an_open_file_does_not_hold_the_loop(void **state) {
  (void)state;
  ef_uv_file_t f;
  char data[100];
  fill_bytes(data, sizeof data, 0, 1);
  uv_buf_t b = uv_buf_init(data, sizeof data);
  open_small(&f, "held", UV_FS_O_WRONLY | UV_FS_O_TRUNC);
  assert_int_equal(ef_uv_try_write(&f, &b, 1), 100);
  assert_false(uv_loop_alive(&loop));
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0); /* buffered bytes do not either */
  assert_int_equal(uv_loop_close(&loop), UV_EBUSY);
  ef_uv_close(&f, on_closed);
  assert_true(uv_loop_alive(&loop));
  assert_int_equal(closed, 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(closed, 1);
  assert_true(file_is(in_scratch("held"), 100, 1));
}

static void reading_and_polling_hold_it_unless_unreffed(void **state) {
  (void)state;
  ef_uv_file_t f;
  int calls = 0;
  open_small(&f, "held", UV_FS_O_WRONLY);
  f.data = &calls;
  assert_true(ef_uv_has_ref(&f));
  assert_false(ef_uv_is_active(&f));
  assert_int_equal(ef_uv_poll_start(&f, EF_ERROR, on_poll_stop), 0); /* which does not happen */
  assert_true(ef_uv_is_active(&f));
  assert_true(uv_run(&loop, UV_RUN_NOWAIT));
  ef_uv_unref(&f);
  ef_uv_unref(&f);
  assert_false(ef_uv_has_ref(&f));
  assert_true(ef_uv_is_active(&f));
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  ef_uv_ref(&f);
  assert_true(uv_loop_alive(&loop));
  assert_int_equal(ef_uv_poll_stop(&f), 0);
  assert_false(uv_loop_alive(&loop));
  ef_uv_unref(&f);
  assert_int_equal(ef_uv_poll_start(&f, UV_WRITABLE, on_poll_stop), 0);
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(calls, 0);
  ef_uv_close(&f, on_closed); /* closing holds always */
  assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
  assert_int_equal(closed, 1);
}

static void on_req(ef_uv_req_t *req, int status) { *(int *)req->data = status; }

static void a_request_holds_the_loop_of_an_unreffed_file(void **state) {
  (void)state;
  ef_uv_file_t f;
  ef_uv_req_t req;
  int status = 1;
  open_small(&f, "held", UV_FS_O_WRONLY);
  ef_uv_unref(&f);
  req.data = &status;
  assert_int_equal(ef_uv_sync(&req, &f, on_req), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(status, 0);
  ef_uv_close(&f, on_closed);
  uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- Closing */

static int canceled, status_of_close;

static void on_canceled(ef_uv_req_t *req, int status) {
  assert_int_equal(status, UV_ECANCELED);
  assert_true(ef_uv_is_closing(req->file));
  assert_int_equal(closed, 0); /* before the close callback */
  ++canceled;
}

static void closing_cancels_requests_and_keeps_accepted_bytes(void **state) {
  (void)state;
  enum { bytes = 8000000 };
  static char data[bytes];
  ef_uv_file_t f;
  ef_uv_req_t w[3], s;
  fill_bytes(data, sizeof data, 0, 2);
  unlink(in_scratch("cancel"));
  ef_file_options o = {.size = sizeof o, .write_buffer_max = 128 * 1024};
  const int flags = UV_FS_O_WRONLY | UV_FS_O_CREAT;
  assert_int_equal(ef_uv_openat(&loop, &f, AT_FDCWD, in_scratch("cancel"), flags, 0600, &o), 0);
  uv_buf_t b = uv_buf_init(data, 1000), rest = uv_buf_init(data + 1000, bytes - 1000);
  assert_int_equal(ef_uv_try_write(&f, &b, 1), 1000);
  for (int i = 0; i < 3; ++i) assert_int_equal(ef_uv_write(&w[i], &f, &rest, 1, on_canceled), 0);
  assert_int_equal(ef_uv_sync(&s, &f, on_canceled), 0);
  canceled = 0;
  ef_uv_close(&f, on_closed);
  assert_int_equal(canceled, 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(canceled, 4);
  assert_int_equal(closed, 1);
  struct stat st;
  assert_int_equal(stat(in_scratch("cancel"), &st), 0);
  assert_true(st.st_size >= 1000 && st.st_size < bytes); /* a prefix, unbroken */
  assert_true(file_is(in_scratch("cancel"), (uint64_t)st.st_size, 2));
}

static void on_closed_status(ef_uv_file_t *f) {
  ++closed;
  status_of_close = f->status;
}

static void the_close_callback_knows_what_was_lost(void **state) {
  (void)state;
  ef_uv_file_t f;
  uv_buf_t b = uv_buf_init((char[]){"x"}, 1);
  assert_int_equal(ef_uv_open(&loop, &f, "/dev/full", UV_FS_O_WRONLY, 0), 0);
  assert_int_equal(ef_uv_try_write(&f, &b, 1), 1);
  ef_uv_close(&f, on_closed_status);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(status_of_close, UV_ENOSPC);
  open_small(&f, "held", UV_FS_O_RDONLY);
  assert_int_equal(ef_close(f.fd), 0); /* behind our back */
  ef_uv_close(&f, on_closed_status);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(status_of_close, UV_EBADF);
  assert_int_equal(closed, 2);
}

static struct {
  ef_uv_file_t *files;
  int count, calls;
} group;

static void on_poll_close_all(ef_uv_file_t *f, int status, int events) {
  (void)f;
  (void)status;
  (void)events;
  ++group.calls;
  for (int i = 0; i < group.count; ++i) ef_uv_close(&group.files[i], on_closed);
}

/* Whatever else happens to the file: what was accepted is written first. */
static void the_close_callback_comes_after_the_last_byte(void **state) {
  (void)state;
  enum { bytes = 300000 };
  static char data[bytes];
  int ends[2];
  ef_uv_file_t f;
  ef_uv_req_t s;
  fill_bytes(data, bytes, 0, 3);
  uv_buf_t b = uv_buf_init(data, bytes);
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_int_equal(ef_uv_fdopen(&loop, &f, ends[1], NULL), 0);
  assert_int_equal(ef_uv_try_write(&f, &b, 1), bytes);
  assert_int_equal(ef_uv_sync(&s, &f, on_canceled), 0);
  canceled = 0;
  ef_uv_close(&f, on_closed);
  for (uint64_t end = now_ms() + 100; now_ms() < end;) uv_run(&loop, UV_RUN_NOWAIT);
  assert_int_equal(canceled, 1);
  assert_int_equal(closed, 0);
  size_t got = 0;
  for (ssize_t n; (n = read(ends[0], data, bytes)) > 0; got += (size_t)n)
    assert_true(bytes_are(data, (size_t)n, got, 3));
  assert_int_equal(got, bytes);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(closed, 1);
  close(ends[0]);
}

static void files_close_each_other_in_their_callbacks(void **state) {
  (void)state;
  for (int turn = 0; turn < 50; ++turn) {
    closed = 0;
    group.files = calloc(10, sizeof *group.files);
    group.count = 10;
    group.calls = 0;
    for (int i = 0; i < 10; ++i) open_small(&group.files[i], "group", UV_FS_O_RDWR);
    for (int i = 0; i < 10; ++i)
      assert_int_equal(ef_uv_poll_start(&group.files[i], UV_READABLE | UV_WRITABLE, on_poll_close_all), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(group.calls, 1); /* nothing stale */
    assert_int_equal(closed, 10);
    free(group.files);
  }
}

static void on_closed_reopen(ef_uv_file_t *f) {
  if (++closed == 20) return;
  open_small(f, "group", UV_FS_O_RDONLY);
  ef_uv_close(f, on_closed_reopen);
}

static void a_file_may_be_opened_again_in_its_close_callback(void **state) {
  (void)state;
  ef_uv_file_t f;
  open_small(&f, "group", UV_FS_O_RDONLY);
  ef_uv_close(&f, on_closed_reopen);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(closed, 20);
}

static void on_req_close(ef_uv_req_t *req, int status) {
  assert_int_equal(status, 0);
  ef_uv_close(req->file, on_closed_kept);
}

static void a_file_may_be_closed_in_a_request_callback(void **state) {
  (void)state;
  ef_uv_file_t f;
  ef_uv_req_t req;
  char data[100];
  fill_bytes(data, sizeof data, 0, 3);
  uv_buf_t b = uv_buf_init(data, sizeof data);
  open_small(&f, "group", UV_FS_O_WRONLY | UV_FS_O_TRUNC);
  assert_int_equal(ef_uv_write(&req, &f, &b, 1, on_req_close), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(closed, 1);
  ef_uv_ref(&f); /* of no effect any more */
  assert_true(file_is(in_scratch("group"), 100, 3));
}

/* ---- The adapter's handles */

static int handles, owned;

static void on_walk(uv_handle_t *handle, void *arg) {
  (void)arg;
  ++handles;
  owned += ef_uv_owns(handle);
}

static void walk(void) {
  handles = owned = 0;
  uv_walk(&loop, on_walk, NULL);
}

static void own_handles_exist_only_while_files_are_open(void **state) {
  (void)state;
  ef_uv_file_t f[3];
  uv_timer_t t;
  walk();
  int before = handles;
  uv_timer_init(&loop, &t);
  t.data = NULL;
  for (int i = 0; i < 3; ++i) open_small(&f[i], "own", UV_FS_O_RDONLY);
  walk();
  assert_int_equal(owned, 3);
  assert_int_equal(handles, before + 4);
  assert_false(ef_uv_owns((uv_handle_t *)&t));
  for (int i = 0; i < 3; ++i) ef_uv_close(&f[i], NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  walk();
  assert_int_equal(owned, 0);
  assert_int_equal(handles, before + 1);
  uv_close((uv_handle_t *)&t, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
}

static void loops_come_and_go_at_the_same_address(void **state) {
  (void)state;
  for (int i = 0; i < 200; ++i) {
    ef_uv_file_t f;
    int calls = 0;
    open_small(&f, "again", UV_FS_O_RDWR);
    f.data = &calls;
    assert_int_equal(ef_uv_poll_start(&f, i % 2 ? UV_READABLE : UV_WRITABLE, on_poll_stop), 0);
    if (i % 3) uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(calls, i % 3 ? 1 : 0);
    ef_uv_close(&f, on_closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(closed, i + 1);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(uv_loop_init(&loop), 0);
  }
}

/* ---- Fork */

static int child_of(void *arg) {
  ef_uv_file_t *f = arg;
  char byte;
  uv_buf_t b = uv_buf_init(&byte, 1);
  int calls = 0;
  if (uv_loop_fork(&loop) != 0) return 1;
  if (ef_uv_try_write(f, &b, 1) != uv_translate_sys_error(ECHILD)) return 2;
  ef_uv_close(f, on_closed_status);
  uv_run(&loop, UV_RUN_DEFAULT);
  if (closed != 1 || status_of_close != uv_translate_sys_error(ECHILD)) return 3;
  if (FORK_CHILD_HAS_THREADS) {
    ef_uv_file_t fresh;
    if (ef_uv_open(&loop, &fresh, in_scratch("fork"), UV_FS_O_RDWR, 0) != 0) return 4;
    fresh.data = &calls;
    if (ef_uv_poll_start(&fresh, UV_READABLE, on_poll_stop) != 0) return 5;
    uv_run(&loop, UV_RUN_DEFAULT);
    ssize_t n; /* readiness is a hint: where nothing can be read at once, it is fetched now */
    while ((n = ef_read(fresh.fd, &byte, 1)) < 0 && errno == EAGAIN) ef_wait(fresh.fd, EF_READ, -1);
    if (calls != 1 || n != 1 || !bytes_are(&byte, 1, 0, 1)) return 6;
    ef_uv_close(&fresh, on_closed_status);
    uv_run(&loop, UV_RUN_DEFAULT);
    if (closed != 2 || status_of_close != 0) return 7;
  }
  return uv_loop_close(&loop) == 0 ? 0 : 8;
}

static void a_fork_child_can_close_its_files_and_open_new_ones(void **state) {
  (void)state;
  ef_uv_file_t f;
  int calls = 0;
  open_small(&f, "fork", UV_FS_O_RDWR);
  f.data = &calls;
  assert_int_equal(ef_uv_poll_start(&f, UV_READABLE, on_poll_stop), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(status_of_child(child_of, &f), 0);
  assert_int_equal(ef_uv_poll_start(&f, UV_READABLE, on_poll_stop), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(calls, 2);
  ef_uv_close(&f, on_closed);
  uv_run(&loop, UV_RUN_DEFAULT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_open_file_does_not_hold_the_loop),          TEST(reading_and_polling_hold_it_unless_unreffed),
      TEST(a_request_holds_the_loop_of_an_unreffed_file), TEST(closing_cancels_requests_and_keeps_accepted_bytes),
      TEST(the_close_callback_knows_what_was_lost),       TEST(the_close_callback_comes_after_the_last_byte),
      TEST(files_close_each_other_in_their_callbacks),    TEST(a_file_may_be_opened_again_in_its_close_callback),
      TEST(a_file_may_be_closed_in_a_request_callback),   TEST(own_handles_exist_only_while_files_are_open),
      TEST(loops_come_and_go_at_the_same_address),        TEST(a_fork_child_can_close_its_files_and_open_new_ones),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
