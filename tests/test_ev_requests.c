/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes at an offset on libev: callbacks, keep-alive, fairness beside a greedy reader, the end of a loop. */
#include "adapter_files.h"

#include <efio_ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/uio.h>

#include <cmocka.h>

enum { piece = 4096, pieces = 1000, file_bytes = pieces * piece };

struct request {
  ef_ev_request at;
  int64_t offset;
  int calls;
  unsigned char bytes[piece];
};

static struct ev_loop *loop;
static struct request requests[pieces];
static int calls;
static bool inside_call;

static int setup(void **state) {
  (void)state;
  calls = 0;
  memset(requests, 0, sizeof requests);
  loop = ev_loop_new(EVFLAG_AUTO);
  return loop ? 0 : -1;
}
static int teardown(void **state) {
  (void)state;
  ev_loop_destroy(loop);
  return ef_drain(NULL, 10000);
}

static void on_over(EV_P_ ef_ev_request *r) {
  (void)loop;
  assert_false(inside_call);
  ++((struct request *)(void *)r)->calls;
  ++calls;
}

/* Contents that tell their place, out of the page cache as far as the file system does that. */
static int open_cold(const char *name) {
  const char *path = in_scratch(name);
  unsigned char *all = malloc(file_bytes);
  fill_bytes(all, file_bytes, 0, 1);
  int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
  assert_int_equal(write(fd, all, file_bytes), file_bytes);
  fsync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
  free(all);
  return ef_ev_open(loop, path, O_RDWR, 0);
}

static void check_contents(const struct request *r) {
  unsigned char expected[piece];
  fill_bytes(expected, piece, (uint64_t)r->offset, 1);
  assert_memory_equal(r->bytes, expected, piece);
}

/* True: it was answered at once. */
static bool begin_read(int fd, struct request *r, int64_t offset) {
  r->offset = offset;
  ef_ev_request_init(&r->at, on_over);
  inside_call = true;
  ssize_t n = ef_ev_pread(loop, &r->at, fd, r->bytes, piece, offset);
  inside_call = false;
  if (n == piece) return true;
  assert_int_equal(n, -1);
  assert_int_equal(errno, EINPROGRESS);
  return false;
}

static int begin_all(int fd) {
  int at_once = 0;
  for (int i = 0; i < pieces; ++i) at_once += begin_read(fd, &requests[i], (int64_t)(i * 617 % pieces) * piece);
  return at_once;
}

static void check_all(int at_once) {
  assert_int_equal(calls, pieces - at_once);
  for (int i = 0; i < pieces; ++i) {
    if (requests[i].calls) assert_int_equal(requests[i].at.request.result, piece);
    check_contents(&requests[i]);
  }
}

/* tmpfs, overlayfs and FUSE do not tell what is in memory. */
static bool memory_can_be_asked(void) {
  char byte;
  struct iovec one = {&byte, 1};
  int fd = open(in_scratch("cold"), O_RDONLY);
  bool told = preadv2(fd, &one, 1, 0, 0) == 1 && preadv2(fd, &one, 1, 0, RWF_NOWAIT) == 1;
  close(fd);
  return told;
}

static void the_loop_runs_until_every_request_is_over(void **state) {
  (void)state;
  int fd = open_cold("cold"), at_once = begin_all(fd);
  ev_run(loop, 0);
  check_all(at_once);
  memset(requests, 0, sizeof requests);
  calls = 0;
  at_once = begin_all(fd); /* in memory now, which is found out after some requests */
  assert_true(at_once > pieces / 2 || !memory_can_be_asked());
  ev_run(loop, 0);
  check_all(at_once);
  ef_close(fd);
}

static int greedy;
static void on_greedy(EV_P_ ef_ev_io *w, int revents) {
  (void)revents;
  static char buf[65536];
  ssize_t n = ef_read(w->fd, buf, sizeof buf);
  if (n == 0) ef_seek(w->fd, 0, SEEK_SET);
  ++greedy;
  if (calls == pieces) ef_ev_io_stop(EV_A_ w);
}

