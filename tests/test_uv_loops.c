/* SPDX-License-Identifier: BSD-2-Clause */
/* Many files in one libuv loop, and several loops in several threads: each file is copied, its copy compared. */
#include "adapter_files.h"

#include <efio_uv.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct copy {
  ef_uv_file_t in, out;
  ef_uv_req_t req;
  uint64_t offset;
  unsigned seed;
  int closed, bad;
  bool poll; /* else read_start */
  char buf[30000];
};

static void on_closed(ef_uv_file_t *f) {
  struct copy *c = f->data;
  if (f->status) c->bad = 1;
  ++c->closed;
}

static void end_copy(struct copy *c, int bad) {
  if (bad) c->bad = 1;
  ef_uv_close(&c->in, on_closed);
  ef_uv_close(&c->out, on_closed);
}

static void go_on(struct copy *c);

static void on_written(ef_uv_req_t *req, int status) {
  struct copy *c = req->data;
  if (status) end_copy(c, 1);
  if (!status) go_on(c);
}

/* One piece at a time: reading pauses until its bytes are accepted. */
static void hand_over(struct copy *c, ssize_t n) {
  if (n == 0 || n == UV_EOF) return end_copy(c, 0);
  if (n < 0 || !bytes_are(c->buf, (size_t)n, c->offset, c->seed)) return end_copy(c, 1);
  c->offset += (uint64_t)n;
  uv_buf_t b = uv_buf_init(c->buf, (unsigned)n);
  if (ef_uv_write(&c->req, &c->out, &b, 1, on_written) != 0) end_copy(c, 1);
}

static void on_alloc(ef_uv_file_t *f, size_t suggested, uv_buf_t *buf) {
  struct copy *c = f->data;
  (void)suggested;
  *buf = uv_buf_init(c->buf, sizeof c->buf);
}

static void on_read(ef_uv_file_t *f, ssize_t n, const uv_buf_t *buf) {
  (void)buf;
  if (n == 0) return;
  ef_uv_read_stop(f);
  hand_over(f->data, n);
}

static void on_poll(ef_uv_file_t *f, int status, int events) {
  struct copy *c = f->data;
  (void)events;
  ssize_t n = status < 0 ? status : ef_read(f->fd, c->buf, sizeof c->buf);
  if (n < 0 && status == 0 && errno == EAGAIN) return;
  ef_uv_poll_stop(f);
  hand_over(c, n);
}

static void go_on(struct copy *c) {
  int r = c->poll ? ef_uv_poll_start(&c->in, UV_READABLE, on_poll) : ef_uv_read_start(&c->in, on_alloc, on_read);
  if (r != 0) end_copy(c, 1);
}

static bool start_copy(uv_loop_t *loop, struct copy *c, const char *from, const char *to, unsigned seed) {
  memset(c, 0, offsetof(struct copy, buf));
  c->seed = seed;
  c->poll = seed % 2;
  c->in.data = c->out.data = c->req.data = c;
  if (ef_uv_open(loop, &c->in, from, UV_FS_O_RDONLY, 0) != 0) return false;
  if (ef_uv_open(loop, &c->out, to, UV_FS_O_WRONLY | UV_FS_O_CREAT | UV_FS_O_TRUNC, 0600) != 0) return false;
  go_on(c);
  return true;
}

/* NULL, or what went wrong. */
static const char *copy_all(uv_loop_t *loop, unsigned me, unsigned files, uint64_t bytes) {
  struct copy *copies = malloc(files * sizeof *copies);
  const char *trouble = NULL;
  char from[32], to[32];
  for (unsigned i = 0; i < files; ++i) {
    snprintf(from, sizeof from, "from%u-%u", me, i);
    snprintf(to, sizeof to, "to%u-%u", me, i);
    if (!make_file(in_scratch(from), bytes, me * files + i)) trouble = "make";
    if (!start_copy(loop, &copies[i], in_scratch(from), in_scratch(to), me * files + i)) trouble = "start";
  }
  uv_run(loop, UV_RUN_DEFAULT);
  for (unsigned i = 0; i < files; ++i) {
    snprintf(to, sizeof to, "to%u-%u", me, i);
    if (copies[i].bad || copies[i].closed != 2) trouble = "copy";
    if (!file_is(in_scratch(to), bytes, me * files + i)) trouble = "bytes";
  }
  free(copies);
  return trouble;
}

static void hundreds_of_files_in_one_loop(void **state) {
  (void)state;
  uv_loop_t loop;
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_null(copy_all(&loop, 99, 300, 70000));
  assert_int_equal(uv_loop_close(&loop), 0);
}

static void *copy_in_own_loop(void *arg) {
  uv_loop_t loop;
  const char *trouble = NULL;
  if (uv_loop_init(&loop) != 0) return "loop";
  for (int turn = 0; turn < 3 && !trouble; ++turn) trouble = copy_all(&loop, *(unsigned *)arg, 8, 600000);
  if (uv_loop_close(&loop) != 0) trouble = "close";
  return (void *)trouble;
}

static void four_loops_in_four_threads_copy_eight_files_each(void **state) {
  (void)state;
  pthread_t threads[4];
  unsigned ids[4];
  for (unsigned i = 0; i < 4; ++i) {
    ids[i] = i;
    assert_int_equal(pthread_create(&threads[i], NULL, copy_in_own_loop, &ids[i]), 0);
  }
  for (int i = 0; i < 4; ++i) {
    void *trouble;
    pthread_join(threads[i], &trouble);
    assert_null(trouble);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hundreds_of_files_in_one_loop),
      cmocka_unit_test(four_loops_in_four_threads_copy_eight_files_each),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
