/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads and writes at an offset in a libev loop, which they keep running until they are over. */
#include "efio_ev_private.h"

#include <errno.h>
#include <poll.h>

enum { poll_ms = 10 }; /* another thread may still be about to hand the port over */

static void on_request(ef_request *q) {
  ef_ev_request *r = (ef_ev_request *)(void *)((char *)q - offsetof(ef_ev_request, request));
  struct ef_ev_loop *s = r->owner;
  --s->requests;
  ev_unref(LOOP(s));
#if EV_MULTIPLICITY
  r->cb(s->loop, r);
#else
  r->cb(r);
#endif
}

/* True: one of ours is over. */
static bool take_one(ef_port *port) {
  ef_event e;
  int n = ef_port_next(port, &e, 1);
  if (n < 0 && errno == ECHILD) return true; /* in a fork child they are the parent's */
  if (n < 1) poll(&(struct pollfd){.fd = ef_port_fd(port), .events = POLLIN}, 1, poll_ms);
  return n == 1 && e.events & EF_REQUEST && ((ef_request *)e.data)->done == on_request;
}

void ef_ev_end_requests(struct ef_ev_loop *s) {
  while (s->requests > 0) {
    if (!take_one(s->port)) continue;
    --s->requests;
    ev_unref(LOOP(s));
  }
}

/* Of this loop, or errno. */
static struct ef_ev_loop *expect_request(EV_P_ ef_ev_request *r, int fd) {
  struct ef_ev_loop *s = ef_ev_loop_of(EV_A);
  ef_port *port = s ? ef_port_of(fd) : NULL;
  if (!port) return NULL;
  if (port != s->port || !r || !r->cb) {
    errno = EINVAL;
    return NULL;
  }
  r->request.done = on_request;
  r->owner = s;
  return s;
}

static ssize_t under_way(struct ef_ev_loop *s, ssize_t n) {
  if (n < 0 && errno == EINPROGRESS) {
    ++s->requests;
    ev_ref(LOOP(s));
  }
  return n;
}

ssize_t ef_ev_preadv(EV_P_ ef_ev_request *r, int fd, const struct iovec *iov, int iovcnt, off_t offset) {
  struct ef_ev_loop *s = expect_request(EV_A_ r, fd);
  return s ? under_way(s, ef_preadv(fd, iov, iovcnt, offset, &r->request)) : -1;
}

ssize_t ef_ev_pwritev(EV_P_ ef_ev_request *r, int fd, const struct iovec *iov, int iovcnt, off_t offset) {
  struct ef_ev_loop *s = expect_request(EV_A_ r, fd);
  return s ? under_way(s, ef_pwritev(fd, iov, iovcnt, offset, &r->request)) : -1;
}
