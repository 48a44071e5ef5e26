/* SPDX-License-Identifier: BSD-2-Clause */
/* One upload on its way to the disk: written under a temporary name, made durable, then renamed, so that under its own
 * name a file is always whole. The disk's pace is the caller's: store_put says when to wait. */
#ifndef UPLOAD_STORE_H
#define UPLOAD_STORE_H

#include <efio_uv.h>

#include <stdio.h>
#include <string.h>

enum { store_name_max = 200, store_replaced = 1 };

struct store;
typedef void store_room_fn(struct store *s);
typedef void store_done_fn(struct store *s, int status); /* 0, store_replaced or a UV_E error */

struct store_directory {
  uv_loop_t *loop;
  uv_file fd;
  const char *path;
  unsigned long long started_ns, stores;
};

struct store {
  struct store_directory *directory;
  ef_uv_file_t file;
  ef_uv_req_t write, sync;
  uv_fs_t fs;
  store_room_fn *room;
  store_done_fn *done;
  int status; /* the first error, or what done is told */
  char temporary[4096], path[4096];
};

/* ---- After the file is closed: names */

/* A request that could not be made is one that has failed. */
static void made(uv_fs_t *r, int error, uv_fs_cb cb) {
  if (error >= 0) return;
  r->result = error;
  cb(r);
}

static void on_renamed_durable(uv_fs_t *r) {
  struct store *s = r->data;
  if (r->result < 0) s->status = (int)r->result;
  uv_fs_req_cleanup(r);
  s->done(s, s->status);
}

static void on_unlinked(uv_fs_t *r) {
  struct store *s = r->data;
  uv_fs_req_cleanup(r);
  s->done(s, s->status);
}

static void store_unlink(struct store *s, int status) {
  s->status = status;
  made(&s->fs, uv_fs_unlink(s->directory->loop, &s->fs, s->temporary, on_unlinked), on_unlinked);
}

static void on_renamed(uv_fs_t *r) {
  struct store *s = r->data;
  int result = (int)r->result;
  uv_fs_req_cleanup(r);
  if (result < 0) return store_unlink(s, result);
  made(&s->fs, uv_fs_fsync(s->directory->loop, &s->fs, s->directory->fd, on_renamed_durable), on_renamed_durable);
}

static void on_looked_up(uv_fs_t *r) {
  struct store *s = r->data;
  if (r->result == 0) s->status = store_replaced;
  uv_fs_req_cleanup(r);
  made(&s->fs, uv_fs_rename(s->directory->loop, &s->fs, s->temporary, s->path, on_renamed), on_renamed);
}

static void on_file_closed(ef_uv_file_t *f) {
  struct store *s = f->data;
  if (s->status == 0) s->status = f->status;
  if (s->status < 0)
    store_unlink(s, s->status);
  else
    made(&s->fs, uv_fs_lstat(s->directory->loop, &s->fs, s->path, on_looked_up), on_looked_up);
}

/* ---- While it is open */

/* status 0: good. */
static void store_end(struct store *s, int status) {
  if (ef_uv_is_closing(&s->file)) return;
  s->status = status;
  ef_uv_close(&s->file, on_file_closed);
}

/* A failed open, a disk that is full: told without being asked. */
static void on_trouble(ef_uv_file_t *f, int status, int events) {
  (void)events;
  if (status < 0) store_end(f->data, status);
}

static void on_accepted(ef_uv_req_t *r, int status) {
  struct store *s = r->data;
  if (ef_uv_is_closing(&s->file)) return;
  if (status < 0)
    store_end(s, status);
  else
    s->room(s);
}

static void on_synced(ef_uv_req_t *r, int status) { store_end(r->data, status); }

/* 0, or an error at once; else done is called in the end, whatever happens. */
static int store_begin(struct store *s, struct store_directory *d, const char *name, store_room_fn *room,
                       store_done_fn *done) {
  ef_file_options options = {.size = sizeof options, .write_buffer_max = 1024 * 1024};
  s->directory = d;
  s->room = room;
  s->done = done;
  s->status = 0;
  s->file.data = s->write.data = s->sync.data = s->fs.data = s;
  int a = snprintf(s->temporary, sizeof s->temporary, "%s/.upload-%llx-%llx", d->path, d->started_ns, ++d->stores);
  int b = snprintf(s->path, sizeof s->path, "%s/%s", d->path, name);
  if (a >= (int)sizeof s->temporary || b >= (int)sizeof s->path) return UV_ENAMETOOLONG;
  int error = ef_uv_openat(d->loop, &s->file, d->fd, strrchr(s->temporary, '/') + 1,
                           UV_FS_O_WRONLY | UV_FS_O_CREAT | UV_FS_O_EXCL, 0644, &options);
  if (error == 0) ef_uv_poll_start(&s->file, EF_OPEN | EF_ERROR, on_trouble);
  return error;
}

/* Puts at most EF_ATOMIC bytes. True: they are taken. False: not yet; they must stay, and nothing more be put, until
 * room is called. */
static bool store_put(struct store *s, const char *bytes, size_t len) {
  uv_buf_t b = uv_buf_init((char *)bytes, (unsigned)len);
  if (ef_uv_try_write(&s->file, &b, 1) == (int)len) return true;
  int error = ef_uv_write(&s->write, &s->file, &b, 1, on_accepted);
  if (error) store_end(s, error);
  return false;
}

/* All has been put: done is called when it is on stable storage under its name. */
static void store_finish(struct store *s) {
  int error = ef_uv_sync(&s->sync, &s->file, on_synced);
  if (error) store_end(s, error);
}

/* Done is called when no trace is left; not if the end has begun already. */
static void store_abort(struct store *s) { store_end(s, UV_ECANCELED); }

#endif
