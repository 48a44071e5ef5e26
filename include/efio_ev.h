/* SPDX-License-Identifier: BSD-2-Clause */
/* efio for libev: a watcher for files that behaves as libev's own. Set it up with ef_ev_io_init, start it, stop
 * it; it is level-triggered, knows ev_is_active, ev_is_pending, ev_clear_pending, ev_set_cb and priorities, and
 * keeps the loop running while it is started. One loop is driven by one thread; every call here belongs to that
 * thread.
 *
 *   static void on_file(EV_P_ ef_ev_io *w, int revents) {
 *     ssize_t n = ef_read(w->fd, buf, sizeof buf);
 *     if (n > 0) { use(buf, n); return; }                 // called again while there is more
 *     if (n < 0 && errno == EAGAIN) return;               // called again when the bytes have come
 *     ef_ev_io_stop(EV_A_ w);                             // end of file, or errno: of the open, or of the read
 *     ef_close(w->fd);
 *   }
 *   ...
 *   int fd = ef_ev_open(EV_A_ "file", O_RDONLY, 0);
 *   ef_ev_io_init(&w, on_file, fd, EV_READ);
 *   ef_ev_io_start(EV_A_ &w);
 *   ev_run(EV_A_ 0);
 *
 * Writes need no watcher and accepted bytes hold no loop: they are written out in the background, also after the
 * loop has gone. Link with -lefio-ev -lefio -lev. */
#ifndef EFIO_EV_H
#define EFIO_EV_H

#include <efio.h>

#ifdef EV_H
#include EV_H
#else
#include <ev.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a watcher may ask for besides EV_READ and EV_WRITE. libev uses none of these bits. */
enum {
  EF_EV_OPEN = EF_OPEN << 23,   /* the background open is over; told once after a start; error has its errno */
  EF_EV_SYNC = EF_SYNC << 23,   /* an ef_sync is over; start before it; ef_file_stats tells how far; has error */
  EF_EV_CLOSE = EF_CLOSE << 23, /* the ef_close is over: start before it; the watcher is stopped; has error */
  EF_EV_ERROR = EF_ERROR << 23  /* accepted bytes cannot be written, also before the start: error has the errno */
};

/* Caller's memory, his again after ef_ev_io_stop. Several watchers may watch one file. */
typedef struct ef_ev_io {
  EV_WATCHER(ef_ev_io)
  int fd;     /* ro */
  int events; /* ro: EV_READ, EV_WRITE, EF_EV_ */
  int error;  /* ro: errno of the last EF_EV_ event, or of EV_ERROR; 0 = good */
  /* private */
  unsigned wanted;
  struct ef_ev_loop *owner;
  struct ef_ev_io *next, **pprev, *ready_next, **ready_pprev;
} ef_ev_io;

/* A read or write at an offset whose callback comes from the loop, which it keeps running meanwhile. Zero it before its
 * first use, set cb (and data) by ef_ev_request_init; request.result and request.error have what became of it. */
typedef struct ef_ev_request {
  ef_request request;
  void *data; /* the caller's */
  void (*cb)(EV_P_ struct ef_ev_request *);
  struct ef_ev_loop *owner; /* private */
} ef_ev_request;

#define ef_ev_request_init(r, cb_) ((r)->cb = (cb_))

/* As ev_io_set, ev_io_init, ev_io_modify; only while the watcher is stopped. */
#define ef_ev_io_set(w, fd_, events_)                                                                                  \
  do {                                                                                                                 \
    (w)->fd = (fd_);                                                                                                   \
    (w)->events = (events_);                                                                                           \
    (w)->error = 0;                                                                                                    \
  } while (0)
#define ef_ev_io_init(w, cb, fd, events)                                                                               \
  do {                                                                                                                 \
    ev_init((w), (cb));                                                                                                \
    ef_ev_io_set((w), (fd), (events));                                                                                 \
  } while (0)
#define ef_ev_io_modify(w, events_)                                                                                    \
  do {                                                                                                                 \
    (w)->events = (events_);                                                                                           \
  } while (0)

/* The loop's port, made on first use: give it to ef_openat and ef_fdopen; ef_drain takes it at the end. The loop
 * keeps it until it is destroyed. NULL: EINVAL watcher_size (libev was configured otherwise when efio-ev was
 * built: build adapters/efio_ev.c with your program), and the errors of ef_port_new. Use ef_ev_port, which fills
 * in the size. */
ef_port *ef_ev_port_sized(EV_P_ size_t watcher_size);
static inline ef_port *ef_ev_port(EV_P) { return ef_ev_port_sized(EV_A_ sizeof(ef_ev_io)); }

/* ef_openat on the loop's port, relative to the working directory, with default options. Errors of both. */
int ef_ev_open(EV_P_ const char *path, int flags, mode_t mode);

/* Starts the watcher: holds one reference of the loop; the callback comes from the loop, never from in here. Does
 * nothing if it is started. What cannot be watched gives EV_ERROR, error has the errno (EBADF not open, or not opened
 * for what is asked; EINVAL a file of another port or unknown events; ECHILD opened before fork; ENOMEM), and the
 * watcher is stopped. Keeps errno. */
void ef_ev_io_start(EV_P_ ef_ev_io *w);

/* Stops the watcher and takes back a pending callback. Does nothing if it is stopped. Stop before ef_close, unless
 * the watcher asks for EF_EV_CLOSE: others are stopped then and told EV_ERROR, EBADF. Keeps errno. */
void ef_ev_io_stop(EV_P_ ef_ev_io *w);

/* As ef_preadv and ef_pwritev: the count at once, and no callback; or -1 with EINPROGRESS, and the callback comes from
 * the loop, once; or -1 and no callback: also EINVAL a file of another port, or no callback set.
 * ef_cancel(&r->request) asks for its end. ev_loop_destroy waits for those under
 * way and calls nobody. */
ssize_t ef_ev_preadv(EV_P_ ef_ev_request *r, int fd, const struct iovec *iov, int iovcnt, off_t offset);
ssize_t ef_ev_pwritev(EV_P_ ef_ev_request *r, int fd, const struct iovec *iov, int iovcnt, off_t offset);
static inline ssize_t ef_ev_pread(EV_P_ ef_ev_request *r, int fd, void *buf, size_t len, off_t offset) {
  struct iovec one = {buf, len};
  return ef_ev_preadv(EV_A_ r, fd, &one, 1, offset);
}
static inline ssize_t ef_ev_pwrite(EV_P_ ef_ev_request *r, int fd, const void *buf, size_t len, off_t offset) {
  struct iovec one = {(void *)(size_t)buf, len};
  return ef_ev_pwritev(EV_A_ r, fd, &one, 1, offset);
}

/* The early good-bye of a loop that goes on without files; ev_loop_destroy does the same by itself. Files that are
 * open on the port stay: writes and closes go on in the background, nothing is lost, no event comes any more.
 * EBUSY watchers are started or requests under way, or it is called from a request's callback. 0 also if there is no
 * port. */
int ef_ev_detach(EV_P);

#ifdef __cplusplus
}
#endif
#endif
