/* SPDX-License-Identifier: BSD-2-Clause */
/* Files as handles of libuv: open, close, and what can be asked of them. */
#include "efio_uv_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* ---- Opening */

static void init_file(ef_uv_file_t *f, struct ef_uv_loop *s, int fd) {
  void *data = f->data;
  memset(f, 0, sizeof *f);
  f->data = data;
  f->loop = s->loop;
  f->owner = s;
  f->fd = fd;
  link_init(&f->ready);
  f->queue_end = &f->queue;
  f->syncing_end = &f->syncing;
  f->done_end = &f->done;
  f->done_at_end = &f->done_at;
}

/* The options with our pointer in them. False: they are of another version. */
static bool own_options(ef_file_options *out, const ef_file_options *given, ef_uv_file_t *f) {
  if (given && given->size != sizeof *given) return false;
  memset(out, 0, sizeof *out);
  if (given) *out = *given;
  out->size = sizeof *out;
  out->data = f;
  return true;
}

struct opening {
  const char *path; /* NULL: fdopen */
  int osfd;         /* or the directory */
  int flags, mode;
};

static int open_on(ef_port *port, const struct opening *o, const ef_file_options *options) {
  int fd = o->path ? ef_openat(port, o->osfd, o->path, o->flags, (mode_t)o->mode, options)
                   : ef_fdopen(port, o->osfd, options);
  return fd < 0 ? uv_translate_sys_error(errno) : fd;
}

/* The loop's handles are made last, for they cannot be unmade without a turn of the loop. libuv fails to make an
 * async only in a loop's first one, and it makes that itself. */
static int open_file(uv_loop_t *loop, ef_uv_file_t *f, const struct opening *o, const ef_file_options *given) {
  ef_file_options options;
  if (!loop || !f || !own_options(&options, given, f)) return UV_EINVAL;
  int error = 0;
  struct ef_uv_loop *found = ef_uv_loop_find(loop), *s = found ? found : ef_uv_loop_new(loop, &error);
  if (!s) return error;
  int fd = open_on(s->port, o, &options);
  error = fd < 0 ? fd : found ? 0 : ef_uv_loop_attach(s);
  if (error < 0) {
    if (fd >= 0) ef_close(fd);
    if (!found) ef_uv_loop_drop(s);
    return error;
  }
  ++s->files;
  init_file(f, s, fd);
  return 0;
}

int ef_uv_openat(uv_loop_t *loop, ef_uv_file_t *f, uv_file dir, const char *path, int flags, int mode,
                 const ef_file_options *options) {
  if (!path) return UV_EINVAL;
  return open_file(loop, f, &(struct opening){path, dir, flags, mode}, options);
}

int ef_uv_open(uv_loop_t *loop, ef_uv_file_t *f, const char *path, int flags, int mode) {
  return ef_uv_openat(loop, f, AT_FDCWD, path, flags, mode, NULL);
}

int ef_uv_fdopen(uv_loop_t *loop, ef_uv_file_t *f, uv_file osfd, const ef_file_options *options) {
  return open_file(loop, f, &(struct opening){NULL, osfd, 0, 0}, options);
}

/* ---- Closing */

void ef_uv_close(ef_uv_file_t *f, ef_uv_close_cb cb) {
  if (f->flags & file_closing) return;
  ef_uv_cancel_requests(f);
  f->flags &= ~(unsigned)(file_reading | file_polling);
  f->flags |= file_closing;
  f->close_cb = cb;
  int fd = f->fd;
  f->fd = -1;
  /* What was armed or not yet taken is of no use any more. Armed for the close, a file tells when it is over,
   * whatever ef_close answers; one that cannot be armed (closed behind our back, or a parent's) never will. */
  ef_watch(fd, 0, f);
  if (ef_watch(fd, EF_CLOSE, f) < 0) {
    f->flags |= file_closed;
    f->status = uv_translate_sys_error(errno);
  } else {
    ef_close(fd);
  }
  ef_uv_hold(f);
  if (f->done || f->done_at || f->flags & file_closed) ef_uv_ready(f);
}

/* ---- Asking */

int ef_uv_is_active(const ef_uv_file_t *f) { return f->flags & (file_reading | file_polling) || f->requests > 0; }

int ef_uv_is_closing(const ef_uv_file_t *f) { return !!(f->flags & file_closing); }

void ef_uv_ref(ef_uv_file_t *f) {
  f->flags &= ~(unsigned)file_unref;
  ef_uv_hold(f);
}

void ef_uv_unref(ef_uv_file_t *f) {
  f->flags |= file_unref;
  ef_uv_hold(f);
}

int ef_uv_has_ref(const ef_uv_file_t *f) { return !(f->flags & file_unref); }

static uv_timespec_t to_timespec(struct timespec t) { return (uv_timespec_t){t.tv_sec, t.tv_nsec}; }

int ef_uv_fstat(ef_uv_file_t *f, uv_stat_t *out) {
  if (!f || !out) return UV_EINVAL;
  struct stat st;
  if (ef_fstat(f->fd, &st) < 0) return uv_translate_sys_error(errno);
  *out = (uv_stat_t){
      .st_dev = st.st_dev,
      .st_mode = st.st_mode,
      .st_nlink = st.st_nlink,
      .st_uid = st.st_uid,
      .st_gid = st.st_gid,
      .st_rdev = st.st_rdev,
      .st_ino = st.st_ino,
      .st_size = (uint64_t)st.st_size,
      .st_blksize = (uint64_t)st.st_blksize,
      .st_blocks = (uint64_t)st.st_blocks,
      .st_atim = to_timespec(st.st_atim),
      .st_mtim = to_timespec(st.st_mtim),
      .st_ctim = to_timespec(st.st_ctim),
      .st_birthtim = to_timespec(st.st_ctim), /* struct stat has no birth; libuv does the same */
  };
  return 0;
}
