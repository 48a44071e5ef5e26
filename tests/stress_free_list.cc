// SPDX-License-Identifier: BSD-2-Clause
// The pool's list under many threads that lose the processor inside its operations: a node has one owner at a time, and
// none is lost.
#include "free_list.h"

#include "stress_ck.hh"
#define ef_free_list_push shaken_push
#define ef_free_list_pop shaken_pop
#define ef_free_list_empty shaken_empty
extern "C" {
void shaken_push(ef_free_list *, ef_free_node *);
ef_free_node *shaken_pop(ef_free_list *);
#include "free_list.c"
}
#undef ef_free_list_push
#undef ef_free_list_pop

namespace {

using namespace stress;

struct object {
  ef_free_node node;
  std::atomic<int> owners{0};
  std::uint64_t payload = 0; // not atomic: for ThreadSanitizer to watch
};

void run(const char *name, void (*push)(ef_free_list *, ef_free_node *), ef_free_node *(*pop)(ef_free_list *),
         int nodes, int ms) {
  ef_free_list list{};
  std::vector<object> all(nodes);
  for (object &o : all) push(&list, &o.node);
  std::atomic<std::uint64_t> pops{0};
  period time(ms);

  together(threads(), [&](int, stress::random &dice) {
    std::vector<object *> mine;
    std::uint64_t n = 0;
    while (time())
      for (int i = 0; i < 100; ++i) {
        if (mine.size() < 3 && dice.below(2)) {
          object *o = reinterpret_cast<object *>(pop(&list));
          if (!o) continue;
          require(o->owners.fetch_add(1, std::memory_order_relaxed) == 0, "a node has two owners");
          ++o->payload;
          ++n;
          mine.push_back(o);
        } else if (!mine.empty()) {
          object *o = mine[dice.below(mine.size())];
          std::erase(mine, o);
          o->owners.fetch_sub(1, std::memory_order_relaxed);
          push(&list, &o->node);
        }
      }
    for (object *o : mine) {
      o->owners.fetch_sub(1, std::memory_order_relaxed);
      push(&list, &o->node);
    }
    pops.fetch_add(n, std::memory_order_relaxed);
  });

  std::uint64_t sum = 0;
  int left = 0;
  while (pop(&list)) ++left;
  for (object &o : all) sum += o.payload;
  require(left == nodes, "nodes are lost");
  require(sum == pops.load(), "two wrote one node");
  std::printf("%s, %d nodes: %llu pops\n", name, nodes, static_cast<unsigned long long>(sum));
}

} // namespace

int main() {
  run("shaken", shaken_push, shaken_pop, 3, 400);
  run("shaken", shaken_push, shaken_pop, 64, 400);
  run("plain", ef_free_list_push, ef_free_list_pop, 3, 300);
  run("plain", ef_free_list_push, ef_free_list_pop, 64, 300);
  return 0;
}
