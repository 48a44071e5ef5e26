// SPDX-License-Identifier: BSD-2-Clause
// A small model checker for lock-free code: production templates are instantiated with interleave::atomic in place of
// std::atomic and run under every schedule with few preemptions, with the old values that their memory orders allow.
#ifndef EF_INTERLEAVE_HH
#define EF_INTERLEAVE_HH

#include "interleave_engine.hh"

#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>

// How to use it.
//
//   struct two_pushes {                      // made anew for each execution, by a thread of its own
//     static constexpr int threads = 2;
//     ef::some_queue<interleave::atomic> q;  // the code under test
//     two_pushes() { ... }                   // prepares
//     void thread(int me) { ... }            // what each thread does, me = 0 .. threads - 1
//     void finish() { interleave::check(q.size() == 2, "both are there"); }
//   };
//   auto r = interleave::explore<two_pushes>("two_pushes", {.preemptions = 3, .stale = 1});
//   r.failed, r.executions, r.complete; interleave::report(r) prints the operations of the execution that failed.
//
// EF_SCHEDULE=two_pushes:0.1.0 in the environment repeats one execution, as report() gives it, under a debugger say.
//
// What a scenario may use: interleave::atomic<T> (T of at most 8 bytes); interleave::data<T> for what is not atomic,
// whose unordered accesses are found as data races; interleave::check(); interleave::yield() in each loop that waits
// for another thread; interleave::park as the Park of an event_count, with deadlock detection; interleave_history.hh
// for linearizability. It must do the same each time that the choices are the same: no time, no addresses, no real
// threads. Pool memory that atomics live in: either made by constructors in each execution or all zero.
//
// What is explored. Threads are switched only before operations on atomics and in park; at most `preemptions` times
// away from one that could go on, at no charge where a thread ends, sleeps or yields. Bugs mostly need two or three.
// With stale = 0 memory is sequentially consistent. Otherwise up to `stale` times in an execution a load answers an
// older store than the newest, wherever happens-before and coherence allow that, and a compare-and-swap fails by such a
// value or (weak) without a reason: the view semantics of release and acquire, with release sequences and fences;
// seq_cst operations of one word additionally do not see past each other. Not modelled: loads that see later stores
// (load buffering), and stores of one word in another order than they were executed.
//
// Mutations. Put the header under test on the include path as #include "name.hh"; tests/mutate.sh weakens one memory
// order of it at a time in a copy of lockfree/ and expects tests/test_name.cc, compiled against that copy, to fail. A
// structure joins by one line in mutate.sh. If a mutant lives, the order was stronger than needed, or a scenario is
// missing: mostly one in which the datum behind the weakened pair is read or reused.
namespace interleave {

inline void yield() { engine::the().yield(); }

// Ends the execution as a failure. In setup, threads and finish.
inline void check(bool good, const char *what) {
  if (!good) engine::the().fail(what);
}

template<class T> class atomic {
 public:
  atomic() noexcept : atomic(T{}) {}
  atomic(T v) noexcept { engine::the().made(cell_, to_word(v)); } // not explicit: as std::atomic
  atomic(const atomic &) = delete;
  atomic &operator=(const atomic &) = delete;

  T load(std::memory_order o) const noexcept {
    engine &e = engine::the();
    if (!e.executing()) return from_word(e.newest(cell_));
    e.step();
    int id = e.id_of(cell_), newest = e.words().newest(id);
    int store = newest - e.choose_stale(newest - e.words().floor(id, e.mine(), o) + 1);
    std::uint64_t v = e.words().read(id, store, e.mine(), o);
    say("load", id, o, v, store == newest ? "" : " (old)");
    return from_word(v);
  }
  void store(T v, std::memory_order o) noexcept {
    engine &e = engine::the();
    if (!e.executing()) return e.made(cell_, to_word(v));
    e.step();
    int id = e.id_of(cell_);
    e.tick();
    e.words().write(id, to_word(v), e.mine(), o);
    e.progress();
    say("store", id, o, to_word(v), "");
  }
  T exchange(T v, std::memory_order o) noexcept {
    return update("exchange", o, [v](T) { return v; });
  }
  T fetch_add(T n, std::memory_order o) noexcept {
    return update("fetch_add", o, [n](T v) { return static_cast<T>(v + n); });
  }
  T fetch_sub(T n, std::memory_order o) noexcept {
    return update("fetch_sub", o, [n](T v) { return static_cast<T>(v - n); });
  }
  T fetch_or(T n, std::memory_order o) noexcept {
    return update("fetch_or", o, [n](T v) { return static_cast<T>(v | n); });
  }
  T fetch_and(T n, std::memory_order o) noexcept {
    return update("fetch_and", o, [n](T v) { return static_cast<T>(v & n); });
  }
  bool compare_exchange_strong(T &expected, T v, std::memory_order good, std::memory_order bad) noexcept {
    return swap(expected, v, good, bad, false);
  }
  bool compare_exchange_weak(T &expected, T v, std::memory_order good, std::memory_order bad) noexcept {
    return swap(expected, v, good, bad, true);
  }
  bool compare_exchange_strong(T &expected, T v, std::memory_order o) noexcept {
    return swap(expected, v, o, without_release(o), false);
  }
  bool compare_exchange_weak(T &expected, T v, std::memory_order o) noexcept {
    return swap(expected, v, o, without_release(o), true);
  }

  T newest() const noexcept { return from_word(engine::the().newest(cell_)); } // no operation: for park and for checks

 private:
  static_assert(sizeof(T) <= 8);
  static std::uint64_t to_word(T v) {
    std::uint64_t w = 0;
    std::memcpy(&w, &v, sizeof v);
    return w;
  }
  static T from_word(std::uint64_t w) {
    T v;
    std::memcpy(&v, &w, sizeof v);
    return v;
  }
  static std::memory_order without_release(std::memory_order o) {
    return o == std::memory_order_acq_rel   ? std::memory_order_acquire
           : o == std::memory_order_release ? std::memory_order_relaxed
                                            : o;
  }
  static void say(const char *what, int id, std::memory_order o, std::uint64_t v, const char *more) {
    static const char *const orders[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
    engine &e = engine::the();
    e.record("thread %d: %s word %d %s: %#llx%s\n", e.self(), what, id, orders[static_cast<int>(o)],
             static_cast<unsigned long long>(v), more);
  }

  template<class F> T update(const char *name, std::memory_order o, F f) noexcept {
    engine &e = engine::the();
    if (!e.executing()) return T{};
    e.step();
    int id = e.id_of(cell_);
    e.tick();
    T old = from_word(e.newest(cell_));
    e.words().update(id, to_word(f(old)), e.mine(), o);
    e.progress();
    say(name, id, o, to_word(f(old)), "");
    return old;
  }

  bool swap(T &expected, T v, std::memory_order good, std::memory_order bad, bool weak) noexcept {
    engine &e = engine::the();
    if (!e.executing()) return false;
    e.step();
    int id = e.id_of(cell_), newest = e.words().newest(id);
    bool can = e.newest(cell_) == to_word(expected);
    int store = newest;
    if (int k = e.choose_stale(1 + failures(id, newest, bad, to_word(expected), weak && can)))
      store = failure(id, newest, to_word(expected), weak && can, k);
    else if (can) {
      e.tick();
      e.words().update(id, to_word(v), e.mine(), good);
      e.progress();
      say("swap", id, good, to_word(v), "");
      return true;
    }
    std::uint64_t seen = e.words().read(id, store, e.mine(), bad);
    say("swap", id, bad, seen, store == newest ? " (failed)" : " (failed, old)");
    expected = from_word(seen);
    return false;
  }
  // In how many ways, besides the natural outcome, a swap may fail: without a reason, or by an older value.
  int failures(int id, int newest, std::memory_order o, std::uint64_t expected, bool spurious) const {
    engine &e = engine::the();
    int n = spurious, floor = e.words().floor(id, e.mine(), o);
    for (int s = newest - 1; s >= floor; --s) n += e.words().of(id).stores[s].value != expected;
    return n;
  }
  int failure(int id, int newest, std::uint64_t expected, bool spurious, int k) const {
    if (spurious && --k == 0) return newest;
    for (int s = newest - 1;; --s)
      if (engine::the().words().of(id).stores[s].value != expected && --k == 0) return s;
  }

  mutable cell cell_;
};

// What is not atomic. All-zero is valid. Its accesses are no points to switch at; two of them that are not ordered, one
// a write, end the execution as a data race.
template<class T> class data {
 public:
  data() noexcept = default;
  T read() const noexcept {
    touch(false);
    return value_;
  }
  void write(T v) noexcept {
    touch(true);
    value_ = v;
  }

 private:
  void touch(bool writes) const noexcept {
    engine &e = engine::the();
    if (!e.executing()) return;
    if (execution_ != e.execution()) {
      execution_ = e.execution();
      written_ = writer_ = 0;
      std::fill(read_, read_ + threads_max, 0);
    }
    const view &now = e.mine().now;
    bool ordered = written_ <= now.clock[writer_];
    for (int t = 0; t < threads_max && writes; ++t) ordered = ordered && read_[t] <= now.clock[t];
    if (!ordered) e.fail("a data race");
    std::uint16_t at = e.tick();
    if (!writes)
      read_[e.self()] = at;
    else {
      written_ = at;
      writer_ = static_cast<std::uint8_t>(e.self());
    }
  }

  T value_{};
  mutable std::uint32_t execution_ = 0;
  mutable std::uint16_t written_ = 0, read_[threads_max] = {};
  mutable std::uint8_t writer_ = 0;
};

// The Park of an event_count: puts the virtual thread to sleep. A deadline passes whenever that is possible.
struct park {
  static std::int64_t now_ns() noexcept { return 0; }
  static bool wait(const atomic<std::uint64_t> &word, std::uint32_t epoch, std::int64_t deadline_ns) noexcept {
    engine &e = engine::the();
    e.step();
    if (word.newest() >> 32 != epoch) return true; // the kernel looks at the word itself
    e.record("thread %d: sleeps\n", e.self());
    return e.sleep(&word, deadline_ns >= 0);
  }
  static void wake(const atomic<std::uint64_t> &word, int count) noexcept {
    engine &e = engine::the();
    e.step();
    while (count-- > 0 && e.wake(&word)) e.record("thread %d: woke one\n", e.self());
  }
};

template<class Scenario> struct stage {
  static inline std::optional<Scenario> scenario;
  static void play(int thread) {
    if (thread == 0)
      scenario.emplace();
    else if (thread < 0)
      scenario->finish();
    else
      scenario->thread(thread - 1);
  }
  static void clear() { scenario.reset(); }
};

// All executions within the bounds, or up to the first that fails.
template<class Scenario> result explore(const char *name, const bounds &b) {
  const char *wanted = std::getenv("EF_SCHEDULE"), *path = nullptr;
  std::size_t n = std::strlen(name);
  if (wanted && std::strncmp(wanted, name, n) == 0 && wanted[n] == ':') path = wanted + n + 1;
  using s = stage<Scenario>;
  result r = engine::the().explore(Scenario::threads, b, s::play, s::clear, path);
  if (r.failed) r.schedule = std::string(name) + ":" + r.schedule;
  return r;
}

inline void report(const result &r) {
  std::fprintf(stderr, "%s\nafter %llu executions; EF_SCHEDULE=%s\n%s", r.what.c_str(),
               static_cast<unsigned long long>(r.executions), r.schedule.c_str(), r.trace.c_str());
}

} // namespace interleave
#endif
