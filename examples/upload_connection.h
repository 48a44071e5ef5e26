/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection of upload_uv: reads a request's head, hands its body to a store as fast as that takes it and not
 * faster, answers when the store is done. Its memory is one buffer of 64 KiB. */
#ifndef UPLOAD_CONNECTION_H
#define UPLOAD_CONNECTION_H

#include "http_body.h"
#include "upload_store.h"

#include <errno.h>
#include <stdlib.h>

enum { linger_ms = 2000 };

enum phase { phase_head, phase_body, phase_storing, phase_answering, phase_lingering };

struct connection {
  struct connection *next, **pprev;
  uv_tcp_t socket;
  uv_timer_t timer;
  uv_write_t answer;
  uv_shutdown_t shutdown;
  struct store store;
  struct http_request request;
  struct http_body body;
  enum phase phase;
  size_t begin, end; /* of what is in the buffer and not used yet */
  uint64_t stored;
  size_t putting; /* bytes the store has not taken yet */
  int holders;    /* socket, timer, store */
  int refusal;    /* status to answer with instead of what the store says */
  bool close_after, lost;
  char out[256];
  char in[EF_ATOMIC];
};

static struct {
  uv_loop_t *loop;
  struct store_directory directory;
  uint64_t body_max, idle_ms;
  bool stopping;
  int count;
  struct connection *connections;
  uint64_t connected, requests, created, replaced, refused, failed, bytes;
} server;

static void server_connection_gone(void);
static void advance(struct connection *c);
static void begin_reading(struct connection *c);

/* ---- Ends */

static void release(struct connection *c) {
  if (--c->holders > 0) return;
  if ((*c->pprev = c->next)) c->next->pprev = c->pprev;
  free(c);
  server_connection_gone();
}

static void on_handle_closed(uv_handle_t *h) { release(h->data); }

