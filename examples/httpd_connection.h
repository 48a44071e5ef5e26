/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection of httpd_ev: reads a request, opens the file in the background, sends it as fast as the socket takes it
 * and not faster. Whatever would block ends a step; the loop calls again. */
#ifndef HTTPD_CONNECTION_H
#define HTTPD_CONNECTION_H

#include "httpd_response.h"
#include "httpd_root.h"

#include <sys/uio.h>

enum {
  steps_a_turn = 4, /* then the other connections have theirs; a step sends 512 KiB at most */
  spans_max = 8,
  opens_max = 3,        /* of one request, while its name goes on to be given to other files */
  linger_bytes = 262144 /* read and thrown away after the last response, so that the client gets to see it */
};

/* ---- Files */

static int status_of(int error) {
  switch (error) {
  case ENOENT:
  case ENOTDIR:
  case ENAMETOOLONG:
    return 404;
  case EACCES:
  case EPERM:
  case EXDEV:
  case ELOOP:
  case EISDIR:
  case ESPIPE:
  case ENXIO:
    return 403;
  case EMFILE:
  case ENFILE:
  case ENOMEM:
  case EAGAIN:
    return 503;
  default:
    return 500;
  }
}

static void on_file(EV_P_ ef_ev_io *w, int revents);

static enum outcome open_file(struct connection *c) {
  ef_file_options options = {.size = sizeof options, .read_ahead_max = 256 * 1024};
  int fd = ef_openat(server.port, server.root, c->name, O_RDONLY | O_CLOEXEC, 0, &options);
  if (fd < 0) return refuse(c, status_of(errno));
  ++c->opens;
  c->phase = phase_opening;
  ef_ev_io_init(&c->file, on_file, fd, EF_EV_OPEN);
  c->file.data = c;
  return want_file;
}

/* The background open is over. It has followed every link there is; now that the name's directories are in memory the
 * kernel is asked, without waiting for a disk, whether the way stays in the root, and leads to the same file. */
static enum outcome judge_file(struct connection *c) {
  struct stat named, opened;
  int error = root_lookup(server.root, c->name, &named);
  if (error) return refuse(c, status_of(error));
  if (S_ISDIR(named.st_mode)) return refuse(c, c->index ? 403 : 301);
  if (!S_ISREG(named.st_mode)) return refuse(c, 403);
  if (ef_fstat(c->file.fd, &opened) < 0) {
    if (errno != ENOENT || c->opens == opens_max) return refuse(c, status_of(errno));
  } else if (named.st_dev == opened.st_dev && named.st_ino == opened.st_ino) {
    return send_file(c, &opened);
  } else if (c->opens == opens_max) {
    return refuse(c, 503);
  }
  close_file(c); /* its name was given to another file meanwhile */
  return open_file(c);
}

/* ---- Steps */

static enum outcome start_request(struct connection *c) {
  const struct http_request *r = &c->request;
  if (r->method == http_unknown) return refuse(c, 501);
  if (r->method != http_get && r->method != http_head) return refuse(c, 405);
  if (!http_split(r->target, &c->target) || !http_file_name(c->target.path, c->name, &c->index)) return refuse(c, 400);
  while (c->target.path.len > 1 && c->target.path.at[1] == '/') /* "//host/" in a Location would lead elsewhere */
    ++c->target.path.at, --c->target.path.len;
  c->opens = 0;
  return open_file(c);
}

