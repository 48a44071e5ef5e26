/* SPDX-License-Identifier: BSD-2-Clause */
/* tail -f on libev: the end of FILE, then what is added to it. An end of file is only the end for now: inotify tells
 * when there is more. A file that was cut is read from its start. */
#include <efio_ev.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

static ef_ev_io file;
static ev_io changes;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void at_end(EV_P_ ef_ev_io *w) {
  struct stat st;
  if (fflush(stdout) != 0) fail("standard output");
  if (ef_fstat(w->fd, &st) == 0 && st.st_size < ef_seek(w->fd, 0, SEEK_CUR))
    ef_seek(w->fd, 0, SEEK_SET);
  else
    ef_ev_io_stop(EV_A_ w); /* until on_change */
}

static void on_file(EV_P_ ef_ev_io *w, int revents) {
  static char bytes[65536];
  static off_t from = -1024;
  (void)revents;
  if (from < 0 && ef_seek(w->fd, from, SEEK_END) < 0 && errno == EAGAIN) return;
  from = 0; /* placed; a shorter file is shown as a whole, and what a seek cannot do the read will tell */
  ssize_t n = ef_read(w->fd, bytes, sizeof bytes);
  if (n > 0 && fwrite(bytes, 1, (size_t)n, stdout) != (size_t)n) fail("standard output");
  if (n < 0 && errno != EAGAIN) fail(w->data);
  if (n == 0) at_end(EV_A_ w);
}

static void on_change(EV_P_ ev_io *w, int revents) {
  char events[4096];
  if (!(revents & EV_READ) || read(w->fd, events, sizeof events) < 0) fail("inotify");
  ef_ev_io_start(EV_A_ &file);
}

int main(int argc, char **argv) {
  struct ev_loop *loop = ev_default_loop(0);
  if (argc != 2) return fputs("usage: tail_log_ev FILE\n", stderr), 2;
  int fd = ef_ev_open(EV_A_ argv[1], O_RDONLY, 0), watch = inotify_init1(IN_CLOEXEC);
  if (fd < 0 || inotify_add_watch(watch, argv[1], IN_MODIFY) < 0) fail(argv[1]);
  ef_ev_io_init(&file, on_file, fd, EV_READ);
  file.data = argv[1];
  ev_io_init(&changes, on_change, watch, EV_READ);
  ef_ev_io_start(EV_A_ &file);
  ev_io_start(EV_A_ &changes);
  return ev_run(EV_A_ 0);
}