/* The client is gone, or has to go. An upload that is not complete leaves no trace; a complete one goes on. */
static void drop(struct connection *c) {
  if (c->lost) return;
  c->lost = true;
  if (c->phase == phase_body) store_abort(&c->store);
  uv_close((uv_handle_t *)&c->socket, on_handle_closed);
  uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void on_timeout(uv_timer_t *t) { drop(t->data); }

/* Time runs while it is the client's turn. */
static void set_timer(struct connection *c, uint64_t ms) { uv_timer_start(&c->timer, on_timeout, ms, 0); }

/* ---- Answers */

static void on_shutdown(uv_shutdown_t *r, int status) {
  struct connection *c = r->data;
  if (status < 0) drop(c);
}

static void on_answered(uv_write_t *r, int status) {
  struct connection *c = r->data;
  if (c->lost) return;
  if (status < 0) return drop(c);
  if (c->close_after ||
      server.stopping) { /* what still comes is thrown away, so that the client gets to see the answer */
    c->phase = phase_lingering;
    c->begin = c->end = 0;
    uv_shutdown(&c->shutdown, (uv_stream_t *)&c->socket, on_shutdown);
    set_timer(c, linger_ms);
    return begin_reading(c);
  }
  c->phase = phase_head;
  set_timer(c, server.idle_ms);
  advance(c);
}

static void answer(struct connection *c, int status) {
  ++server.requests;
  if (c->lost) return;
  c->phase = phase_answering;
  c->close_after |= !c->request.keep_alive || server.stopping;
  int n = snprintf(c->out, sizeof c->out, "HTTP/1.1 %d %s\r\n%s%s%s\r\n", status, http_reason(status),
                   status == 405 ? "Allow: PUT\r\n" : "", status == 204 ? "" : "Content-Length: 0\r\n",
                   c->close_after          ? "Connection: close\r\n"
                   : c->request.minor == 0 ? "Connection: keep-alive\r\n"
                                           : "");
  uv_buf_t b = uv_buf_init(c->out, (unsigned)n);
  uv_read_stop((uv_stream_t *)&c->socket);
  set_timer(c, server.idle_ms);
  if (uv_write(&c->answer, (uv_stream_t *)&c->socket, &b, 1, on_answered) < 0) drop(c);
}

/* No store is at work for it. What follows the head is not a request we could find the start of. */
static void refuse(struct connection *c, int status) {
  ++server.refused;
  c->close_after = true;
  answer(c, status);
}

static int status_of(int error) {
  switch (error) {
  case 0:
    return 201;
  case store_replaced:
    return 204;
  case UV_ENOSPC:
  case -EDQUOT:
    return 507;
  case UV_EFBIG:
    return 413;
  case UV_EACCES:
  case UV_EPERM:
  case UV_EROFS:
  case UV_EISDIR:
  case UV_ENOTEMPTY:
  case UV_EEXIST:
    return 403;
  case UV_EMFILE:
  case UV_ENFILE:
  case UV_ENOMEM:
    return 503;
  default:
    return 500;
  }
}

static void on_stored(struct store *s, int status) {
  struct connection *c = (struct connection *)((char *)s - offsetof(struct connection, store));
  if (c->refusal) {
    refuse(c, c->refusal);
  } else {
    server.created += status == 0;
    server.replaced += status == store_replaced;
    server.failed += status < 0;
    if (status >= 0) server.bytes += c->stored;
    c->close_after |= status < 0; /* its body was not read to the end */
    answer(c, status_of(status));
  }
  release(c);
}

/* ---- Bodies */

/* The body is broken or too large: the store is told first. */
static void abort_body(struct connection *c, int status) {
  c->refusal = status;
  c->phase = phase_storing;
  uv_read_stop((uv_stream_t *)&c->socket);
  uv_timer_stop(&c->timer);
  store_abort(&c->store);
}

static void used(struct connection *c, struct http_text rest) {
  c->begin = (size_t)(rest.at - c->in);
  if (c->begin == c->end) c->begin = c->end = 0;
}

/* The store has taken what it was given. */
static void on_room(struct store *s) {
  struct connection *c = (struct connection *)((char *)s - offsetof(struct connection, store));
  if (c->phase != phase_body) return;
  struct http_text rest = {c->in + c->begin, c->end - c->begin};
  http_body_take(&c->body, &rest, c->putting);
  used(c, rest);
  if (c->lost) return;
  set_timer(c, server.idle_ms);
  advance(c);
}

/* Hands on what has come in of the body. */
static void take_body(struct connection *c) {
  struct http_text rest = {c->in + c->begin, c->end - c->begin}, data;
  int got;
  while ((got = http_body_next(&c->body, &rest, &data)) == 1) {
    used(c, rest);
    if (c->body.left > server.body_max - c->stored) return abort_body(c, 413);
    c->stored += data.len;
    c->putting = data.len;
    if (!store_put(&c->store, data.at, data.len)) {
      uv_timer_stop(&c->timer);
      uv_read_stop((uv_stream_t *)&c->socket);
      return;
    }
    http_body_take(&c->body, &rest, data.len);
  }
  used(c, rest);
  if (got < 0) return abort_body(c, -got);
  if (got == 0) return begin_reading(c);
  c->phase = phase_storing;
  uv_read_stop((uv_stream_t *)&c->socket);
  uv_timer_stop(&c->timer);
  store_finish(&c->store);
}

/* ---- Heads */

/* A name of one component, without surprises; 0, or the status to refuse it with. */
static int name_of(const struct http_request *r, char *name) {
  struct http_target target;
  bool directory;
  if (!http_split(r->target, &target) || !http_file_name(target.path, name, &directory)) return 400;
  if (directory || strchr(name, '/') || name[0] == '.' || strlen(name) > store_name_max) return 403;
  for (const char *c = name; *c; ++c)
    if ((unsigned char)*c < ' ' || *c == 0x7f) return 403;
  return 0;
}

static int check_head(const struct http_request *r, char *name) {
  if (r->method == http_unknown) return 501;
  if (r->method != http_put) return 405;
  if (!r->chunked && !r->field[http_content_length].at) return 411;
  if (r->field[http_content_range].at) return 400; /* a part must not replace the whole */
  if (r->length > server.body_max) return 413;
  if (r->field[http_expect].at && !http_is(r->field[http_expect], "100-continue")) return 417;
  return name_of(r, name);
}

static void begin_upload(struct connection *c) {
  static char name[http_target_max + 16];
  static char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
  uv_buf_t b = uv_buf_init(go_on, sizeof go_on - 1);
  int status = check_head(&c->request, name);
  if (status) return refuse(c, status);
  int error = store_begin(&c->store, &server.directory, name, on_room, on_stored);
  if (error) return refuse(c, status_of(error));
  ++c->holders;
  c->refusal = 0;
  c->stored = 0;
  c->phase = phase_body;
  http_body_begin(&c->body, &c->request);
  /* It is the first thing on its way to a client that waits for it: the socket has room. */
  if (c->request.field[http_expect].at && c->request.minor > 0 && c->begin == c->end &&
      uv_try_write((uv_stream_t *)&c->socket, &b, 1) != (int)b.len)
    drop(c);
}

static void advance(struct connection *c) {
  if (c->phase == phase_head) {
    int n = c->begin < c->end ? http_parse(&c->request, c->in + c->begin, c->end - c->begin) : 0;
    if (n == 0) return begin_reading(c);
    if (n < 0) return refuse(c, -n);
    c->begin += (size_t)n;
    begin_upload(c);
  }
  if (c->phase == phase_body && !c->lost) take_body(c);
}

/* ---- The socket */

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
  struct connection *c = h->data;
  (void)suggested;
  memmove(c->in, c->in + c->begin, c->end - c->begin);
  c->end -= c->begin;
  c->begin = 0;
  *buf = uv_buf_init(c->in + c->end, (unsigned)(sizeof c->in - c->end));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct connection *c = stream->data;
  (void)buf;
  if (n == 0) return;
  if (n < 0) return drop(c);
  if (c->phase == phase_lingering) return;
  if (c->phase == phase_body || c->end == 0) set_timer(c, server.idle_ms); /* a head has its time as a whole */
  c->end += (size_t)n;
  advance(c);
}

static void begin_reading(struct connection *c) {
  int error = uv_read_start((uv_stream_t *)&c->socket, on_alloc, on_input);
  if (error && error != UV_EALREADY) drop(c);
}

/* Takes a connection from the listening socket. */
static int connection_begin(uv_stream_t *listener) {
  struct connection *c = calloc(1, sizeof *c);
  if (!c) return UV_ENOMEM;
  c->socket.data = c->timer.data = c->answer.data = c->shutdown.data = c;
  c->holders = 2;
  c->phase = phase_head;
  if ((c->next = server.connections)) c->next->pprev = &c->next;
  c->pprev = &server.connections;
  server.connections = c;
  ++server.count;
  uv_tcp_init(server.loop, &c->socket);
  uv_timer_init(server.loop, &c->timer);
  int error = uv_accept(listener, (uv_stream_t *)&c->socket);
  if (error) {
    drop(c);
    return error;
  }
  uv_tcp_nodelay(&c->socket, 1);
  ++server.connected;
  set_timer(c, server.idle_ms);
  begin_reading(c);
  return 0;
}

#endif
