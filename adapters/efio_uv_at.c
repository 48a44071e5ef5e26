/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes at an offset. What was answered at once is called back by the loop all the same. */
#include "efio_uv_private.h"

#include <errno.h>
#include <stdlib.h>

enum { spans_max = 1024 }; /* what one request takes */

static void release_spans(ef_uv_at_t *r) {
  if (r->bufs != r->small) free(r->bufs);
  r->bufs = r->small;
}

/* From the callback on it is the caller's. cb says whether it is in use. */
static void call_back(ef_uv_at_t *r) {
  ef_uv_file_t *f = r->file;
  ef_uv_at_cb cb = r->cb;
  r->cb = NULL;
  release_spans(r);
  --f->requests;
  ef_uv_hold(f);
  cb(r, r->request.result < 0 ? uv_translate_sys_error(r->request.error) : r->request.result);
}

static void on_over(ef_request *q) {
  call_back((ef_uv_at_t *)(void *)((char *)q - offsetof(ef_uv_at_t, request)));
}

void ef_uv_call_back_at(ef_uv_file_t *f) {
  ef_uv_at_t *r = f->done_at;
  f->done_at = NULL;
  f->done_at_end = &f->done_at;
  for (ef_uv_at_t *next; r; r = next) {
    next = r->next;
    call_back(r);
  }
}

static void to_spans(const uv_buf_t bufs[], unsigned nbufs, struct iovec *out) {
  for (unsigned i = 0; i < nbufs; ++i) {
    out[i].iov_base = bufs[i].base;
    out[i].iov_len = bufs[i].len;
  }
}

static int check(const ef_uv_file_t *f, const uv_buf_t bufs[], unsigned nbufs, int64_t offset) {
  if (!f || !bufs || nbufs == 0 || nbufs > spans_max || offset < 0) return UV_EINVAL;
  return f->flags & file_closing ? UV_EBADF : 0;
}

typedef ssize_t begin_fn(int fd, const struct iovec *iov, int iovcnt, off_t offset, ef_request *request);

static int begin(ef_uv_at_t *r, ef_uv_file_t *f, const uv_buf_t bufs[], unsigned nbufs, int64_t offset, ef_uv_at_cb cb,
                 begin_fn *how) {
  int bad = check(f, bufs, nbufs, offset);
  if (bad < 0) return bad;
  if (!r || !cb) return UV_EINVAL;
  if (r->cb) return UV_EBUSY;
  r->bufs = nbufs > sizeof r->small / sizeof *r->small ? malloc(nbufs * sizeof *r->bufs) : r->small;
  if (!r->bufs) return UV_ENOMEM;
  to_spans(bufs, nbufs, r->bufs);
  r->request.done = on_over;
  ssize_t n = how(f->fd, r->bufs, (int)nbufs, offset, &r->request);
  if (n < 0 && errno != EINPROGRESS) {
    int error = uv_translate_sys_error(errno);
    release_spans(r);
    return error;
  }
  r->file = f;
  r->cb = cb;
  ++f->requests;
  if (n >= 0) {
    r->request.result = n;
    r->next = NULL;
    *f->done_at_end = r;
    f->done_at_end = &r->next;
    ef_uv_ready(f);
  }
  ef_uv_hold(f);
  return 0;
}

int ef_uv_read_at(ef_uv_at_t *r, ef_uv_file_t *f, const uv_buf_t bufs[], unsigned nbufs, int64_t offset,
                  ef_uv_at_cb cb) {
  return begin(r, f, bufs, nbufs, offset, cb, ef_preadv);
}

int ef_uv_write_at(ef_uv_at_t *r, ef_uv_file_t *f, const uv_buf_t bufs[], unsigned nbufs, int64_t offset,
                   ef_uv_at_cb cb) {
  return begin(r, f, bufs, nbufs, offset, cb, ef_pwritev);
}

ssize_t ef_uv_try_read_at(ef_uv_file_t *f, const uv_buf_t bufs[], unsigned nbufs, int64_t offset) {
  int bad = check(f, bufs, nbufs, offset);
  if (bad < 0) return bad;
  struct iovec spans[spans_max];
  to_spans(bufs, nbufs, spans);
  ssize_t n = ef_preadv(f->fd, spans, (int)nbufs, offset, NULL);
  return n < 0 ? uv_translate_sys_error(errno) : n;
}

int ef_uv_cancel_at(ef_uv_at_t *r) {
  if (!r) return UV_EINVAL;
  return r->cb && ef_cancel(&r->request) == 0 ? 0 : UV_ENOENT;
}
