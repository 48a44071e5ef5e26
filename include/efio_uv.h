/* SPDX-License-Identifier: BSD-2-Clause */
/* efio for libuv: files as handles, operations as requests, with libuv's manners. Results are 0, a count or a
 * negative UV_E error; callbacks come from the loop, never from inside the call that asks for them; a handle is
 * the caller's again in its close callback, a request in its callback. All calls belong to the loop's thread.
 *
 *   static void on_read(ef_uv_file_t *f, ssize_t n, const uv_buf_t *b) {
 *     if (n > 0) use(b->base, n);
 *     else if (n < 0) {                                   // UV_EOF, or an error: of the open, or of the read
 *       if (n != UV_EOF) fprintf(stderr, "%s\n", uv_strerror((int)n));
 *       ef_uv_close(f, NULL);
 *     }
 *   }
 *   ...
 *   ef_uv_open(loop, &file, "file", UV_FS_O_RDONLY, 0);
 *   ef_uv_read_start(&file, on_alloc, on_read);
 *   uv_run(loop, UV_RUN_DEFAULT);
 *
 * The loop is kept alive by a read or poll in progress (unless the file is unref'd), by requests, and by closing;
 * not by accepted bytes, which are written out in the background. Three handles of libuv's own exist in a loop while
 * files are open in it: see ef_uv_owns. Close every file and run the loop, and uv_loop_close answers 0. file->fd
 * is the library's number: any ef_ call may be used with it except ef_close, ef_watch and ef_sync. After
 * uv_loop_fork, files of the parent answer -ECHILD (there is no UV_ name for it) and can only be closed; new ones
 * work. Link with -lefio-uv -lefio -luv. */
#ifndef EFIO_UV_H
#define EFIO_UV_H

#include <efio.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ef_uv_file_s ef_uv_file_t;
typedef struct ef_uv_req_s ef_uv_req_t;
typedef struct ef_uv_at_s ef_uv_at_t;

/* status 0, events UV_READABLE, UV_WRITABLE, EF_OPEN as they are true; or a negative status: with EF_OPEN or
 * EF_ERROR the error that came with it, with events 0 the file cannot be polled and polling has stopped. */
typedef void (*ef_uv_poll_cb)(ef_uv_file_t *file, int status, int events);
typedef void (*ef_uv_alloc_cb)(ef_uv_file_t *file, size_t suggested_size, uv_buf_t *buf);
/* nread > 0 bytes; 0 nothing for now, go on; UV_EOF or another error: reading has stopped, and may be started
 * again (the file may have grown); UV_ENOBUFS the alloc callback gave nothing. The buffer is the caller's again in
 * every case. */
typedef void (*ef_uv_read_cb)(ef_uv_file_t *file, ssize_t nread, const uv_buf_t *buf);
typedef void (*ef_uv_req_cb)(ef_uv_req_t *req, int status);
/* result: a count, short only at the end of the file (0: at or behind it) or on a full disk; or an error. */
typedef void (*ef_uv_at_cb)(ef_uv_at_t *req, ssize_t result);
typedef void (*ef_uv_close_cb)(ef_uv_file_t *file);

/* A link of the adapter's lists. */
typedef struct ef_uv_link {
  struct ef_uv_link *next, *prev;
} ef_uv_link;

struct ef_uv_file_s {
  void *data;      /* the caller's; no call here touches it */
  uv_loop_t *loop; /* ro */
  int fd;          /* ro; -1 once closing */
  int status;      /* ro: in the close callback 0, or the error of bytes that could not be written */
  /* private */
  struct ef_uv_loop *owner;
  ef_uv_link ready;
  ef_uv_req_t *queue, **queue_end;     /* writes not yet accepted, and syncs behind them */
  ef_uv_req_t *syncing, **syncing_end; /* syncs in progress */
  ef_uv_req_t *done, **done_end;       /* to be called back */
  ef_uv_poll_cb poll_cb;
  ef_uv_alloc_cb alloc_cb;
  ef_uv_read_cb read_cb;
  ef_uv_close_cb close_cb;
  unsigned flags, requests;
  int poll_events, trouble;
  ef_uv_at_t *done_at, **done_at_end; /* to be called back */
  void *reserved[2];
};

struct ef_uv_req_s {
  void *data;         /* the caller's */
  ef_uv_file_t *file; /* ro */
  /* private */
  ef_uv_req_cb cb;
  ef_uv_req_t *next;
  struct iovec *bufs, small[4];
  unsigned nbufs, first; /* first not yet accepted; of a sync: it had bytes to make durable */
  uint64_t target;       /* of a sync: ef_file_counters.synced that fulfils it */
  int kind, status;
  void *reserved[2];
};

/* A read or write at an offset. Zero it before its first use. */
struct ef_uv_at_s {
  void *data;         /* the caller's */
  ef_uv_file_t *file; /* ro */
  /* private */
  ef_request request;
  ef_uv_at_cb cb;
  ef_uv_at_t *next;
  struct iovec *bufs, small[4];
  void *reserved[2];
};

/* Opens a file; open(2) happens in the background, and its error comes with the first callback. Writes may follow
 * at once. After an error the handle needs no ef_uv_close. UV_EINVAL a NULL argument or bad options, UV_ENOMEM,
 * and the errors that ef_openat answers at once. options NULL = defaults; their data is not used. */
