/* SPDX-License-Identifier: BSD-2-Clause */
/* The libev adapter: one state per loop. The core tells of a change once; level-triggering is made here: after its
 * callback a ready watcher is tested again and called again, a bounded number of times in one turn of the loop,
 * then once a turn, without a trip through the kernel for each. Callbacks go through libev's pending queue, so
 * priorities, stop and ev_clear_pending work as everywhere. */
#include "efio_ev_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

enum {
  rounds_a_turn = 16,   /* times a ready watcher is called before the loop looks at its other sources */
  turn_ns = 100000,     /* and no new round after so long */
  events_a_round = 256, /* taken from the port at once: all that a ring brings in one system call */
  level_bits = EF_READ | EF_WRITE,
  known_bits = EV_READ | EV_WRITE | EF_EV_OPEN | EF_EV_SYNC | EF_EV_CLOSE | EF_EV_ERROR
};

#define UNUSED __attribute__((unused))
#define STATE_OF(watcher, member)                                                                                      \
  ((struct ef_ev_loop *)(void *)((char *)(watcher) - offsetof(struct ef_ev_loop, member)))

/* libev's bits to ours and back: the first two are the same. */
static unsigned asked(const ef_ev_io *w) {
  return ((unsigned)w->events & level_bits) | ((unsigned)w->events >> 23 & (EF_OPEN | EF_SYNC | EF_CLOSE | EF_ERROR));
}
static int told(unsigned bits) { return (int)((bits & level_bits) | (bits & ~(unsigned)level_bits) << 23); }

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- Ending a watcher */

/* The watcher is the caller's again. */
static void forget(struct ef_ev_loop *s, ef_ev_io *w) {
  table_remove(&s->table, w);
  w->active = 0;
  ev_unref(LOOP(s));
}

/* Stopped by us: libev's way to say so is EV_ERROR with everything that was asked for. */
static void kill_watcher(struct ef_ev_loop *s, ef_ev_io *w, int error) {
  ev_clear_pending(LOOP_(s) w);
  forget(s, w);
  w->error = error;
  ev_feed_event(LOOP_(s) w, (int)((unsigned)EV_ERROR | (asked(w) & level_bits)));
}

/* ---- The turn of the loop */

/* Fed before the watchers of its round: libev calls the last fed of one priority first. */
static void expect_again(struct ef_ev_loop *s) { ev_feed_event(LOOP_(s) &s->again, EV_CUSTOM); }

static void spin(struct ef_ev_loop *s, bool on) {
  if (s->spinning == on) return;
  s->spinning = on;
  if (on) {
    ev_idle_start(LOOP_(s) &s->idle);
    ev_unref(LOOP(s));
  } else {
    ev_ref(LOOP(s));
    ev_idle_stop(LOOP_(s) &s->idle);
  }
}

/* The file is closed: who asked for it is told so, the others that their number has gone. */
static void tell_close(struct ef_ev_loop *s, ef_ev_io *w, const ef_event *e) {
  if (!(asked(w) & EF_CLOSE)) return kill_watcher(s, w, EBADF);
  int kept = ev_clear_pending(LOOP_(s) w) & ~(EV_READ | EV_WRITE);
  forget(s, w);
  w->error = e->error;
  ev_feed_event(LOOP_(s) w, kept | told(asked(w) & e->events & ~(unsigned)level_bits));
}

static void tell(struct ef_ev_loop *s, const ef_event *e) {
  if (e->events & EF_REQUEST) {
    ef_request *q = e->data;
    if (q->done) q->done(q);
    return;
  }
  bool sync_asked = false;
  for (ef_ev_io *w = *table_bucket(&s->table, e->fd), *next; w; w = next) {
    next = w->next;
    if (w->fd != e->fd) continue;
    if (e->events & EF_CLOSE) {
      tell_close(s, w, e);
      continue;
    }
    sync_asked |= (asked(w) & EF_SYNC) != 0;
    unsigned bits = e->events & asked(w) & (w->wanted | EF_SYNC | EF_ERROR);
    if (!bits) continue;
    if (bits & ~(unsigned)level_bits) w->error = e->error;
    w->wanted &= ~(bits & EF_OPEN);
    if (w->wanted) list_ready(&s->table, w);
    ev_feed_event(LOOP_(s) w, told(bits));
  }
  /* A request made while the one before was ending shares its event, which was perhaps too early: ask for another. */
  if (sync_asked && e->events & EF_SYNC) ef_watch(e->fd, EF_SYNC, NULL);
}

