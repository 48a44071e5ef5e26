/* SPDX-License-Identifier: BSD-2-Clause */
/* The libuv adapter's side of a loop: a poll handle for the port, a prepare handle for
 * misses that come together, an idle handle while files are ready.
 * The core tells of a change once; level-triggering is made here: a file that has been called back and is still
 * ready is called again, a bounded number of times in one turn of the loop, then once a turn. The handles go with
 * the last file. */
#include "efio_uv_private.h"

#include <errno.h>
#include <stdlib.h>

enum {
  rounds_a_turn = 16, /* times a ready file is served before the loop looks at its other sources */
  turn_ns = 100000,   /* and no new round after so long */
  events_a_round = 256 /* taken from the port at once: all that a ring brings in one system call */
};

static const char owner_mark; /* data of our handles points here: no handle of anybody else's does */

#define STATE_OF(handle, member) ((struct ef_uv_loop *)(void *)((char *)(handle) - offsetof(struct ef_uv_loop, member)))
#define FILE_OF(l) ((ef_uv_file_t *)(void *)((char *)(l) - offsetof(ef_uv_file_t, ready)))

int ef_uv_owns(const uv_handle_t *handle) { return handle && handle->data == &owner_mark; }

/* ---- What keeps the loop alive */

void ef_uv_hold(ef_uv_file_t *f) {
  struct ef_uv_loop *s = f->owner;
  bool going = (f->flags & (file_reading | file_polling)) && !(f->flags & file_unref);
  bool holds = !(f->flags & file_finished) && (f->flags & file_closing || f->requests > 0 || going);
  if (holds == !!(f->flags & file_holds)) return;
  f->flags ^= file_holds;
  s->holders += holds ? 1u : -1u;
  if (s->holders > 0)
    uv_ref((uv_handle_t *)&s->bell);
  else
    uv_unref((uv_handle_t *)&s->bell);
}

/* ---- The turn of the loop */

static int on_its_way(struct ef_uv_loop *s) { return s->more || !link_alone(&s->ready); }

static void on_idle(uv_idle_t *idle);

void ef_uv_ready(ef_uv_file_t *f) {
  struct ef_uv_loop *s = f->owner;
  if (link_alone(&f->ready)) link_append(&s->ready, &f->ready);
  if (!s->running) uv_idle_start(&s->idle, on_idle);
}

static void take_event(const ef_event *e) {
  if (e->events & EF_REQUEST) {
    ef_request *q = e->data;
    if (q->done) q->done(q);
    return;
  }
  ef_uv_file_t *f = e->data;
  if (e->events & EF_CLOSE) {
    f->flags |= file_closed;
    f->status = uv_translate_sys_error(e->error);
  } else if (f->flags & file_closing) {
    return;
  }
  if (e->events & EF_SYNC) ef_uv_synced(f, e->error);
  if (e->events & EF_ERROR) f->trouble = e->error;
  ef_uv_ready(f);
}

static void take_events(struct ef_uv_loop *s) {
  ef_event events[events_a_round];
  int n = ef_port_next(s->port, events, events_a_round);
  s->more = n == events_a_round;
  for (int i = 0; i < n; ++i) take_event(&events[i]);
}

/* The memory is the caller's from the callback on. */
static void finish(ef_uv_file_t *f) {
  struct ef_uv_loop *s = f->owner;
  link_remove(&f->ready);
  f->flags |= file_finished;
  ef_uv_hold(f);
  if (f->close_cb) f->close_cb(f);
  --s->files; /* after the callback: it may open the next one */
}

/* Everything once for one file that is ready. */
static void serve(ef_uv_file_t *f) {
  ef_uv_call_back_requests(f);
  ef_uv_call_back_at(f);
  if (f->flags & file_closing) {
    if (f->done || f->done_at)
      ef_uv_ready(f);
    else if (f->flags & file_closed)
      finish(f);
    return;
  }
  bool again = ef_uv_advance(f);
  if (f->flags & file_reading) again |= ef_uv_read_step(f);
  if (f->flags & file_polling) again |= ef_uv_poll_step(f);
  if (again || f->done || f->done_at) ef_uv_ready(f);
}

