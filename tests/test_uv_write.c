/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing and syncing files on libuv: requests in order, any number of buffers, back-pressure, errors. */
#include "adapter_files.h"

#include <efio_uv.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

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

static void open_new(ef_uv_file_t *f, const char *path) {
  unlink(path);
  assert_int_equal(ef_uv_open(&loop, f, path, UV_FS_O_WRONLY | UV_FS_O_CREAT, 0600), 0);
}

static void close_now(ef_uv_file_t *f) {
  ef_uv_close(f, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
}

/* ---- Requests */

struct request {
  ef_uv_req_t req;
  int number, status, calls;
};

static int last_number;

static void on_done(ef_uv_req_t *req, int status) {
  struct request *r = (struct request *)req;
  assert_false(inside_call);
  assert_int_equal(r->number, last_number + 1); /* in the order of the calls */
  last_number = r->number;
  r->status = status;
  ++r->calls;
}

static void write_one(ef_uv_file_t *f, struct request *r, int number, const uv_buf_t *bufs, unsigned nbufs) {
  *r = (struct request){.number = number, .status = 1};
  inside_call = true;
  assert_int_equal(ef_uv_write(&r->req, f, bufs, nbufs, on_done), 0);
  inside_call = false;
  assert_ptr_equal(r->req.file, f);
  assert_true(ef_uv_is_active(f));
}

static void requests_are_written_in_order_with_any_number_of_buffers(void **state) {
  (void)state;
  enum { bytes = 3000000, requests = 5 };
  static const unsigned pieces[requests] = {1, 4, 5, 3000, 1500};
  char *data = malloc(bytes);
  uv_buf_t *bufs = malloc(3000 * sizeof *bufs);
  fill_bytes(data, bytes, 0, 1);
  struct request r[requests];
  ef_uv_file_t f;
  open_new(&f, in_scratch("order"));
  last_number = 0;
  size_t at = 0;
  for (int i = 0; i < requests; ++i) {
    size_t n = bytes / requests / pieces[i];
    for (unsigned k = 0; k < pieces[i]; ++k, at += n) bufs[k] = uv_buf_init(data + at, (unsigned)n);
    write_one(&f, &r[i], i + 1, bufs, pieces[i]);
    memset(bufs, 0, 3000 * sizeof *bufs); /* the array may go */
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  for (int i = 0; i < requests; ++i) assert_true(r[i].calls == 1 && r[i].status == 0);
  assert_false(ef_uv_is_active(&f));
  close_now(&f);
  assert_true(file_is(in_scratch("order"), at, 1));
  free(bufs);
  free(data);
}

static void empty_buffers_are_written_too(void **state) {
  (void)state;
  struct request r[2];
  ef_uv_file_t f;
  char data[10];
  fill_bytes(data, sizeof data, 0, 2);
  uv_buf_t empty = uv_buf_init(data, 0);
  uv_buf_t some[4] = {empty, uv_buf_init(data, 4), empty, uv_buf_init(data + 4, 6)};
  open_new(&f, in_scratch("empty"));
  last_number = 0;
  write_one(&f, &r[0], 1, &empty, 1);
  write_one(&f, &r[1], 2, some, 4);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_true(r[0].calls == 1 && r[0].status == 0 && r[1].calls == 1 && r[1].status == 0);
  close_now(&f);
  assert_true(file_is(in_scratch("empty"), sizeof data, 2));
}

static struct received {
  int fd;
  uint64_t bytes;
} received;

static void *drain_fifo(void *arg) {
  struct received *x = arg;
  static unsigned char buf[32768];
  for (ssize_t n; (n = read(x->fd, buf, sizeof buf)) != 0;) {
    if (n < 0 || !bytes_are(buf, (size_t)n, x->bytes, 3)) return "bytes";
    x->bytes += (uint64_t)n;
  }
  return NULL;
}

/* A FIFO that nobody reads yet makes the budget run full for certain. */
static void open_fifo(ef_uv_file_t *f) {
  unlink(in_scratch("fifo"));
  assert_int_equal(mkfifo(in_scratch("fifo"), 0600), 0);
  received = (struct received){open(in_scratch("fifo"), O_RDONLY | O_NONBLOCK), 0};
  assert_int_equal(fcntl(received.fd, F_SETFL, 0), 0);
  ef_file_options o = {.size = sizeof o, .write_buffer_max = 128 * 1024, .data = "ignored"};
  assert_int_equal(ef_uv_openat(&loop, f, AT_FDCWD, in_scratch("fifo"), UV_FS_O_WRONLY, 0, &o), 0);
  assert_int_equal(ef_wait(f->fd, EF_OPEN, 5000), EF_OPEN); /* before, the reader would see the end */
}

static void on_prepare(uv_prepare_t *p) { ++*(int *)p->data; }

static void on_tick(uv_timer_t *t) { uv_stop(t->loop); }

/* Turns that the loop makes while nothing happens, in a tenth of a second. */
static int idle_turns(void) {
  int turns = 0;
  uv_timer_t t;
  uv_prepare_t p;
  uv_timer_init(&loop, &t);
  uv_prepare_init(&loop, &p);
  p.data = &turns;
  uv_prepare_start(&p, on_prepare);
  uv_timer_start(&t, on_tick, 100, 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_close((uv_handle_t *)&t, NULL);
  uv_close((uv_handle_t *)&p, NULL);
  uv_run(&loop, UV_RUN_NOWAIT);
  return turns;
}

static void a_full_budget_makes_requests_wait_and_try_write_refuse(void **state) {
  (void)state;
  enum { bytes = 1000000, requests = 4, each = bytes / requests };
  char *data = malloc(bytes + 1000);
  fill_bytes(data, bytes + 1000, 0, 3);
  struct request r[requests];
  ef_uv_file_t f;
  open_fifo(&f);
  last_number = 0;
  for (int i = 0; i < requests; ++i) {
    uv_buf_t b = uv_buf_init(data + i * each, each);
    write_one(&f, &r[i], i + 1, &b, 1);
  }
  uv_buf_t late = uv_buf_init(data + bytes, 1000);
  assert_int_equal(ef_uv_try_write(&f, &late, 1), UV_EAGAIN); /* it would overtake them */
  int turns = idle_turns();
  for (int i = 0; turns >= 20 && i < 50; ++i) turns = idle_turns();
  assert_true(turns < 20); /* who waits does not spin */
  assert_int_equal(r[requests - 1].calls, 0);
  pthread_t reader;
  void *trouble;
  assert_int_equal(pthread_create(&reader, NULL, drain_fifo, &received), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  for (int i = 0; i < requests; ++i) assert_true(r[i].calls == 1 && r[i].status == 0);
  assert_int_equal(ef_wait(f.fd, EF_WRITE, 5000), EF_WRITE);
  assert_int_equal(ef_uv_try_write(&f, &late, 1), 1000);
  close_now(&f);
  pthread_join(reader, &trouble);
  assert_null(trouble);
  assert_int_equal(received.bytes, bytes + 1000);
  close(received.fd);
  free(data);
}

static void try_write_takes_all_buffers_or_none(void **state) {
  (void)state;
  enum { pieces = 7, each = 9000 }; /* just under EF_ATOMIC */
  static char data[pieces * each * 10];
  fill_bytes(data, sizeof data, 0, 3);
  ef_uv_file_t f;
  open_fifo(&f);
  uint64_t accepted = 0;
  for (int calls = 0; calls < 10000; ++calls) {
    uv_buf_t bufs[pieces];
    for (int i = 0; i < pieces; ++i) bufs[i] = uv_buf_init(data + accepted + (size_t)i * each, each);
    int n = ef_uv_try_write(&f, bufs, pieces);
    if (n == UV_EAGAIN) break;
    assert_int_equal(n, pieces * each);
    accepted += (uint64_t)n;
    assert_true(accepted < sizeof data);
  }
  assert_true(accepted >= EF_ATOMIC / 2);
  pthread_t reader;
  void *trouble;
  assert_int_equal(pthread_create(&reader, NULL, drain_fifo, &received), 0);
  close_now(&f);
  pthread_join(reader, &trouble);
  assert_null(trouble);
  assert_int_equal(received.bytes, accepted);
  close(received.fd);
}

static void errors_come_with_the_request(void **state) {
  (void)state;
  struct request r[2];
  ef_uv_file_t f;
  uv_buf_t b = uv_buf_init((char[]){"x"}, 1);
  assert_true(make_file(in_scratch("readonly"), 10, 4));
  assert_int_equal(ef_uv_open(&loop, &f, in_scratch("readonly"), UV_FS_O_RDONLY, 0), 0);
  last_number = 0;
  write_one(&f, &r[0], 1, &b, 1);
  r[1] = (struct request){.number = 2, .status = 1};
  assert_int_equal(ef_uv_sync(&r[1].req, &f, on_done), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(r[0].status, UV_EBADF);
  assert_int_equal(r[1].status, UV_EBADF);
  close_now(&f);
  assert_true(file_is(in_scratch("readonly"), 10, 4));
}

/* ---- Sync */

static void a_sync_means_every_write_asked_for_before_it(void **state) {
  (void)state;
  enum { bytes = 6000000 }; /* more than the budget: the write is still queued when the sync is asked for */
  char *data = malloc(bytes + 100);
  fill_bytes(data, bytes + 100, 0, 5);
  struct request w, s[3];
  ef_uv_file_t f;
  open_new(&f, in_scratch("sync"));
  last_number = 0;
  uv_buf_t b = uv_buf_init(data, bytes), more = uv_buf_init(data + bytes, 100);
  write_one(&f, &w, 1, &b, 1);
  for (int i = 0; i < 2; ++i) {
    s[i] = (struct request){.number = i + 2, .status = 1};
    assert_int_equal(ef_uv_sync(&s[i].req, &f, on_done), 0);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_true(w.calls == 1 && w.status == 0);
  assert_true(s[0].calls == 1 && s[0].status == 0 && s[1].calls == 1 && s[1].status == 0);
  ef_file_counters c = {.size = sizeof c};
  assert_int_equal(ef_file_stats(f.fd, &c), 0);
  assert_int_equal(c.synced, bytes);
  assert_int_equal(ef_uv_try_write(&f, &more, 1), 100);
  s[2] = (struct request){.number = 4, .status = 1};
  assert_int_equal(ef_uv_sync(&s[2].req, &f, on_done), 0);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_true(s[2].calls == 1 && s[2].status == 0);
  assert_true(file_is(in_scratch("sync"), bytes + 100, 5));
  close_now(&f);
  free(data);
}

static int syncs_done;

static void on_synced(ef_uv_req_t *req, int status) {
  assert_int_equal(status, 0);
  ef_file_counters c = {.size = sizeof c};
  assert_int_equal(ef_file_stats(req->file->fd, &c), 0);
  assert_true(c.synced >= (uint64_t)(uintptr_t)req->data);
  ++syncs_done;
  free(req);
}

static void overlapping_syncs_are_each_told(void **state) {
  (void)state;
  enum { requests = 200 };
  ef_uv_file_t f;
  open_new(&f, in_scratch("overlap"));
  syncs_done = 0;
  char data[100];
  for (int i = 0; i < requests; ++i) {
    /* Then the event of those before is on its way when the next one is asked for. */
    if (i % 3 == 0 && i > 0) assert_int_equal(ef_wait(f.fd, EF_SYNC, 20000), EF_SYNC);
    fill_bytes(data, sizeof data, (uint64_t)i * 100, 6);
    uv_buf_t b = uv_buf_init(data, sizeof data);
    assert_int_equal(ef_uv_try_write(&f, &b, 1), 100);
    ef_uv_req_t *req = malloc(sizeof *req);
    req->data = (void *)(uintptr_t)((i + 1) * 100);
    assert_int_equal(ef_uv_sync(req, &f, on_synced), 0);
    if (i % 3 == 0) uv_run(&loop, UV_RUN_NOWAIT);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(syncs_done, requests);
  close_now(&f);
  assert_true(file_is(in_scratch("overlap"), requests * 100, 6));
}

/* Two syncs, one event: what is durable stays so, whatever becomes of the bytes after it. */
static void a_failed_sync_is_not_told_to_the_one_before(void **state) {
  (void)state;
  struct rlimit old, limit;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  limit = (struct rlimit){.rlim_cur = 1000, .rlim_max = old.rlim_max};
  signal(SIGXFSZ, SIG_IGN);
  char data[2000] = {0};
  uv_buf_t b = uv_buf_init(data, 100);
  struct request r[2] = {{.number = 1, .status = 1}, {.number = 2, .status = 1}};
  ef_uv_file_t f;
  open_new(&f, in_scratch("limited"));
  last_number = 0;
  assert_int_equal(ef_uv_try_write(&f, &b, 1), 100);
  assert_int_equal(ef_uv_sync(&r[0].req, &f, on_done), 0);
  assert_int_equal(ef_wait(f.fd, EF_SYNC, 5000), EF_SYNC);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  b.len = sizeof data;
  assert_int_equal(ef_uv_try_write(&f, &b, 1), sizeof data);
  assert_int_equal(ef_uv_sync(&r[1].req, &f, on_done), 0);
  assert_int_equal(ef_wait(f.fd, EF_SYNC, 5000), -1);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(r[0].status, 0);
  assert_int_equal(r[1].status, UV_EFBIG);
  close_now(&f);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

/* ---- The rest */

static void fstat_tells_what_the_kernel_knows(void **state) {
  (void)state;
  ef_uv_file_t f;
  uv_stat_t st;
  struct stat real;
  assert_true(make_file(in_scratch("stat"), 12345, 7));
  assert_int_equal(ef_uv_open(&loop, &f, in_scratch("stat"), UV_FS_O_RDONLY, 0), 0);
  assert_int_equal(ef_wait(f.fd, EF_OPEN, 5000), EF_OPEN);
  assert_int_equal(ef_uv_fstat(&f, &st), 0);
  assert_int_equal(stat(in_scratch("stat"), &real), 0);
  assert_int_equal(st.st_size, 12345);
  assert_int_equal(st.st_ino, real.st_ino);
  assert_int_equal(st.st_mode, real.st_mode);
  assert_int_equal(st.st_mtim.tv_sec, real.st_mtim.tv_sec);
  assert_int_equal(st.st_mtim.tv_nsec, real.st_mtim.tv_nsec);
  close_now(&f);
}

static void an_adopted_descriptor_goes_with_the_handle(void **state) {
  (void)state;
  ef_uv_file_t f;
  char data[1000];
  fill_bytes(data, sizeof data, 0, 8);
  unlink(in_scratch("adopted"));
  int fd = open(in_scratch("adopted"), O_WRONLY | O_CREAT, 0600);
  assert_int_equal(ef_uv_fdopen(&loop, &f, fd, NULL), 0);
  uv_buf_t b = uv_buf_init(data, sizeof data);
  assert_int_equal(ef_uv_try_write(&f, &b, 1), 1000);
  close_now(&f);
  assert_int_equal(fcntl(fd, F_GETFD), -1);
  assert_int_equal(errno, EBADF);
  assert_true(file_is(in_scratch("adopted"), 1000, 8));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(requests_are_written_in_order_with_any_number_of_buffers),
      TEST(empty_buffers_are_written_too),
      TEST(a_full_budget_makes_requests_wait_and_try_write_refuse),
      TEST(try_write_takes_all_buffers_or_none),
      TEST(errors_come_with_the_request),
      TEST(a_sync_means_every_write_asked_for_before_it),
      TEST(overlapping_syncs_are_each_told),
      TEST(a_failed_sync_is_not_told_to_the_one_before),
      TEST(fstat_tells_what_the_kernel_knows),
      TEST(an_adopted_descriptor_goes_with_the_handle),
  };
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