static void take_events(struct ef_ev_loop *s) {
  ef_event events[events_a_round];
  int n = ef_port_next(s->port, events, events_a_round);
  s->more = n == events_a_round;
  s->taken_in = ev_iteration(LOOP(s));
  ++s->telling;
  for (int i = 0; i < n; ++i) tell(s, &events[i]);
  --s->telling;
}

static int open_error(int fd) {
  struct stat st;
  return ef_fstat(fd, &st) == 0 ? 0 : errno;
}

/* Is it still ready? The answer 0 means that the core will tell. */
static void test(struct ef_ev_loop *s, ef_ev_io *w) {
  if (ev_is_pending(w)) return; /* it was not called yet */
  int bits = w->wanted ? ef_watch(w->fd, w->wanted, NULL) : 0;
  if (bits < 0 && errno == EBADF && asked(w) & EF_CLOSE) return unlist_ready(w); /* closed: its event is on its way */
  if (bits < 0) return kill_watcher(s, w, errno);
  if (bits & EF_OPEN) {
    w->error = open_error(w->fd);
    w->wanted &= ~(unsigned)EF_OPEN;
  }
  if (!bits || !w->wanted) unlist_ready(w);
  if (bits) ev_feed_event(LOOP_(s) w, told((unsigned)bits));
}

static void run_round(struct ef_ev_loop *s) {
  if (!s->table.ready && !s->more) return;
  expect_again(s);
  if (s->more) take_events(s);
  for (ef_ev_io *w = s->table.ready, *next; w; w = next) {
    next = w->ready_next;
    test(s, w);
  }
}

static void on_again(UNUSED EV_P_ ev_watcher *watcher, UNUSED int revents) {
  struct ef_ev_loop *s = STATE_OF(watcher, again);
  if (!s->table.ready && !s->more) {
    s->rounds = 0;
    if (ef_port_pending(s->port) > 0) spin(s, true); /* of the callbacks: in the next turn, which is now */
    return;
  }
  int64_t now = now_ns();
  if (s->rounds++ == 0) s->turn_end = now + turn_ns;
  if (s->rounds > rounds_a_turn || now > s->turn_end)
    spin(s, true);
  else
    run_round(s);
}

static void on_prepare(UNUSED EV_P_ ev_prepare *watcher, UNUSED int revents) {
  struct ef_ev_loop *s = STATE_OF(watcher, prepare);
  s->rounds = 0;
  bool pending = ef_port_pending(s->port) > 0;
  /* The kernel is entered once a turn: it takes misses and gives what is over at the same time. */
  if (pending && s->taken_in != ev_iteration(LOOP(s))) s->more = true, pending = false;
  run_round(s);
  spin(s, s->table.ready || s->more || pending);
}

static void on_idle(UNUSED EV_P_ UNUSED ev_idle *watcher, UNUSED int revents) {} /* being started is its use */

static void on_bell(UNUSED EV_P_ ev_io *watcher, UNUSED int revents) {
  struct ef_ev_loop *s = STATE_OF(watcher, bell);
  s->more = true;
  s->rounds = 0;
  run_round(s);
}

/* ---- Making and ending a loop's state */

static void stop_own(struct ef_ev_loop *s) {
  spin(s, false);
  ev_clear_pending(LOOP_(s) &s->again);
  ev_ref(LOOP(s));
  ev_io_stop(LOOP_(s) &s->bell);
  ev_ref(LOOP(s));
  ev_prepare_stop(LOOP_(s) &s->prepare);
  ev_ref(LOOP(s));
  ev_fork_stop(LOOP_(s) &s->fork);
  ev_cleanup_stop(LOOP_(s) &s->cleanup); /* never holds the loop */
}