static void go_round(struct ef_uv_loop *s) {
  if (link_alone(&s->ready)) return;
  s->round = s->ready;
  s->round.next->prev = s->round.prev->next = &s->round;
  link_init(&s->ready);
  while (!link_alone(&s->round)) {
    ef_uv_file_t *f = FILE_OF(s->round.next);
    link_remove(&f->ready);
    serve(f);
  }
}

static void on_handle_closed(uv_handle_t *handle) {
  struct ef_uv_loop *s = handle->type == UV_POLL      ? STATE_OF(handle, bell)
                         : handle->type == UV_PREPARE ? STATE_OF(handle, prepare)
                                                      : STATE_OF(handle, idle);
  if (--s->handles == 0) free(s);
}

static void end_state(struct ef_uv_loop *s) {
  loop_remove(&s->entry);
  uv_close((uv_handle_t *)&s->bell, on_handle_closed);
  uv_close((uv_handle_t *)&s->prepare, on_handle_closed);
  uv_close((uv_handle_t *)&s->idle, on_handle_closed);
  ef_port_abandon(s->port); /* and its descriptor goes. In a fork child it fails, but there nobody knows of us */
}

static void run_turn(struct ef_uv_loop *s) {
  uint64_t end = 0;
  s->running = true;
  for (int round = 0; round < rounds_a_turn && on_its_way(s); ++round) {
    uint64_t now = uv_hrtime();
    if (round == 0) end = now + turn_ns;
    if (now > end) break;
    if (s->more) take_events(s);
    go_round(s);
  }
  s->running = false;
  if (s->files == 0)
    end_state(s);
  else if (on_its_way(s))
    uv_idle_start(&s->idle, on_idle);
  else
    uv_idle_stop(&s->idle);
}

static void on_idle(uv_idle_t *idle) { run_turn(STATE_OF(idle, idle)); }

/* Only readability is asked for; an error of the poll is answered by looking, as well. */
static void on_bell(uv_poll_t *bell, int status, int events) {
  (void)status, (void)events;
  struct ef_uv_loop *s = STATE_OF(bell, bell);
  s->more = s->taken = true;
  run_turn(s);
}

/* The kernel is entered once a turn: it takes misses and gives what is over at the same time. */
static void on_prepare(uv_prepare_t *prepare) {
  struct ef_uv_loop *s = STATE_OF(prepare, prepare);
  bool taken = s->taken;
  s->taken = false;
  if (ef_port_pending(s->port) == 0) return;
  if (!taken) {
    s->more = true;
    run_turn(s);
  }
  if (s->files > 0 && ef_port_pending(s->port) > 0) uv_idle_start(&s->idle, on_idle); /* in the next turn, at once */
}

/* ---- Making a state */

struct ef_uv_loop *ef_uv_loop_find(uv_loop_t *loop) { return (struct ef_uv_loop *)(void *)loop_find(loop); }

struct ef_uv_loop *ef_uv_loop_new(uv_loop_t *loop, int *error) {
  struct ef_uv_loop *s = calloc(1, sizeof *s);
  if (s) s->port = ef_port_new(NULL);
  if (!s || !s->port) {
    *error = s ? uv_translate_sys_error(errno) : UV_ENOMEM;
    free(s);
    return NULL;
  }
  s->loop = loop;
  link_init(&s->ready);
  link_init(&s->round);
  return s;
}

void ef_uv_loop_drop(struct ef_uv_loop *s) {
  ef_port_abandon(s->port);
  free(s);
}

int ef_uv_loop_attach(struct ef_uv_loop *s) {
  int bell = ef_port_fd(s->port);
  int r = bell < 0 ? uv_translate_sys_error(errno) : uv_poll_init(s->loop, &s->bell, bell);
  if (r < 0) return r;
  uv_prepare_init(s->loop, &s->prepare);
  uv_idle_init(s->loop, &s->idle);
  s->handles = 3;
  s->bell.data = s->prepare.data = s->idle.data = (void *)&owner_mark;
  uv_poll_start(&s->bell, UV_READABLE, on_bell);
  uv_prepare_start(&s->prepare, on_prepare);
  uv_unref((uv_handle_t *)&s->bell);
  uv_unref((uv_handle_t *)&s->prepare);
  uv_unref((uv_handle_t *)&s->idle);
  loop_add(&s->entry, s->loop);
  return 0;
}
