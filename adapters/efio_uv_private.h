/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the libuv adapter share: the state of a loop, the flags of a file, and the calls between them. */
#ifndef EFIO_UV_PRIVATE_H
#define EFIO_UV_PRIVATE_H

#pragma GCC visibility push(default)
#include "efio_uv.h"
#pragma GCC visibility pop

#include "loop_registry.h"

#include <stdbool.h>

enum { /* ef_uv_file_t.flags */
  file_reading = 1,
  file_polling = 2,
  file_closing = 4,  /* ef_uv_close was called */
  file_closed = 8,   /* nothing more will come from the core */
  file_unref = 16,
  file_holds = 32,  /* counted in ef_uv_loop.holders */
  file_finished = 64 /* the close callback has come */
};

enum { request_write, request_sync }; /* ef_uv_req_t.kind */

struct ef_uv_loop {
  struct loop_entry entry;
  uv_loop_t *loop;
  ef_port *port;
  uv_poll_t bell;       /* of the port's descriptor; ref'd while there are holders: it is what keeps the loop alive */
  uv_prepare_t prepare; /* hands over the misses of a turn. Never ref'd */
  uv_idle_t idle;       /* started while a file is ready: keeps the poll from blocking. Never ref'd */
  ef_uv_link ready;
  ef_uv_link round;        /* the part of ready that is being gone through */
  unsigned files, holders; /* not yet called back from closing; of these, those that keep the loop alive */
  unsigned handles;        /* of libuv, not yet closed */
  bool more;               /* the port may have further events */
  bool taken;              /* the port was drained since the last poll */
  bool running;            /* callbacks are being called */
};

/* efio_uv_loop.c */
struct ef_uv_loop *ef_uv_loop_find(uv_loop_t *loop); /* NULL: no file is open in it */
/* Gives a loop its state, with a port. NULL: *error. */
struct ef_uv_loop *ef_uv_loop_new(uv_loop_t *loop, int *error);
/* Its first handle: from now on it wakes. 0 or an error. */
int ef_uv_loop_attach(struct ef_uv_loop *s);
/* Undoes ef_uv_loop_new before ef_uv_loop_attach. */
void ef_uv_loop_drop(struct ef_uv_loop *s);
/* The file has something to do: soon, not from in here. */
void ef_uv_ready(ef_uv_file_t *f);
/* Counts the file among those that keep the loop alive, or not. */
void ef_uv_hold(ef_uv_file_t *f);

/* efio_uv_stream.c: reading and polling. Each calls back what there is, bounded; true: there may be more at once. */
bool ef_uv_read_step(ef_uv_file_t *f);
bool ef_uv_poll_step(ef_uv_file_t *f);

/* efio_uv_request.c */
bool ef_uv_advance(ef_uv_file_t *f);            /* gets queued requests accepted; true: go on at once */
void ef_uv_synced(ef_uv_file_t *f, int error);  /* an EF_SYNC came */
void ef_uv_call_back_requests(ef_uv_file_t *f); /* those that are done */
void ef_uv_cancel_requests(ef_uv_file_t *f);    /* they are done, UV_ECANCELED */

/* efio_uv_at.c */
void ef_uv_call_back_at(ef_uv_file_t *f); /* requests at an offset that were answered at once */

/* ---- Links */

static inline void link_init(ef_uv_link *l) { l->next = l->prev = l; }
static inline bool link_alone(const ef_uv_link *l) { return l->next == l; }
static inline void link_append(ef_uv_link *list, ef_uv_link *l) {
  l->prev = list->prev;
  l->next = list;
  l->prev->next = l;
  list->prev = l;
}
static inline void link_remove(ef_uv_link *l) {
  l->prev->next = l->next;
  l->next->prev = l->prev;
  link_init(l);
}

#endif
