/* SPDX-License-Identifier: BSD-2-Clause */
/* What httpd_ev answers: the state of a connection and of the server, the heads of responses, the end of a request. */
#ifndef HTTPD_RESPONSE_H
#define HTTPD_RESPONSE_H

#include "http_target.h"
#include "httpd_log.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { peer_size = 64 }; /* of an address with its scope, as text */
static const double linger_seconds = 2;

enum phase { phase_reading, phase_opening, phase_sending, phase_lingering };

/* How a step ended. */
enum outcome { go_on, want_input, want_room, want_file, gone };

struct connection {
  struct connection *next, **pprev;
  ev_io socket;
  ev_timer timer;
  ef_ev_io file; /* its fd is open in phases opening and sending; -1 = none */
  enum phase phase;
  struct http_request request;
  struct http_target target;
  size_t in_bytes, head_bytes, out_bytes, out_sent;
  uint64_t left, sent; /* of the body */
  int status, opens, lingered;
  bool index, close_after;
  char peer[peer_size];
  char name[http_target_max + 16];
  char in[http_head_max], out[http_target_max + 1024];
};

static struct {
  struct ev_loop *loop;
  ef_port *port;
  int root, count, most;
  double idle_seconds;
  bool stopping;
  struct connection *connections;
  struct access_log log;
  uint64_t connected, requests, classes[6], bytes, timeouts, read_hits, read_waits, read_background;
} server;

static void server_connection_gone(void);

/* ---- Ends */

static void close_file(struct connection *c) {
  if (c->file.fd < 0) return;
  ef_file_counters n = {.size = sizeof n};
  if (ef_file_stats(c->file.fd, &n) == 0) {
    server.read_hits += n.read_hits;
    server.read_waits += n.read_misses;
    server.read_background += n.read_background;
  }
  ef_ev_io_stop(server.loop, &c->file);
  ef_close(c->file.fd);
  c->file.fd = -1;
}

/* The request is over, well or not. */
static void account(struct connection *c) {
  if (!c->status) return;
  log_request(&server.log, (time_t)ev_now(server.loop), c->peer, &c->request, c->status, c->sent);
  ++server.requests;
  ++server.classes[c->status / 100];
  server.bytes += c->sent;
  c->status = 0;
  close_file(c);
}

static enum outcome drop(struct connection *c) {
  account(c);
  close_file(c);
  ev_io_stop(server.loop, &c->socket);
  ev_timer_stop(server.loop, &c->timer);
  close(c->socket.fd);
  if ((*c->pprev = c->next)) c->next->pprev = c->pprev;
  free(c);
  server_connection_gone();
  return gone;
}

static void set_timer(struct connection *c, double seconds) {
  c->timer.repeat = seconds;
  ev_timer_again(server.loop, &c->timer);
}

static void start_reading(struct connection *c) {
  c->phase = phase_reading;
  set_timer(c, server.idle_seconds);
}

static enum outcome finish_response(struct connection *c) {
  account(c);
  if (c->close_after || server.stopping) {
    c->phase = phase_lingering;
    shutdown(c->socket.fd, SHUT_WR);
    set_timer(c, linger_seconds);
    return go_on;
  }
  c->in_bytes -= c->head_bytes;
  memmove(c->in, c->in + c->head_bytes, c->in_bytes);
  start_reading(c);
  return go_on;
}

/* ---- Heads */

static void add(struct connection *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct connection *c, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(c->out + c->out_bytes, sizeof c->out - c->out_bytes, format, args);
  va_end(args);
  if (n > 0) c->out_bytes += (size_t)n; /* it fits: all texts are bounded, the longest is a target */
}

static void begin_response(struct connection *c, int status) {
  char date[http_date_size];
  c->phase = phase_sending;
  c->status = status;
  c->out_bytes = c->out_sent = 0;
  c->left = c->sent = 0;
  /* A body that a request without one has brought is not read: it ends with the connection. */
  c->close_after |= !c->request.keep_alive || c->request.length || c->request.chunked || server.stopping;
  add(c, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http_reason(status), http_date((time_t)ev_now(server.loop), date));
  if (c->close_after)
    add(c, "Connection: close\r\n");
  else if (c->request.minor == 0)
    add(c, "Connection: keep-alive\r\n");
  set_timer(c, server.idle_seconds);
}

/* An answer of our own. */
static enum outcome refuse(struct connection *c, int status) {
  close_file(c);
  begin_response(c, status);
  const char *reason = http_reason(status);
  if (status == 405) add(c, "Allow: GET, HEAD\r\n");
  if (status == 301)
    add(c, "Location: %.*s/%.*s\r\n", (int)c->target.path.len, c->target.path.at, (int)c->target.query.len,
        c->target.query.at);
  add(c, "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", strlen(reason) + 5);
  size_t head = c->out_bytes;
  if (c->request.method != http_head) add(c, "%d %s\n", status, reason);
  c->sent = c->out_bytes - head;
  return go_on;
}

static enum outcome not_modified(struct connection *c, const char *date) {
  close_file(c);
  begin_response(c, 304);
  add(c, "Last-Modified: %s\r\n\r\n", date);
  return go_on;
}

static enum outcome send_file(struct connection *c, const struct stat *st) {
  const struct http_text *f = c->request.field;
  uint64_t size = (uint64_t)st->st_size, first = 0, last = size - 1;
  bool whole =
      c->request.method != http_get || (f[http_if_range].at && http_parse_date(f[http_if_range]) != st->st_mtime);
  int status = whole ? 200 : http_range_of(f[http_range], size, &first, &last);
  char date[http_date_size];
  http_date(st->st_mtime, date);
  time_t since = http_parse_date(f[http_if_modified_since]);
  if (!f[http_if_none_match].at && since >= 0 && st->st_mtime <= since) return not_modified(c, date);
  if (status == 206 && ef_seek(c->file.fd, (off_t)first, SEEK_SET) < 0) return refuse(c, 500);
  if (status != 206) first = 0, last = size - 1;
  begin_response(c, status);
  add(c, "Last-Modified: %s\r\nAccept-Ranges: bytes\r\nContent-Type: %s\r\n", date, http_media_type(c->name));
  if (status == 206)
    add(c, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)first, (unsigned long long)last,
        (unsigned long long)size);
  if (status == 416) {
    add(c, "Content-Range: bytes */%llu\r\nContent-Length: 0\r\n\r\n", (unsigned long long)size);
    close_file(c);
    return go_on;
  }
  uint64_t length = size ? last - first + 1 : 0;
  add(c, "Content-Length: %llu\r\n\r\n", (unsigned long long)length);
  if (c->request.method == http_head) length = 0;
  c->left = length;
  if (length == 0) close_file(c);
  return go_on;
}

#endif
