/* SPDX-License-Identifier: BSD-2-Clause */
/* Push by compare-and-swap, take by exchange: the stack of Treiber (1986) as Concurrency Kit's ck_stack has it in
 * push_upmc and batch_pop_upmc, on its ck_pr; ck_stack itself cannot tell that it was empty. There is no ABA: nobody
 * takes a single node. */
#include "take_all_list.h"
#include "ck_words.h"

bool ef_list_push(ef_list *list, ef_list_node *node) {
  ef_list_node *head = (ef_list_node *)ck_pr_load_ptr(&list->head);
  ef_list_node *seen;
  for (;;) {
    ck_pr_store_ptr(&node->next, head);
    ck_pr_fence_release(); /* the node and all before it, then the head; pairs with the acquire in take_all and empty */
    if (ck_pr_cas_ptr_value(&list->head, head, node, &seen)) return head == NULL;
    head = seen;
  }
}

ef_list_node *ef_list_take_all(ef_list *list) {
  ef_list_node *newest = (ef_list_node *)ck_pr_fas_ptr(&list->head, NULL);
  ef_list_node *oldest = NULL;
  ck_pr_fence_acquire(); /* pairs with the release in push */
  while (newest) {
    ef_list_node *before = (ef_list_node *)ck_pr_load_ptr(&newest->next);
    newest->next = oldest;
    oldest = newest;
    newest = before;
  }
  return oldest;
}

bool ef_list_empty(const ef_list *list) {
  bool empty = ck_pr_load_ptr(&list->head) == NULL;
  ck_pr_fence_acquire(); /* pairs with the release in push */
  return empty;
}