static enum outcome read_request(struct connection *c) {
  int n = c->in_bytes ? http_parse(&c->request, c->in, c->in_bytes) : 0;
  if (n < 0) return refuse(c, -n);
  if (n > 0) {
    c->head_bytes = (size_t)n;
    return start_request(c);
  }
  ssize_t got = recv(c->socket.fd, c->in + c->in_bytes, sizeof c->in - c->in_bytes, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return want_input;
  if (got <= 0) return drop(c);
  if (c->in_bytes == 0) set_timer(c, server.idle_seconds); /* for the whole head: not set anew with each byte */
  c->in_bytes += (size_t)got;
  return go_on;
}

static enum outcome lost_file(struct connection *c) {
  c->close_after = true;
  return c->out_sent ? drop(c) : refuse(c, 500);
}

/* Sends what is left of the head and the bytes of the file that are in memory, straight from there. */
static enum outcome send_some(struct connection *c) {
  struct iovec iov[1 + spans_max] = {{c->out + c->out_sent, c->out_bytes - c->out_sent}};
  ssize_t spans = c->left ? ef_peek(c->file.fd, iov + 1, spans_max) : 0;
  if (c->left && (spans == 0 || (spans < 0 && errno != EAGAIN))) return lost_file(c);
  uint64_t left = c->left;
  size_t all = iov[0].iov_len;
  for (ssize_t i = 1; i <= spans; ++i) {
    if (iov[i].iov_len > left) iov[i].iov_len = (size_t)left;
    left -= iov[i].iov_len;
    all += iov[i].iov_len;
  }
  if (all == 0) return c->left ? want_file : finish_response(c);
  struct msghdr message = {.msg_iov = iov, .msg_iovlen = 1 + (spans > 0 ? (size_t)spans : 0)};
  ssize_t sent = sendmsg(c->socket.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN ? want_room : drop(c);
  ev_timer_again(server.loop, &c->timer);
  size_t of_head = (size_t)sent < iov[0].iov_len ? (size_t)sent : iov[0].iov_len, of_file = (size_t)sent - of_head;
  c->out_sent += of_head;
  if (of_file && ef_consume(c->file.fd, of_file) < 0) return lost_file(c);
  c->left -= of_file;
  c->sent += of_file;
  if (c->left == 0 && c->out_sent == c->out_bytes) return finish_response(c);
  return (size_t)sent < all ? want_room : go_on;
}

static enum outcome linger(struct connection *c) {
  ssize_t got = recv(c->socket.fd, c->in, sizeof c->in, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return want_input;
  c->lingered += (int)got;
  return got <= 0 || c->lingered > linger_bytes ? drop(c) : go_on;
}

static enum outcome step(struct connection *c) {
  switch (c->phase) {
  case phase_reading:
    return read_request(c);
  case phase_opening:
    return want_file;
  case phase_sending:
    return send_some(c);
  default:
    return linger(c);
  }
}

static void watch(struct connection *c, int events, bool file) {
  if ((c->socket.events & (EV_READ | EV_WRITE)) != events) {
    ev_io_stop(server.loop, &c->socket);
    ev_io_set(&c->socket, c->socket.fd, events);
  }
  if (events) ev_io_start(server.loop, &c->socket);
  if (file) {
    ev_timer_stop(server.loop, &c->timer); /* a slow disk is not the client's fault */
    ef_ev_io_start(server.loop, &c->file);
    return;
  }
  if (!ev_is_active(&c->timer)) ev_timer_again(server.loop, &c->timer);
  if (c->file.fd >= 0) ef_ev_io_stop(server.loop, &c->file);
}

/* Goes on until something would block. If the turn is over first it waits for room, of which there is some: the loop
 * comes back when the others had their turn. */
static void run(struct connection *c, enum outcome outcome) {
  for (int i = 0; i < steps_a_turn && outcome == go_on; ++i) outcome = step(c);
  if (outcome == gone) return;
  watch(c, outcome == want_input ? EV_READ : outcome == want_file ? 0 : EV_WRITE, outcome == want_file);
}

static void on_file(EV_P_ ef_ev_io *w, int revents) {
  struct connection *c = w->data;
  if (c->phase != phase_opening) return run(c, revents & EV_ERROR ? lost_file(c) : go_on);
  ef_ev_io_stop(EV_A_ w);
  ef_ev_io_modify(w, EV_READ);
  run(c, judge_file(c));
}

static void on_socket(EV_P_ ev_io *w, int revents) {
  (void)EV_A, (void)revents;
  run(w->data, go_on);
}

/* The client was given its time. */
static void on_timeout(EV_P_ ev_timer *w, int revents) {
  (void)EV_A, (void)revents;
  struct connection *c = w->data;
  ++server.timeouts;
  c->close_after = true;
  if (c->phase == phase_reading && c->in_bytes > 0)
    run(c, refuse(c, 408));
  else
    drop(c);
}

/* Takes over an accepted socket. */
static void connection_begin(int fd, const char peer[peer_size]) {
  struct connection *c = calloc(1, sizeof *c);
  if (!c) {
    close(fd);
    return server_connection_gone();
  }
  c->file.fd = -1;
  memcpy(c->peer, peer, sizeof c->peer);
  ev_io_init(&c->socket, on_socket, fd, EV_READ);
  ev_init(&c->timer, on_timeout);
  c->socket.data = c->timer.data = c;
  if ((c->next = server.connections)) c->next->pprev = &c->next;
  c->pprev = &server.connections;
  server.connections = c;
  start_reading(c);
  ev_io_start(server.loop, &c->socket);
}

#endif
