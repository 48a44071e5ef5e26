/* SPDX-License-Identifier: BSD-2-Clause */
/* A list that any thread pushes to and one call empties: completions on their way to a loop. The push tells whether the
 * list was empty, which is when the loop needs a wake. */
#ifndef EF_LOCKFREE_TAKE_ALL_LIST_H
#define EF_LOCKFREE_TAKE_ALL_LIST_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sits inside the object that travels. Owned by the pusher until the push, by the list after it, by the taker after
 * ef_list_take_all. */
typedef struct ef_list_node {
  struct ef_list_node *next;
} ef_list_node;

/* All-zero is empty. */
typedef struct ef_list {
  ef_list_node *head;
} ef_list;

/* Lock-free; any thread. True: the list was empty before, so nobody has been told yet: ring the bell, once. The node is
 * not touched after the hand-over. What the caller wrote before is visible to the taker. */
bool ef_list_push(ef_list *list, ef_list_node *node);

/* Wait-free; any thread. The whole list, the oldest push first, linked by next; NULL when empty. Each pushed node is
 * given to exactly one taker. Turning the list round costs a step a node, outside of anybody's way. */
ef_list_node *ef_list_take_all(ef_list *list);

/* Wait-free; any thread. A look that may be out of date when it returns; false also means that the pushes seen happened
 * before (acquire). */
bool ef_list_empty(const ef_list *list);

#ifdef __cplusplus
}
#endif
#endif
