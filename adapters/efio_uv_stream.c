/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and polling of the libuv adapter: what a file that is ready calls back. */
#include "efio_uv_private.h"

#include <errno.h>

enum {
  reads_a_round = 32,      /* read callbacks before other files have their turn */
  bytes_a_round = 64 * 1024, /* then the clock is looked at */
  suggested_size = 64 * 1024,
  level_events = EF_READ | EF_WRITE | EF_OPEN
};

static void stop(ef_uv_file_t *f, unsigned flag) {
  f->flags &= ~flag;
  ef_uv_hold(f);
}

static void start(ef_uv_file_t *f, unsigned flag) {
  f->flags |= flag;
  ef_uv_hold(f);
  ef_uv_ready(f);
}

/* What a file was not opened for never becomes true: an error is better than silence. Nothing is read or written. */
static bool wrong_mode(const ef_uv_file_t *f, int events) {
  char none;
  return (events & EF_READ && ef_read(f->fd, &none, 0) < 0 && errno == EBADF) ||
         (events & EF_WRITE && ef_write(f->fd, &none, 0) < 0 && errno == EBADF);
}

/* ---- Reading */

/* One callback, or none. The count; 0: the core will tell when to go on, or it has ended; -1: enough for this turn. */
static ssize_t read_once(ef_uv_file_t *f) {
  if (ef_watch(f->fd, EF_READ, f) == 0) return 0; /* no buffer is asked for in vain. Errors: the read has them too */
  uv_buf_t buf = uv_buf_init(NULL, 0);
  f->alloc_cb(f, suggested_size, &buf);
  ef_uv_read_cb cb = f->read_cb;
  if (!buf.base || buf.len == 0) {
    cb(f, UV_ENOBUFS, &buf);
    return -1;
  }
  /* Closed or stopped in the alloc callback: only the buffer goes back. */
  ssize_t n = f->flags & file_reading ? ef_read(f->fd, buf.base, buf.len) : 0;
  if (!(f->flags & file_reading) || (n < 0 && errno == EAGAIN)) {
    cb(f, 0, &buf);
    return 0;
  }
  if (n > 0) {
    cb(f, n, &buf);
    return n;
  }
  int status = n == 0 ? UV_EOF : uv_translate_sys_error(errno);
  stop(f, file_reading);
  cb(f, status, &buf);
  return 0;
}

bool ef_uv_read_step(ef_uv_file_t *f) {
  ssize_t bytes = 0;
  for (int i = 0; i < reads_a_round && bytes < bytes_a_round; ++i) {
    ssize_t n = read_once(f);
    if (!(f->flags & file_reading)) return false;
    if (n <= 0) return n < 0;
    bytes += n;
  }
  return true;
}

int ef_uv_read_start(ef_uv_file_t *f, ef_uv_alloc_cb alloc_cb, ef_uv_read_cb read_cb) {
  if (!f || !alloc_cb || !read_cb || f->flags & file_closing) return UV_EINVAL;
  if (f->flags & file_reading) return UV_EALREADY;
  if (wrong_mode(f, EF_READ)) return UV_EBADF;
  f->alloc_cb = alloc_cb;
  f->read_cb = read_cb;
  start(f, file_reading);
  return 0;
}

int ef_uv_read_stop(ef_uv_file_t *f) {
  if (!f) return UV_EINVAL;
  if (f->flags & file_reading) stop(f, file_reading);
  return 0;
}

/* ---- Polling */

/* Trouble is told once, with its error. */
static void tell_trouble(ef_uv_file_t *f) {
  if (!f->trouble || !(f->poll_events & EF_ERROR)) return;
  int status = uv_translate_sys_error(f->trouble);
  f->trouble = 0;
  f->poll_cb(f, status, EF_ERROR);
}

static int open_status(ef_uv_file_t *f) {
  struct stat st;
  return ef_fstat(f->fd, &st) == 0 ? 0 : uv_translate_sys_error(errno);
}

bool ef_uv_poll_step(ef_uv_file_t *f) {
  tell_trouble(f);
  if (!(f->flags & file_polling)) return false;
  int wanted = f->poll_events & level_events;
  int events = wanted ? ef_watch(f->fd, (unsigned)wanted, f) : 0;
  if (events == 0) return false;
  int status = events < 0 ? uv_translate_sys_error(errno) : 0;
  if (events > 0 && events & EF_OPEN) {
    status = open_status(f);
    f->poll_events &= ~EF_OPEN;
  }
  if (events < 0 || f->poll_events == 0) stop(f, file_polling);
  f->poll_cb(f, status, events < 0 ? 0 : events);
  return f->flags & file_polling;
}

int ef_uv_poll_start(ef_uv_file_t *f, int events, ef_uv_poll_cb cb) {
  if (!f || !cb || !events || events & ~(level_events | EF_ERROR) || f->flags & file_closing) return UV_EINVAL;
  if (wrong_mode(f, events)) return UV_EBADF;
  f->poll_events = events;
  f->poll_cb = cb;
  start(f, file_polling);
  return 0;
}

int ef_uv_poll_stop(ef_uv_file_t *f) {
  if (!f) return UV_EINVAL;
  if (f->flags & file_polling) stop(f, file_polling);
  return 0;
}