int ef_uv_open(uv_loop_t *loop, ef_uv_file_t *file, const char *path, int flags, int mode);
int ef_uv_openat(uv_loop_t *loop, ef_uv_file_t *file, uv_file dir, const char *path, int flags, int mode,
                 const ef_file_options *options);
/* Adopts an open descriptor: it is closed with the handle. After an error it is still the caller's. */
int ef_uv_fdopen(uv_loop_t *loop, ef_uv_file_t *file, uv_file osfd, const ef_file_options *options);

/* Level-triggered as uv_poll_start. Events: UV_READABLE (EF_READ), UV_WRITABLE (EF_WRITE), EF_OPEN (told once),
 * EF_ERROR (bytes accepted before could not be written). Readable is a hint: ef_read may still answer EAGAIN, and the
 * callback comes again. Starting again replaces events and callback. UV_EINVAL closing, other events, no events, NULL
 * callback; UV_EBADF the file is not open for it. */
int ef_uv_poll_start(ef_uv_file_t *file, int events, ef_uv_poll_cb cb);
int ef_uv_poll_stop(ef_uv_file_t *file);

/* As uv_read_start. UV_EALREADY it is started, UV_EINVAL closing or a NULL callback, UV_EBADF not open for reading. */
int ef_uv_read_start(ef_uv_file_t *file, ef_uv_alloc_cb alloc_cb, ef_uv_read_cb read_cb);
int ef_uv_read_stop(ef_uv_file_t *file);

/* Writes the buffers, any number and any size, in the order of the calls. The callback comes when all bytes are
 * accepted (0), or cannot be: the error that sticks, UV_ECANCELED closed before. The array may go after the call,
 * the bytes must stay until the callback. UV_EINVAL no buffers or a NULL argument, UV_EBADF closing, UV_ENOMEM. */
int ef_uv_write(ef_uv_req_t *req, ef_uv_file_t *file, const uv_buf_t bufs[], unsigned nbufs, ef_uv_req_cb cb);

/* Copies the bytes now, without a request: all of them or none if they are EF_ATOMIC or fewer, else perhaps a
 * part. The count, or UV_EAGAIN the budget is full or writes are queued, UV_EBADF closing or not for writing,
 * UV_EINVAL 0 or more than 1024 buffers, or the error that sticks. */
int ef_uv_try_write(ef_uv_file_t *file, const uv_buf_t bufs[], unsigned nbufs);

/* Called back with 0 when every byte of the ef_uv_write and ef_uv_try_write calls before it is on stable storage,
 * with the error if that cannot be, with UV_ECANCELED if the file was closed before. UV_EBADF closing, UV_EINVAL a
 * NULL argument. */
int ef_uv_sync(ef_uv_req_t *req, ef_uv_file_t *file, ef_uv_req_cb cb);

/* Reads or writes at an offset, as ef_preadv and ef_pwritev: any number at once, in any order, apart from the reads and
 * writes in sequence. The array may go after the call, the bytes must stay until the callback, which comes once, also
 * when the file is closed meanwhile, before the close callback. UV_EINVAL no buffers or more than 1024, an offset < 0
 * or a NULL argument; UV_EBADF closing, or the file is not open for it; UV_EBUSY the request is in use; UV_ENOMEM, and
 * the other errors of those calls. */
int ef_uv_read_at(ef_uv_at_t *req, ef_uv_file_t *file, const uv_buf_t bufs[], unsigned nbufs, int64_t offset,
                  ef_uv_at_cb cb);
int ef_uv_write_at(ef_uv_at_t *req, ef_uv_file_t *file, const uv_buf_t bufs[], unsigned nbufs, int64_t offset,
                   ef_uv_at_cb cb);

/* What is in memory now, without a request: the count, 0 at the end of the file, UV_EAGAIN nothing, or the open
 * goes on; and the errors of ef_uv_read_at. */
ssize_t ef_uv_try_read_at(ef_uv_file_t *file, const uv_buf_t bufs[], unsigned nbufs, int64_t offset);

/* Asks for the end of a request: its callback comes all the same, with UV_ECANCELED if it had not begun. UV_ENOENT it
 * is over. */
int ef_uv_cancel_at(ef_uv_at_t *req);

/* The file as the kernel sees it now. UV_EAGAIN the open is not done, UV_EBADF closing, UV_EINVAL out NULL, error
 * of the open. */
int ef_uv_fstat(ef_uv_file_t *file, uv_stat_t *out);

/* Stops reading and polling, cancels requests (their callbacks come first, with UV_ECANCELED; those at an offset go on
 * to their end), writes out what was accepted, closes, calls cb (may be NULL). A second call does nothing. */
void ef_uv_close(ef_uv_file_t *file, ef_uv_close_cb cb);

/* Active: it reads, polls, or has requests. Closing: from ef_uv_close on. */
int ef_uv_is_active(const ef_uv_file_t *file);
int ef_uv_is_closing(const ef_uv_file_t *file);

/* As uv_ref, uv_unref, uv_has_ref: whether reading and polling keep the loop alive. Requests and closing always
 * do. */
void ef_uv_ref(ef_uv_file_t *file);
void ef_uv_unref(ef_uv_file_t *file);
int ef_uv_has_ref(const ef_uv_file_t *file);

/* True for the adapter's own handles: leave them alone in uv_walk, they go with the last file. */
int ef_uv_owns(const uv_handle_t *handle);

#ifdef __cplusplus
}
#endif
#endif
