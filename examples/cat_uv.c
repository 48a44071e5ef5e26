/* SPDX-License-Identifier: BSD-2-Clause */
/* cat on libuv: FILE... to standard output through one buffer, never faster than the output takes it. */
#include <efio_uv.h>
#include <stdio.h>
#include <unistd.h>

static ef_uv_file_t in, out;
static ef_uv_req_t request;
static char **names, bytes[65536], failed;
static void on_read(ef_uv_file_t *f, ssize_t n, const uv_buf_t *buf);

static void complain(const char *name, int status) {
  fprintf(stderr, "cat_uv: %s: %s\n", name, uv_strerror(status));
  failed = 1;
}

static void on_alloc(ef_uv_file_t *f, size_t suggested, uv_buf_t *buf) {
  (void)f, (void)suggested;
  *buf = uv_buf_init(bytes, sizeof bytes);
}

static void next_file(ef_uv_file_t *f) {
  int error = UV_EOF;
  while (*names && (error = ef_uv_open(out.loop, f, *names, UV_FS_O_RDONLY, 0))) complain(*names++, error);
  if (!error) error = ef_uv_read_start(f, on_alloc, on_read);
  if (error) ef_uv_close(&out, NULL);
}

static void on_written(ef_uv_req_t *r, int status) {
  if (status == 0) ef_uv_read_start(r->data, on_alloc, on_read); /* else on_trouble tells */
}

static void on_read(ef_uv_file_t *f, ssize_t n, const uv_buf_t *buf) {
  if (n > 0) {
    ef_uv_read_stop(f); /* the buffer is taken until on_written */
    ef_uv_write(&request, &out, &(uv_buf_t){.base = buf->base, .len = (size_t)n}, 1, on_written);
  } else if (n < 0) {
    if (n != UV_EOF) complain(*names, (int)n); /* of the read, or of the open */
    ++names;
    ef_uv_close(f, next_file);
  }
}

/* A full disk would be waited for as a full pipe is: told of it, we do not. */
static void on_trouble(ef_uv_file_t *f, int status, int events) {
  if (events & EF_ERROR) ef_uv_close(&in, NULL);
  if (status < 0) ef_uv_close(f, NULL);
}

int main(int argc, char **argv) {
  names = argv + (argc > 0);
  if (ef_uv_fdopen(uv_default_loop(), &out, dup(STDOUT_FILENO), NULL)) return complain("standard output", UV_EBADF), 1;
  ef_uv_poll_start(&out, EF_ERROR, on_trouble);
  request.data = &in;
  next_file(&in);
  uv_run(out.loop, UV_RUN_DEFAULT);
  if (out.status < 0) complain("standard output", out.status); /* of what was accepted and could not be written */
  return uv_loop_close(out.loop) || failed;
}