static void a_reader_that_never_waits_does_not_starve_the_others(void **state) {
  (void)state;
  int big = open_cold("big"), fd = open_cold("small");
  ef_ev_io w;
  ef_ev_io_init(&w, on_greedy, big, EV_READ);
  ef_ev_io_start(loop, &w);
  while (greedy < 200) ev_run(loop, EVRUN_ONCE); /* its file is in memory: it is always ready */
  calls += begin_all(fd);
  int before = greedy;
  double began = ev_time();
  ev_run(loop, 0);
  print_message("  %d requests in %.1f ms beside %d reads of 64 KiB\n", pieces, (ev_time() - began) * 1e3,
                greedy - before);
  assert_true(ev_time() - began < 10);
  for (int i = 0; i < pieces; ++i) check_contents(&requests[i]);
  ef_close(fd);
  ef_close(big);
}

static struct request *wanted;
static int wanted_fd;
static void begin_in_prepare(EV_P_ ev_prepare *w, int revents) {
  (void)revents;
  if (begin_read(wanted_fd, wanted, wanted->offset)) ++calls;
  ev_prepare_stop(EV_A_ w);
}

static void a_read_begun_in_a_prepare_watcher_is_not_forgotten(void **state) {
  (void)state;
  wanted_fd = open_cold("prepare");
  wanted = &requests[0];
  wanted->offset = 77 * piece;
  ev_prepare p;
  ev_prepare_init(&p, begin_in_prepare);
  ev_prepare_start(loop, &p);
  while (calls == 0) ev_run(loop, EVRUN_ONCE);
  check_contents(wanted);
  ef_close(wanted_fd);
}

static void what_is_written_at_an_offset_is_read_there(void **state) {
  (void)state;
  int fd = open_cold("write");
  fill_bytes(requests[0].bytes, piece, 3 * piece, 2);
  ef_ev_request_init(&requests[0].at, on_over);
  assert_int_equal(ef_ev_pwrite(loop, &requests[0].at, fd, requests[0].bytes, piece, 100), -1);
  assert_int_equal(errno, EINPROGRESS);
  assert_int_equal(ef_ev_detach(loop), -1); /* it is under way */
  assert_int_equal(errno, EBUSY);
  ev_run(loop, 0);
  assert_int_equal(requests[0].at.request.result, piece);
  begin_read(fd, &requests[1], 100);
  ev_run(loop, 0);
  assert_memory_equal(requests[0].bytes, requests[1].bytes, piece);
  ef_close(fd);
}

static void a_destroyed_loop_waits_for_requests_and_calls_nobody(void **state) {
  (void)state;
  struct ev_loop *kept = loop;
  loop = ev_loop_new(EVFLAG_AUTO);
  int fd = open_cold("gone");
  begin_all(fd);
  ev_loop_destroy(loop);
  loop = kept;
  ef_close(fd);
  assert_int_equal(calls, 0);
  for (int i = 0; i < pieces; ++i) check_contents(&requests[i]); /* and the buffers are ours again */
}

static void wrong_requests_are_refused(void **state) {
  (void)state;
  int fd = open_cold("wrong"), other = ef_open(in_scratch("wrong"), O_RDONLY);
  assert_int_equal(ef_ev_pread(loop, &requests[0].at, fd, requests[0].bytes, piece, 0), -1);
  assert_int_equal(errno, EINVAL); /* no callback */
  assert_int_equal(ef_ev_pread(loop, NULL, fd, requests[0].bytes, piece, 0), -1);
  assert_int_equal(errno, EINVAL);
  ef_ev_request_init(&requests[0].at, on_over);
  assert_int_equal(ef_ev_pread(loop, &requests[0].at, other, requests[0].bytes, piece, 0), -1);
  assert_int_equal(errno, EINVAL); /* of another port */
  assert_int_equal(ef_ev_pread(loop, &requests[0].at, 99999, requests[0].bytes, piece, 0), -1);
  assert_int_equal(errno, EBADF);
  ef_close(fd);
  ef_close(other);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_loop_runs_until_every_request_is_over, setup, teardown),
      cmocka_unit_test_setup_teardown(a_reader_that_never_waits_does_not_starve_the_others, setup, teardown),
      cmocka_unit_test_setup_teardown(a_read_begun_in_a_prepare_watcher_is_not_forgotten, setup, teardown),
      cmocka_unit_test_setup_teardown(what_is_written_at_an_offset_is_read_there, setup, teardown),
      cmocka_unit_test_setup_teardown(a_destroyed_loop_waits_for_requests_and_calls_nobody, setup, teardown),
      cmocka_unit_test_setup_teardown(wrong_requests_are_refused, setup, teardown),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
