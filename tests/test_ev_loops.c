/* SPDX-License-Identifier: BSD-2-Clause */
/* Many files in one libev loop, and several loops in several threads: each file is copied, its copy compared. */
#include "adapter_files.h"

#include <efio_ev.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct copy {
  ef_ev_io in, out, end;
  uint64_t offset, size;
  size_t kept, given;
  unsigned seed;
  int out_fd, ends, bad;
  char buf[30000];
};

static struct copy *copy_of(ef_ev_io *w) { return w->data; }

static void on_out(EV_P_ ef_ev_io *w, int revents);

static void on_in(EV_P_ ef_ev_io *w, int revents) {
  struct copy *c = copy_of(w);
  (void)revents;
  ssize_t n = ef_read(w->fd, c->buf, sizeof c->buf);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0 || !bytes_are(c->buf, n > 0 ? (size_t)n : 0, c->offset, c->seed)) c->bad = 1;
  ef_ev_io_stop(EV_A_ w);
  if (n <= 0) {
    if (ef_close(w->fd) < 0 || ef_close(c->out_fd) < 0) c->bad = 1;
    return;
  }
  c->offset += (uint64_t)n;
  c->kept = (size_t)n;
  c->given = 0;
  ef_ev_io_start(EV_A_ &c->out);
}

static void on_out(EV_P_ ef_ev_io *w, int revents) {
  struct copy *c = copy_of(w);
  (void)revents;
  ssize_t n = ef_write(w->fd, c->buf + c->given, c->kept - c->given);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) c->bad = 1;
  c->given += n > 0 ? (size_t)n : 0;
  if (c->given < c->kept && n > 0) return;
  ef_ev_io_stop(EV_A_ w);
  ef_ev_io_start(EV_A_ &c->in);
}

static void on_end(EV_P_ ef_ev_io *w, int revents) {
  (void)revents;
  (void)EV_A;
  struct copy *c = copy_of(w);
  if (w->error) c->bad = 1;
  ++c->ends;
}

static void start_copy(EV_P_ struct copy *c, const char *from, const char *to, uint64_t size, unsigned seed) {
  memset(c, 0, offsetof(struct copy, buf));
  c->size = size;
  c->seed = seed;
  int in_fd = ef_ev_open(EV_A_ from, O_RDONLY, 0);
  c->out_fd = ef_ev_open(EV_A_ to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ef_ev_io_init(&c->in, on_in, in_fd, EV_READ);
  ef_ev_io_init(&c->out, on_out, c->out_fd, EV_WRITE);
  ef_ev_io_init(&c->end, on_end, c->out_fd, EF_EV_CLOSE);
  c->in.data = c->out.data = c->end.data = c;
  ef_ev_io_start(EV_A_ &c->end);
  ef_ev_io_start(EV_A_ &c->in);
}

static void hundreds_of_files_in_one_loop(void **state) {
  (void)state;
  enum { files = 300, bytes = 70000 };
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  struct copy *copies = malloc(files * sizeof *copies);
  char name[32];
  assert_true(make_file(in_scratch("many"), bytes, 9));
  for (int i = 0; i < files; ++i) {
    snprintf(name, sizeof name, "many%d", i);
    start_copy(EV_A_ &copies[i], in_scratch("many"), in_scratch(name), bytes, 9);
  }
  ev_run(EV_A_ 0);
  for (int i = 0; i < files; ++i) {
    snprintf(name, sizeof name, "many%d", i);
    assert_int_equal(copies[i].bad, 0);
    assert_int_equal(copies[i].ends, 1);
    assert_true(file_is(in_scratch(name), bytes, 9));
  }
  free(copies);
  ev_loop_destroy(EV_A);
}

static void *copy_in_own_loop(void *arg) {
  enum { files = 8, bytes = 600000 };
  unsigned me = *(unsigned *)arg;
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  struct copy *copies = malloc(files * sizeof *copies);
  const char *trouble = NULL;
  for (int turn = 0; turn < 3; ++turn) {
    for (unsigned i = 0; i < files; ++i) {
      char from[32], to[32];
      snprintf(from, sizeof from, "from%u-%u", me, i);
      snprintf(to, sizeof to, "to%u-%u", me, i);
      if (turn == 0 && !make_file(in_scratch(from), bytes, me * files + i)) trouble = "make";
      start_copy(EV_A_ &copies[i], in_scratch(from), in_scratch(to), bytes, me * files + i);
    }
    ev_run(EV_A_ 0);
    for (unsigned i = 0; i < files; ++i) {
      char to[32];
      snprintf(to, sizeof to, "to%u-%u", me, i);
      if (copies[i].bad || copies[i].ends != 1) trouble = "copy";
      if (!file_is(in_scratch(to), bytes, me * files + i)) trouble = "bytes";
    }
  }
  ev_loop_destroy(EV_A);
  free(copies);
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
