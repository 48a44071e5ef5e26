/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the libev adapter share: the state of a loop. */
#ifndef EFIO_EV_PRIVATE_H
#define EFIO_EV_PRIVATE_H

#pragma GCC visibility push(default)
#include "efio_ev.h"
#pragma GCC visibility pop

#include "efio_ev_table.h"
#include "loop_registry.h"

#include <stdbool.h>
#include <stdint.h>

struct ef_ev_loop {
  struct loop_entry entry;
#if EV_MULTIPLICITY
  struct ev_loop *loop;
#endif
  ef_port *port;
  ev_io bell;         /* the port's descriptor */
  ev_prepare prepare; /* a new turn: for what was left over in the last one, and for misses that came together */
  ev_idle idle;       /* keeps the poll from blocking meanwhile */
  ev_cleanup cleanup;
  ev_fork fork;
  ev_watcher again; /* never started; fed at lowest priority, so that it runs when the callbacks of a round have run */
  struct watcher_table table;
  unsigned requests; /* of ef_ev_pread and its kin, under way */
  int rounds;        /* of this turn */
  int64_t turn_end;
  unsigned taken_in; /* ev_iteration when the port was drained last */
  bool more;         /* the port may have further events */
  int telling;       /* callbacks of requests are being called */
  bool spinning;     /* idle is started */
};

#if EV_MULTIPLICITY
#define LOOP(s) (s)->loop
#define LOOP_(s) (s)->loop,
#define KEY EV_A
#else
#define LOOP(s)
#define LOOP_(s)
#define KEY &loop_first
#endif

/* Made on first use. NULL: errno. */
struct ef_ev_loop *ef_ev_loop_of(EV_P);

/* efio_ev_request.c: waits for those under way, whose memory is the library's until then, and tells nobody. */
void ef_ev_end_requests(struct ef_ev_loop *s);

#endif
