/* SPDX-License-Identifier: BSD-2-Clause */
/* Which event loop has which adapter state. The loops' own user pointers belong to the host, so each adapter keeps
 * a list, with the last answer of each thread in front of it. Included by one source file of each adapter. */
#ifndef EF_LOOP_REGISTRY_H
#define EF_LOOP_REGISTRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct loop_entry {
  struct loop_entry *next; /* under loop_lock */
  const void *loop;
  unsigned forks; /* loop_forks when it was made: another number now means that this is a child */
};

static pthread_mutex_t loop_lock = PTHREAD_MUTEX_INITIALIZER;
static struct loop_entry *loop_first; /* under loop_lock */
static atomic_uint loop_removals;     /* answers remembered before a change are void */
static atomic_uint loop_forks;        /* changes in a fork child */
static pthread_once_t loop_once = PTHREAD_ONCE_INIT;
static _Thread_local struct {
  const void *loop;
  struct loop_entry *entry;
  unsigned removals;
} loop_last;

static void loop_fork_prepare(void) { pthread_mutex_lock(&loop_lock); }
static void loop_fork_parent(void) { pthread_mutex_unlock(&loop_lock); }
static void loop_fork_child(void) {
  atomic_fetch_add_explicit(&loop_forks, 1, memory_order_relaxed); /* no partner: the child has one thread */
  atomic_fetch_add_explicit(&loop_removals, 1, memory_order_relaxed);
  pthread_mutex_unlock(&loop_lock);
}
static void loop_hook_fork(void) { pthread_atfork(loop_fork_prepare, loop_fork_parent, loop_fork_child); }

/* True in a child, for what its parent made. */
static inline int loop_inherited(const struct loop_entry *e) {
  return e->forks != atomic_load_explicit(&loop_forks, memory_order_relaxed); /* as loop_fork_child */
}

/* The state of a loop, NULL if it has none; what a parent made is not found in its child. */
static inline struct loop_entry *loop_find(const void *loop) {
  unsigned removals = atomic_load_explicit(&loop_removals, memory_order_acquire); /* pairs with loop_remove */
  if (loop_last.loop == loop && loop_last.removals == removals) return loop_last.entry;
  pthread_mutex_lock(&loop_lock);
  struct loop_entry *e = loop_first;
  while (e && (e->loop != loop || loop_inherited(e))) e = e->next;
  removals = atomic_load_explicit(&loop_removals, memory_order_relaxed); /* under the lock */
  pthread_mutex_unlock(&loop_lock);
  if (e) {
    loop_last.loop = loop;
    loop_last.entry = e;
    loop_last.removals = removals;
  }
  return e;
}

static inline void loop_add(struct loop_entry *e, const void *loop) {
  pthread_once(&loop_once, loop_hook_fork);
  e->loop = loop;
  e->forks = atomic_load_explicit(&loop_forks, memory_order_relaxed); /* as loop_fork_child */
  pthread_mutex_lock(&loop_lock);
  e->next = loop_first;
  loop_first = e;
  pthread_mutex_unlock(&loop_lock);
}

static inline void loop_remove(struct loop_entry *e) {
  pthread_mutex_lock(&loop_lock);
  struct loop_entry **at = &loop_first;
  while (*at != e) at = &(*at)->next;
  *at = e->next;
  atomic_fetch_add_explicit(&loop_removals, 1, memory_order_release); /* pairs with loop_find */
  pthread_mutex_unlock(&loop_lock);
}

#endif
