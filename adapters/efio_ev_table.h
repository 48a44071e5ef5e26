/* SPDX-License-Identifier: BSD-2-Clause */
/* The started watchers of one loop: a hash by file, and the list of those that are ready as far as is known. Both
 * are made of links inside the watchers, so that starting one cannot fail for want of memory. */
#ifndef EFIO_EV_TABLE_H
#define EFIO_EV_TABLE_H

#include "efio_ev.h"

#include <stdbool.h>
#include <stdlib.h>

enum { buckets_at_first = 64 };

struct watcher_table {
  ef_ev_io **buckets;
  unsigned mask, count;
  ef_ev_io *ready;
};

static inline bool table_init(struct watcher_table *t) {
  t->mask = buckets_at_first - 1;
  t->buckets = calloc(buckets_at_first, sizeof *t->buckets);
  return t->buckets;
}

/* The chain that has all watchers of the file, and others. */
static inline ef_ev_io **table_bucket(const struct watcher_table *t, int fd) {
  unsigned h = (unsigned)fd * 0x9E3779B1u;
  return &t->buckets[(h ^ h >> 15) & t->mask];
}

static inline bool table_has(const struct watcher_table *t, int fd) {
  const ef_ev_io *w = *table_bucket(t, fd);
  while (w && w->fd != fd) w = w->next;
  return w;
}

static inline void table_link(struct watcher_table *t, ef_ev_io *w) {
  ef_ev_io **at = table_bucket(t, w->fd);
  w->next = *at;
  w->pprev = at;
  if (w->next) w->next->pprev = &w->next;
  *at = w;
}

/* Twice the buckets. Without memory the chains just get longer. */
static inline void table_grow(struct watcher_table *t) {
  unsigned buckets = t->mask + 1;
  ef_ev_io **old = t->buckets, **larger = calloc(2 * (size_t)buckets, sizeof *larger);
  if (!larger) return;
  t->buckets = larger;
  t->mask = 2 * buckets - 1;
  for (unsigned i = 0; i < buckets; ++i)
    for (ef_ev_io *w = old[i], *next; w; w = next) {
      next = w->next;
      table_link(t, w);
    }
  free(old);
}

static inline void table_add(struct watcher_table *t, ef_ev_io *w) {
  if (t->count++ > t->mask) table_grow(t);
  table_link(t, w);
}

static inline void list_ready(struct watcher_table *t, ef_ev_io *w) {
  if (w->ready_pprev) return;
  w->ready_next = t->ready;
  w->ready_pprev = &t->ready;
  if (w->ready_next) w->ready_next->ready_pprev = &w->ready_next;
  t->ready = w;
}

static inline void unlist_ready(ef_ev_io *w) {
  if (!w->ready_pprev) return;
  *w->ready_pprev = w->ready_next;
  if (w->ready_next) w->ready_next->ready_pprev = w->ready_pprev;
  w->ready_pprev = NULL;
}

static inline void table_remove(struct watcher_table *t, ef_ev_io *w) {
  unlist_ready(w);
  *w->pprev = w->next;
  if (w->next) w->next->pprev = w->pprev;
  --t->count;
}

#endif
