/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of free nodes, last in first out, for any number of threads: the heart of a pool. The node given back last is
 * the warmest in the cache. */
#ifndef EF_LOCKFREE_FREE_LIST_H
#define EF_LOCKFREE_FREE_LIST_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sits inside the pooled object and belongs to the list alone: a stale ef_free_list_pop may read next at any time. So
 * the memory must be type-stable: a node that was ever pushed stays readable, as a node, while the list lives. */
typedef struct ef_free_node {
  struct ef_free_node *next;
} ef_free_node;

/* Opaque: the top and a count of the pops (a number, not a pointer), changed together. All-zero is empty. The count has
 * the width of a pointer: with 64 bits it does not wrap. */
typedef struct ef_free_list {
#ifdef __cplusplus
  alignas(2 * sizeof(void *)) ef_free_node *head;
#else
  _Alignas(2 * sizeof(void *)) ef_free_node *head;
#endif
  void *pops;
} ef_free_list;

/* Lock-free; any thread. The caller owns the node and gives it up. */
void ef_free_list_push(ef_free_list *list, ef_free_node *node);

/* Lock-free; any thread. The node is the caller's, and all that was done with it before its push is visible; NULL when
 * there is none. */
ef_free_node *ef_free_list_pop(ef_free_list *list);

/* Wait-free; any thread. A hint: pushes and pops may be under way. */
bool ef_free_list_empty(const ef_free_list *list);

#ifdef __cplusplus
}
#endif
#endif