/* error 0: watchers are stopped and told nothing, there is no loop any more to tell them. */
static void dismantle(struct ef_ev_loop *s, int error) {
  loop_remove(&s->entry);
  for (unsigned i = 0; i <= s->table.mask; ++i)
    for (ef_ev_io *w; (w = s->table.buckets[i]);) {
      if (error) {
        kill_watcher(s, w, error);
      } else {
        ev_clear_pending(LOOP_(s) w);
        forget(s, w);
      }
    }
  stop_own(s);
  ef_ev_end_requests(s);
  ef_port_abandon(s->port); /* in a fork child it fails, but there nobody knows of us */
  free(s->table.buckets);
  free(s);
}

static void on_cleanup(UNUSED EV_P_ ev_cleanup *watcher, UNUSED int revents) {
  dismantle(STATE_OF(watcher, cleanup), 0);
}

/* ev_loop_fork is legal without a fork: only a child has lost its files. */
static void on_fork(UNUSED EV_P_ ev_fork *watcher, UNUSED int revents) {
  struct ef_ev_loop *s = STATE_OF(watcher, fork);
  if (loop_inherited(&s->entry)) dismantle(s, ECHILD);
}

static void start_own(struct ef_ev_loop *s, int bell) {
  ev_init(&s->again, on_again);
  ev_set_priority(&s->again, EV_MINPRI);
  ev_prepare_init(&s->prepare, on_prepare);
  ev_set_priority(&s->prepare, EV_MINPRI); /* after those of the host, which may begin reads */
  ev_idle_init(&s->idle, on_idle);
  ev_set_priority(&s->idle, EV_MINPRI);
  ev_prepare_start(LOOP_(s) &s->prepare);
  ev_unref(LOOP(s));
  ev_io_init(&s->bell, on_bell, bell, EV_READ);
  ev_set_priority(&s->bell, EV_MAXPRI); /* it hands out events of all priorities */
  ev_io_start(LOOP_(s) &s->bell);
  ev_unref(LOOP(s));
  ev_cleanup_init(&s->cleanup, on_cleanup);
  ev_set_priority(&s->cleanup, EV_MINPRI); /* the host's own may still stop watchers */
  ev_cleanup_start(LOOP_(s) &s->cleanup);
  ev_fork_init(&s->fork, on_fork);
  ev_set_priority(&s->fork, EV_MAXPRI);
  ev_fork_start(LOOP_(s) &s->fork);
  ev_unref(LOOP(s));
}

static struct ef_ev_loop *make_state(EV_P) {
  struct ef_ev_loop *s = calloc(1, sizeof *s);
  if (!s || !table_init(&s->table)) {
    free(s);
    errno = ENOMEM;
    return NULL;
  }
#if EV_MULTIPLICITY
  s->loop = EV_A;
#endif
  s->port = ef_port_new(NULL);
  int bell = s->port ? ef_port_fd(s->port) : -1;
  if (bell < 0) {
    int error = errno;
    if (s->port) ef_port_free(s->port);
    free(s->table.buckets);
    free(s);
    errno = error;
    return NULL;
  }
  start_own(s, bell);
  loop_add(&s->entry, KEY);
  return s;
}

struct ef_ev_loop *ef_ev_loop_of(EV_P) {
  struct loop_entry *e = loop_find(KEY);
  return e ? (struct ef_ev_loop *)(void *)e : make_state(EV_A);
}

/* ---- Calls */

ef_port *ef_ev_port_sized(EV_P_ size_t watcher_size) {
  if (watcher_size != sizeof(ef_ev_io)) {
    errno = EINVAL;
    return NULL;
  }
  struct ef_ev_loop *s = ef_ev_loop_of(EV_A);
  return s ? s->port : NULL;
}

