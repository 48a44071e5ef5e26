// SPDX-License-Identifier: BSD-2-Clause
// The completion list under many pushers that lose the processor inside its operations: nothing lost, each pusher's
// order kept, one bell for each batch.
#include "take_all_list.h"

#include "stress_ck.hh"
#define ef_list_push shaken_push
#define ef_list_take_all shaken_take_all
#define ef_list_empty shaken_empty
extern "C" {
bool shaken_push(ef_list *, ef_list_node *);
ef_list_node *shaken_take_all(ef_list *);
bool shaken_empty(const ef_list *);
#include "take_all_list.c"
}
#undef ef_list_push
#undef ef_list_take_all
#undef ef_list_empty

namespace {

using namespace stress;

struct item {
  ef_list_node node;
  int pusher;
  std::uint64_t number; // not atomic: for ThreadSanitizer to watch
  std::atomic<bool> travels{false};
};

struct pusher {
  std::vector<item> items = std::vector<item>(16);
  std::uint64_t pushed = 0, seen = 0, bells = 0;
};

void run(const char *name, bool (*push)(ef_list *, ef_list_node *), ef_list_node *(*take_all)(ef_list *), int ms) {
  ef_list list{};
  int n = threads() - 1;
  std::vector<pusher> all(n);
  std::atomic<int> busy{n};
  std::uint64_t batches = 0;
  period time(ms);

  auto drain = [&] {
    ef_list_node *next, *node = take_all(&list);
    batches += node != nullptr;
    for (; node; node = next) {
      item *it = reinterpret_cast<item *>(node);
      next = node->next; // the item is the pusher's again with the store below
      require(it->number == ++all[it->pusher].seen, "a pusher's order is not kept");
      it->travels.store(false, std::memory_order_release);
    }
  };
  together(n + 1, [&](int me, stress::random &) {
    if (me == n) {
      while (busy.load(std::memory_order_acquire) > 0) {
        drain();
        sched_yield();
      }
      return drain();
    }
    pusher &mine = all[me];
    while (time())
      for (item &it : mine.items) {
        while (it.travels.load(std::memory_order_acquire)) sched_yield();
        it.travels.store(true, std::memory_order_relaxed);
        it.pusher = me;
        it.number = ++mine.pushed;
        mine.bells += push(&list, &it.node);
      }
    busy.fetch_sub(1, std::memory_order_release);
  });

  std::uint64_t pushed = 0, bells = 0;
  for (pusher &p : all) {
    require(p.seen == p.pushed, "items are lost");
    pushed += p.pushed;
    bells += p.bells;
  }
  require(bells == batches, "bells and batches differ");
  std::printf("%s, %d pushers: %llu items, %llu bells\n", name, n, static_cast<unsigned long long>(pushed),
              static_cast<unsigned long long>(bells));
}

} // namespace

int main() {
  run("shaken", shaken_push, shaken_take_all, 800);
  run("plain", ef_list_push, ef_list_take_all, 800);
  return 0;
}
