/* SPDX-License-Identifier: BSD-2-Clause */
/* Treiber's stack (1986) with a count beside the top that makes a stale pop fail, as Concurrency Kit's ck_stack has it
 * in push_mpmc and pop_mpmc, on its ck_pr. Not by ck_stack's own functions: they read next plainly while its new owner
 * may be writing it, and their push orders earlier writes but not earlier reads before the hand-over. */
#include "free_list.h"
#include "ck_words.h"

#include <stddef.h>
#include <stdint.h>

#ifndef CK_F_PR_CAS_PTR_2_VALUE
#error "Concurrency Kit has no compare-and-swap of two words for this processor"
#endif

void ef_free_list_push(ef_free_list *list, ef_free_node *node) {
  ef_free_node *head = (ef_free_node *)ck_pr_load_ptr(&list->head);
  ef_free_node *seen;
  for (;;) {
    ck_pr_store_ptr(&node->next, head);
    ck_pr_fence_release(); /* all that was done with the node, then the head; pairs with the acquire in pop */
    if (ck_pr_cas_ptr_value(&list->head, head, node, &seen)) return;
    head = seen;
  }
}

ef_free_node *ef_free_list_pop(ef_free_list *list) {
  ef_free_list old, to;
  old.pops = ck_pr_load_ptr(&list->pops);
  ck_pr_fence_acquire(); /* the count before the top: with the count of a later time an old top would pass for new */
  old.head = (ef_free_node *)ck_pr_load_ptr(&list->head);
  while (old.head) {
    ck_pr_fence_acquire(); /* pairs with the release in push */
    to.pops = (void *)((uintptr_t)old.pops + 1);
    to.head = (ef_free_node *)ck_pr_load_ptr(&old.head->next); /* stale, if so the swap fails: the count moved */
    if (ck_pr_cas_ptr_2_value(list, &old, &to, &old)) break;
  }
  return old.head;
}

bool ef_free_list_empty(const ef_free_list *list) { return ck_pr_load_ptr(&list->head) == NULL; }
