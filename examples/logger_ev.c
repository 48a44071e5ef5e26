/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole logger on libev: `logger_ev LOG THREADS LINES` has so many threads log so many lines each (0: without end).
 * SIGHUP: LOG was renamed, and is opened anew. SIGTERM: the end, when everything is written. A crash: what was
 * accepted is written out first. Only the end waits for the disk. What goes wrong is told on standard error. */
#include <efio_ev.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int log_fd;
static long lines;
static atomic_bool stop;
static atomic_int at_work;

static size_t gap(void *path, uint64_t calls, uint64_t bytes, char *line, size_t size) {
  int n = snprintf(line, size, "-- %llu lines (%llu bytes) of %s dropped\n", (unsigned long long)calls,
                   (unsigned long long)bytes, (const char *)path);
  return n < 0 ? 0 : (size_t)n;
}

/* It waits for the open, so it is for the time before the loop runs. -1: errno. */
static int open_log(ef_port *port, char *path) {
  struct stat st;
  ef_file_options options = {
      .size = sizeof options,
      .flush_interval_ms = 1000,   /* how old a line gets before it is written */
      .when_full = EF_FULL_DROP,   /* or EF_FULL_WAIT: no line is dropped, threads wait */
      .cache = EF_CACHE_STREAMING, /* the page cache is left to others */
      .order = EF_ORDER_THREAD,    /* threads do not slow each other down */
      .rotate_bytes = 64 << 20,    /* to LOG.1, the latest, .. LOG.8 */
      .rotate_keep = 8,
      .drop_mark = gap, /* a line where others were dropped */
      .drop_mark_arg = path,
  };
  int fd = ef_openat(port, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0644, &options);
  return fd < 0 || ef_wait(fd, EF_OPEN, -1) < 0 || ef_fstat(fd, &st) < 0 ? -1 : fd;
}

static void *work(void *arg) {
  char line[128];
  for (long i = 0; !stop && (lines == 0 || i < lines); ++i) {
    int n = snprintf(line, sizeof line, "thread %d line %ld\n", (int)(intptr_t)arg, i);
    ef_write(log_fd, line, (size_t)n); /* copied; an error is told by on_error */
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  if (atomic_fetch_sub(&at_work, 1) == 1 && !stop) puts("all lines are accepted");
  return NULL;
}

/* A full disk (it is tried again), a broken one, a path that cannot be opened anew or rotated. */
static void on_error(EV_P_ ef_ev_io *w, int revents) {
  (void)loop, (void)revents;
  fprintf(stderr, "logger_ev: %s: %s\n", (const char *)w->data, strerror(w->error));
}

static void on_hangup(EV_P_ ev_signal *w, int revents) {
  (void)loop, (void)w, (void)revents;
  if (ef_reopen(log_fd) < 0) perror("logger_ev: reopen");
}

static void on_end(EV_P_ ev_signal *w, int revents) {
  (void)w, (void)revents;
  ev_break(EV_A_ EVBREAK_ALL);
}

static void on_crash(int signal_number) {
  ef_crash_flush(1000);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

/* The loop has ended, so it may wait: ef_close alone would not, and gives up on a full disk. */
static int finish(ef_port *port) {
  ef_file_counters c = {.size = sizeof c};
  for (int i = 0; i < 3 && ef_drain(port, 1000) < 0; ++i) fputs("logger_ev: waiting for the disk\n", stderr);
  if (ef_file_stats(log_fd, &c) < 0) return perror("logger_ev"), 1;
  printf("%llu bytes written, %llu lines dropped\n", (unsigned long long)c.written,
         (unsigned long long)c.dropped_calls);
  ef_close(log_fd);
  if (c.written == c.accepted) return 0;
  int why = c.error ? c.error : c.write_trouble ? c.write_trouble : ETIMEDOUT;
  fprintf(stderr, "logger_ev: %llu bytes lost: %s\n", (unsigned long long)(c.accepted - c.written), strerror(why));
  return 1;
}

int main(int argc, char **argv) {
  static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  static pthread_t threads[64];
  struct ev_loop *loop = ev_default_loop(0);
  ev_signal hangup, end;
  ef_ev_io errors;
  int count = argc == 4 ? atoi(argv[2]) : 0;
  if (count < 1 || count > 64) return fputs("usage: logger_ev LOG THREADS LINES\n", stderr), 2;
  lines = atol(argv[3]);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < 5; ++i) signal(crashes[i], on_crash);
  ev_signal_init(&hangup, on_hangup, SIGHUP);
  ev_signal_start(EV_A_ &hangup);
  ev_signal_init(&end, on_end, SIGTERM);
  ev_signal_start(EV_A_ &end);

  ef_port *port = ef_ev_port(EV_A);
  log_fd = port ? open_log(port, argv[1]) : -1;
  if (log_fd < 0) return fprintf(stderr, "logger_ev: %s: %s\n", argv[1], strerror(errno)), 1;
  ef_ev_io_init(&errors, on_error, log_fd, EF_EV_ERROR);
  errors.data = argv[1];
  ef_ev_io_start(EV_A_ &errors);

  at_work = count;
  for (int i = 0; i < count; ++i)
    if ((errno = pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i))) return perror("logger_ev"), 1;
  ev_run(EV_A_ 0);
  stop = true;
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  ef_ev_io_stop(EV_A_ &errors);
  return finish(port);
}
