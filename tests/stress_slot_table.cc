// SPDX-License-Identifier: BSD-2-Clause
// The slot table under many threads that open, use and close one another's handles and lose the processor on the way: a
// handle gives its own object or none, and each object ends once.
#include "slot_table.hh"
#include "stress.hh"

namespace {

using namespace stress;

// Small blocks that come and go.
struct limits : ef::slot_table_limits {
  static constexpr std::uint32_t slots_max = 4096, block_slots = 16, reuse_after = 24, discard_after = 3;
  static inline std::atomic<std::uint64_t> discards{0};
  static void discard(void *memory, std::size_t bytes) noexcept {
    discards.fetch_add(1, std::memory_order_relaxed);
    ef::slot_table_limits::discard(memory, bytes);
  }
};

struct object {
  int handle;      // not atomic: for ThreadSanitizer to watch
  char body[4000]; // a page each: what is given back reads as zero
};

template<template<class> class Atom> class arena {
 public:
  static constexpr int shelf = 64;

  void step(stress::random &dice) {
    std::atomic<int> &place = handles_[dice.below(shelf)];
    int h = place.load(std::memory_order_relaxed);
    switch (dice.below(4)) {
    case 0:
      if (h < 0) return open(place);
      return close(place, h);
    default:
      return use(h);
    }
  }
  void finish() {
    for (std::atomic<int> &place : handles_)
      if (int h = place.load(std::memory_order_relaxed); h >= 0) close(place, h);
    require(opens.load() == ends.load(), "as many ends as opens");
    object *o;
    for (std::uint32_t i = 0; i < table_.high_water(); ++i)
      require(table_.get(table_.handle_of(i), &o) == -EBADF, "all are closed");
  }

  std::atomic<std::uint64_t> opens{0}, ends{0}, uses{0};

 private:
  void open(std::atomic<int> &place) {
    object *o;
    int h = table_.allocate(&o);
    require(h >= 0, "there is room");
    o->handle = h;
    o->body[sizeof o->body - 1] = static_cast<char>(h);
    table_.publish(h);
    opens.fetch_add(1, std::memory_order_relaxed);
    int free = -1;
    if (!place.compare_exchange_strong(free, h, std::memory_order_relaxed)) end(h); // somebody else's is there
  }
  void close(std::atomic<int> &place, int h) {
    place.compare_exchange_strong(h, -1, std::memory_order_relaxed);
    end(h);
  }
  void end(int h) {
    if (table_.close(h) != 0) return; // somebody was faster
    object *o = table_.at(h & 0xfffff);
    require(o->handle == h, "closed what it meant");
    put(h);
  }
  void use(int h) {
    object *o;
    if (h < 0 || table_.get(h, &o) != 0) return;
    require(o->handle == h && o->body[sizeof o->body - 1] == static_cast<char>(h), "a handle gives its own object");
    shake();
    require(o->handle == h, "as long as it is held");
    uses.fetch_add(1, std::memory_order_relaxed);
    put(h);
  }
  void put(int h) {
    std::uint32_t i = h & 0xfffff;
    if (!table_.put(i)) return;
    object *o = table_.at(i);
    require(o->handle == h, "ended once");
    o->handle = -1;
    ends.fetch_add(1, std::memory_order_relaxed);
    table_.release(i);
  }

  ef::slot_table<object, Atom, limits> table_;
  std::atomic<int> handles_[shelf];

 public:
  arena() {
    for (std::atomic<int> &place : handles_) place.store(-1, std::memory_order_relaxed);
  }
};

template<template<class> class Atom> void run(const char *name, int ms) {
  arena<Atom> a;
  limits::discards = 0;
  period time(ms);
  together(threads(), [&](int, stress::random &dice) {
    while (time())
      for (int i = 0; i < 100; ++i) a.step(dice);
  });
  a.finish();
  std::printf("%s: %llu opened, %llu used, %llu blocks given back\n", name,
              static_cast<unsigned long long>(a.opens.load()), static_cast<unsigned long long>(a.uses.load()),
              static_cast<unsigned long long>(limits::discards.load()));
}

} // namespace

int main() {
  run<shaken>("shaken", 800);
  run<std::atomic>("plain", 800);
  return 0;
}
