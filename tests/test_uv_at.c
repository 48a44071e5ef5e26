/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes at an offset on libuv: hits, misses, errors, order of the last callbacks. */
#include "adapter_files.h"

#include <efio_uv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { file_bytes = 1 << 20, piece = 4096, pieces = file_bytes / piece };

static uv_loop_t loop;
static bool inside_call;
static int calls, closed;
static char file_path[512];

static int loop_setup(void **state) {
  (void)state;
  calls = closed = 0;
  return uv_loop_init(&loop);
}
static int loop_teardown(void **state) {
  (void)state;
  return uv_loop_close(&loop);
}

struct request {
  ef_uv_at_t at;
  ssize_t result;
  int calls;
  int64_t offset;
  unsigned char bytes[piece];
};
static struct request requests[pieces];

static void on_over(ef_uv_at_t *at, ssize_t result) {
  struct request *r = (struct request *)at;
  assert_false(inside_call);
  assert_int_equal(closed, 0);
  r->result = result;
  ++r->calls;
  ++calls;
}

static void on_closed(ef_uv_file_t *f) {
  (void)f;
  ++closed;
}

static void make_pieces(void) {
  snprintf(file_path, sizeof file_path, "%s", in_scratch("at"));
  unsigned char *all = malloc(file_bytes);
  fill_bytes(all, file_bytes, 0, 1);
  int fd = open(file_path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
  assert_int_equal(write(fd, all, file_bytes), file_bytes);
  close(fd);
  free(all);
}

/* Out of the page cache, as far as the file system does that. */
static void make_cold(void) {
  int fd = open(file_path, O_RDWR);
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
}

static int begin_read(ef_uv_file_t *f, struct request *r, int64_t offset) {
  memset(r, 0, sizeof *r);
  r->offset = offset;
  uv_buf_t halves[2] = {uv_buf_init((char *)r->bytes, 1000), uv_buf_init((char *)r->bytes + 1000, piece - 1000)};
  inside_call = true;
  int status = ef_uv_read_at(&r->at, f, halves, 2, offset, on_over);
  inside_call = false;
  return status;
}

static void check_contents(const struct request *r) {
  unsigned char expected[piece];
  fill_bytes(expected, piece, (uint64_t)r->offset, 1);
  assert_int_equal(r->calls, 1);
  assert_int_equal(r->result, piece);
  assert_memory_equal(r->bytes, expected, piece);
}

static void read_all(ef_uv_file_t *f) {
  for (int i = 0; i < pieces; ++i)
    assert_int_equal(begin_read(f, &requests[i], (int64_t)(i * 7919 % pieces) * piece), 0);
  assert_true(ef_uv_is_active(f));
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(calls, pieces);
  for (int i = 0; i < pieces; ++i) check_contents(&requests[i]);
}

static void cold_and_warm_reads_call_back_once_from_the_loop(void **state) {
  (void)state;
  make_pieces();
  make_cold();
  ef_uv_file_t f;
  assert_int_equal(ef_uv_open(&loop, &f, file_path, UV_FS_O_RDONLY, 0), 0);
  read_all(&f);
  calls = 0;
  read_all(&f);
  ef_uv_close(&f, on_closed);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(closed, 1);
}

static void the_close_callback_is_the_last(void **state) {
  (void)state;
  make_pieces();
  make_cold();
  ef_uv_file_t f;
  assert_int_equal(ef_uv_open(&loop, &f, file_path, UV_FS_O_RDONLY, 0), 0);
  for (int i = 0; i < pieces; ++i) assert_int_equal(begin_read(&f, &requests[i], (int64_t)i * piece), 0);
  for (int i = 0; i < pieces; i += 3) ef_uv_cancel_at(&requests[i].at);
  ef_uv_close(&f, on_closed);
  static struct request late;
  assert_int_equal(begin_read(&f, &late, 0), UV_EBADF);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(closed, 1);
  assert_int_equal(calls, pieces);
  for (int i = 0; i < pieces; ++i)
    if (requests[i].result != UV_ECANCELED) check_contents(&requests[i]);
}

static void writes_at_an_offset_are_read_back(void **state) {
  (void)state;
  make_pieces();
  ef_uv_file_t f;
  assert_int_equal(ef_uv_open(&loop, &f, file_path, UV_FS_O_RDWR, 0), 0);
  static struct request w;
  memset(&w, 0, sizeof w);
  fill_bytes(w.bytes, piece, 5 * piece, 2);
  uv_buf_t buf = uv_buf_init((char *)w.bytes, piece);
  assert_int_equal(ef_uv_write_at(&w.at, &f, &buf, 1, 9 * piece + 17, on_over), 0);
  assert_int_equal(ef_uv_write_at(&w.at, &f, &buf, 1, 0, on_over), UV_EBUSY);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(w.result, piece);
  struct request *r = &requests[0];
  assert_int_equal(begin_read(&f, r, 9 * piece + 17), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(r->result, piece);
  assert_memory_equal(r->bytes, w.bytes, piece);
  char byte;
  buf = uv_buf_init(&byte, 1);
  ssize_t n = ef_uv_try_read_at(&f, &buf, 1, file_bytes);
  assert_true(n == 0 || n == UV_EAGAIN); /* where nothing can be read without waiting, not even the end */
  assert_int_equal(ef_uv_try_read_at(&f, &buf, 1, -1), UV_EINVAL);
  assert_int_equal(ef_uv_try_read_at(&f, &buf, 0, 0), UV_EINVAL);
  ef_uv_close(&f, on_closed);
  uv_run(&loop, UV_RUN_DEFAULT);
}

static void the_error_of_the_open_comes_to_each(void **state) {
  (void)state;
  ef_uv_file_t f;
  assert_int_equal(ef_uv_open(&loop, &f, in_scratch("none"), UV_FS_O_RDONLY, 0), 0);
  int status = begin_read(&f, &requests[0], 0); /* the open may be over already */
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(status ? status : requests[0].result, UV_ENOENT);
  ef_uv_close(&f, on_closed);
  uv_run(&loop, UV_RUN_DEFAULT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(cold_and_warm_reads_call_back_once_from_the_loop, loop_setup, loop_teardown),
      cmocka_unit_test_setup_teardown(the_close_callback_is_the_last, loop_setup, loop_teardown),
      cmocka_unit_test_setup_teardown(writes_at_an_offset_are_read_back, loop_setup, loop_teardown),
      cmocka_unit_test_setup_teardown(the_error_of_the_open_comes_to_each, loop_setup, loop_teardown),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