int ef_ev_open(EV_P_ const char *path, int flags, mode_t mode) {
  struct ef_ev_loop *s = ef_ev_loop_of(EV_A);
  return s ? ef_openat(s->port, AT_FDCWD, path, flags, mode, NULL) : -1;
}

/* What a file was not opened for never becomes true: an error is better than silence. Nothing is read or written. */
static bool wrong_mode(int fd, unsigned bits) {
  char none;
  return (bits & EF_READ && ef_read(fd, &none, 0) < 0 && errno == EBADF) ||
         (bits & EF_WRITE && ef_write(fd, &none, 0) < 0 && errno == EBADF);
}

/* The core tells of trouble once, perhaps when nobody watched: what holds accepted bytes back now, or 0. */
static int trouble_of(int fd) {
  ef_file_counters c = {.size = sizeof c};
  if (ef_file_stats(fd, &c) < 0 || c.accepted == 0) return 0;
  return c.error ? c.error : c.write_trouble;
}

/* Arms what is asked for. 0, or an errno. What is ready already goes on the list. */
static int arm(struct ef_ev_loop *s, ef_ev_io *w) {
  if (w->events & ~known_bits) return EINVAL;
  ef_port *port = ef_port_of(w->fd);
  if (port != s->port) return port ? EINVAL : errno;
  if (wrong_mode(w->fd, asked(w))) return EBADF;
  /* By themselves, for they are never true beforehand. Every watcher learns of a close, if only to be stopped. */
  if (ef_watch(w->fd, EF_CLOSE | (asked(w) & EF_SYNC), NULL) < 0) return errno;
  w->wanted = asked(w) & (level_bits | EF_OPEN);
  int bits = w->wanted ? ef_watch(w->fd, w->wanted, NULL) : 0;
  if (bits < 0) return errno;
  if (bits) {
    list_ready(&s->table, w);
    expect_again(s);
  }
  if (asked(w) & EF_ERROR && (w->error = trouble_of(w->fd))) ev_feed_event(LOOP_(s) w, EF_EV_ERROR);
  return 0;
}

static void start(EV_P_ ef_ev_io *w) {
  struct ef_ev_loop *s = ef_ev_loop_of(EV_A);
  w->ready_pprev = NULL;
  w->owner = s;
  int error = s ? arm(s, w) : errno;
  if (error) {
    w->error = error;
    ev_feed_event(EV_A_ w, (int)((unsigned)EV_ERROR | (asked(w) & level_bits)));
    return;
  }
  table_add(&s->table, w);
  w->active = 1;
  ev_ref(EV_A);
}

void ef_ev_io_start(EV_P_ ef_ev_io *w) {
  if (ev_is_active(w)) return;
  int saved = errno;
  int left = ev_clear_pending(EV_A_ w); /* of its former life: that it was stopped is not true any more */
  if (left && !(left & (EV_ERROR | EF_EV_CLOSE))) ev_feed_event(EV_A_ w, left);
  int priority = ev_priority(w) < EV_MINPRI ? EV_MINPRI : ev_priority(w) > EV_MAXPRI ? EV_MAXPRI : ev_priority(w);
  ev_set_priority(w, priority);
  start(EV_A_ w);
  errno = saved;
}

void ef_ev_io_stop(EV_P_ ef_ev_io *w) {
  ev_clear_pending(EV_A_ w);
  if (!ev_is_active(w)) return;
  int saved = errno;
  struct ef_ev_loop *s = w->owner;
  forget(s, w);
  if (!table_has(&s->table, w->fd)) ef_watch(w->fd, 0, NULL); /* EBADF if it was closed first: nothing to take back */
  errno = saved;
}

int ef_ev_detach(UNUSED EV_P) {
  struct ef_ev_loop *s = (struct ef_ev_loop *)(void *)loop_find(KEY);
  if (!s) return 0;
  if (s->table.count || s->requests || s->telling) {
    errno = EBUSY;
    return -1;
  }
  dismantle(s, 0);
  return 0;
}
