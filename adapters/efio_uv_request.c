/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of the libuv adapter. Writes and syncs of a file wait in one queue, so that a sync means all that was
 * asked to be written before it; a write leaves it when its last byte is accepted, a sync when it is begun. */
#include "efio_uv_private.h"

#include <errno.h>
#include <stdlib.h>

enum {
  calls_a_round = 16, /* ef_writev before other files have their turn */
  spans_max = 1024    /* what one ef_writev takes */
};

/* ---- Lists of requests */

static void append(ef_uv_req_t ***end, ef_uv_req_t *r) {
  r->next = NULL;
  **end = r;
  *end = &r->next;
}

static ef_uv_req_t *take_first(ef_uv_req_t **list, ef_uv_req_t ***end) {
  ef_uv_req_t *r = *list;
  *list = r->next;
  if (!*list) *end = list;
  return r;
}

static void done(ef_uv_file_t *f, ef_uv_req_t *r, int status) {
  if (r->bufs != r->small) free(r->bufs);
  r->bufs = r->small;
  r->status = status;
  append(&f->done_end, r);
}

void ef_uv_call_back_requests(ef_uv_file_t *f) {
  ef_uv_req_t *r = f->done;
  f->done = NULL;
  f->done_end = &f->done;
  for (ef_uv_req_t *next; r; r = next) {
    next = r->next;
    --f->requests;
    ef_uv_hold(f);
    r->cb(r, r->status); /* it is the caller's again */
  }
}

void ef_uv_cancel_requests(ef_uv_file_t *f) {
  while (f->syncing) done(f, take_first(&f->syncing, &f->syncing_end), UV_ECANCELED);
  while (f->queue) done(f, take_first(&f->queue, &f->queue_end), UV_ECANCELED);
}

/* ---- Syncs */

static uint64_t counter(const ef_uv_file_t *f, size_t offset) {
  ef_file_counters c = {.size = sizeof c};
  if (ef_file_stats(f->fd, &c) < 0) return 0;
  return *(const uint64_t *)(const void *)((const char *)&c + offset);
}

static void begin_sync(ef_uv_file_t *f, ef_uv_req_t *r) {
  r->target = counter(f, offsetof(ef_file_counters, accepted)); /* before ef_sync, so that it is covered */
  r->first = counter(f, offsetof(ef_file_counters, synced)) < r->target;
  if (ef_sync(f->fd) < 0)
    done(f, r, uv_translate_sys_error(errno));
  else
    append(&f->syncing_end, r);
}

/* An event with an error may be of a later request than the first: those with bytes that were not durable before and
 * are now have succeeded. */
static void fulfil(ef_uv_file_t *f, int error) {
  uint64_t synced = counter(f, offsetof(ef_file_counters, synced));
  while (f->syncing && f->syncing->target <= synced && (!error || f->syncing->first))
    done(f, take_first(&f->syncing, &f->syncing_end), 0);
}

void ef_uv_synced(ef_uv_file_t *f, int error) {
  fulfil(f, error);
  while (error && f->syncing) done(f, take_first(&f->syncing, &f->syncing_end), uv_translate_sys_error(error));
  if (!f->syncing) return;
  /* Requests that overlap share events: ask for another one, and look again, for it may have been just now. */
  ef_watch(f->fd, EF_SYNC, f);
  fulfil(f, 0);
}

/* ---- Writes */

static void consume(ef_uv_req_t *r, size_t bytes) {
  for (; r->first < r->nbufs && bytes >= r->bufs[r->first].iov_len; ++r->first) bytes -= r->bufs[r->first].iov_len;
  if (r->first == r->nbufs) return;
  r->bufs[r->first].iov_base = (char *)r->bufs[r->first].iov_base + bytes;
  r->bufs[r->first].iov_len -= bytes;
}

/* Gives the core what it takes of the first request. False: its budget is full, and it will tell when there is
 * room. */
static bool push_first(ef_uv_file_t *f) {
  ef_uv_req_t *r = f->queue;
  int status = 0;
  if (r->kind == request_sync) {
    begin_sync(f, take_first(&f->queue, &f->queue_end));
    return true;
  }
  unsigned spans = r->nbufs - r->first;
  ssize_t n = ef_writev(f->fd, r->bufs + r->first, (int)(spans < spans_max ? spans : spans_max));
  if (n < 0) {
    if (errno == EAGAIN) return false;
    status = uv_translate_sys_error(errno);
  } else {
    consume(r, (size_t)n);
    if (r->first < r->nbufs) return true;
  }
  done(f, take_first(&f->queue, &f->queue_end), status);
  return true;
}

bool ef_uv_advance(ef_uv_file_t *f) {
  for (int i = 0; i < calls_a_round && f->queue; ++i)
    if (!push_first(f)) return false;
  return f->queue != NULL;
}

static void enqueue(ef_uv_file_t *f, ef_uv_req_t *r) {
  bool first = !f->queue;
  ++f->requests;
  append(&f->queue_end, r);
  bool again = first && ef_uv_advance(f);
  if (again || f->done) ef_uv_ready(f);
  ef_uv_hold(f);
}

static void to_spans(const uv_buf_t bufs[], unsigned nbufs, struct iovec *out) {
  for (unsigned i = 0; i < nbufs; ++i) {
    out[i].iov_base = bufs[i].base;
    out[i].iov_len = bufs[i].len;
  }
}

int ef_uv_write(ef_uv_req_t *r, ef_uv_file_t *f, const uv_buf_t bufs[], unsigned nbufs, ef_uv_req_cb cb) {
  if (!r || !f || !bufs || nbufs == 0 || !cb) return UV_EINVAL;
  if (f->flags & file_closing) return UV_EBADF;
  r->bufs = r->small;
  if (nbufs > sizeof r->small / sizeof *r->small) r->bufs = malloc(nbufs * sizeof *r->bufs);
  if (!r->bufs) return UV_ENOMEM;
  to_spans(bufs, nbufs, r->bufs);
  r->file = f;
  r->cb = cb;
  r->nbufs = nbufs;
  r->first = 0;
  r->kind = request_write;
  enqueue(f, r);
  return 0;
}

int ef_uv_try_write(ef_uv_file_t *f, const uv_buf_t bufs[], unsigned nbufs) {
  if (!f || !bufs || nbufs == 0 || nbufs > spans_max) return UV_EINVAL;
  if (f->flags & file_closing) return UV_EBADF;
  if (f->queue) return UV_EAGAIN;
  struct iovec spans[spans_max];
  to_spans(bufs, nbufs, spans);
  ssize_t n = ef_writev(f->fd, spans, (int)nbufs);
  return n < 0 ? uv_translate_sys_error(errno) : (int)n;
}

int ef_uv_sync(ef_uv_req_t *r, ef_uv_file_t *f, ef_uv_req_cb cb) {
  if (!r || !f || !cb) return UV_EINVAL;
  if (f->flags & file_closing) return UV_EBADF;
  r->bufs = r->small;
  r->nbufs = r->first = 0;
  r->file = f;
  r->cb = cb;
  r->kind = request_sync;
  enqueue(f, r);
  return 0;
}
