// SPDX-License-Identifier: BSD-2-Clause
// The engine of interleave.hh: runs a scenario again and again, each time with another schedule and other old values,
// until all of them within the bounds have been.
#ifndef EF_INTERLEAVE_ENGINE_HH
#define EF_INTERLEAVE_ENGINE_HH

#include "interleave_fiber.hh"
#include "interleave_memory.hh"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace interleave {

struct bounds {
  int preemptions = 2; // switches away from a thread that could go on
  int stale = 0;       // loads that answer an older store than the newest, and swaps that fail though they need not
  int steps = 2000;    // of one execution; more is a livelock
  std::uint64_t executions = 0; // give up after so many; 0: never
};

struct result {
  bool failed = false;
  bool complete = false; // all executions within the bounds
  std::uint64_t executions = 0;
  std::string what, schedule, trace; // of the execution that failed
};

// An atomic word's identity; its history is the memory's. All-zero is valid: a word of value 0, known to all.
struct cell {
  std::uint64_t value; // until the first access of this execution, and after its last
  std::uint32_t execution;
  std::int16_t id;
  std::uint8_t maker; // thread and its clock, for a word made during an execution
  std::uint16_t made;
};

class engine {
 public:
  // scenario(0) prepares, scenario(1..n) are the threads, scenario(-1) finishes; destroy() comes after each execution,
  // whatever came of it.
  using body = void (*)(int thread);

  result explore(int threads, const bounds &b, body scenario, void (*destroy)(), const char *replay) {
    result r;
    bounds_ = b;
    count_ = threads + 1;
    scenario_ = scenario;
    path_.clear();
    if (replay) take_path(replay);
    tracing_ = replay;
    do {
      execute();
      destroy();
      ++r.executions;
      if (failed_ && !tracing_) { // once more, with a record
        result again = explore(threads, b, scenario, destroy, path_text().c_str());
        again.executions = r.executions;
        return again;
      }
    } while (!failed_ && !replay && !(r.complete = !advance()) && r.executions != limit());
    r.failed = failed_;
    r.what = what_;
    r.schedule = path_text();
    r.trace = trace_;
    tracing_ = false;
    return r;
  }

  // ---- For virtual threads

  bool running() const { return running_; }
  bool weak() const { return bounds_.stale > 0; }
  int self() const { return current_; }
  thread_memory &mine() { return memory_of_[current_]; }
  std::uint64_t stamp() { return ++stamps_; }
  std::uint16_t tick() { return ++mine().now.clock[current_]; }

  // Before each operation that others can tell apart: they may come first.
  void step() {
    if (!running_) return;
    if (++steps_ > bounds_.steps) fail("no end in sight: a livelock, or a loop without interleave::yield()");
    if (preemptions_ == bounds_.preemptions) return;
    int others[threads_max], n = 0;
    for (int t = 1; t < count_; ++t)
      if (t != current_ && is_able(t) && !yielded_[t]) others[n++] = t;
    if (int k = choose(n + 1)) {
      ++preemptions_;
      run(others[k - 1]);
    }
  }

  // Nothing to do until somebody else has done something.
  void yield() {
    if (!running_) return;
    if (++steps_ > bounds_.steps) fail("no end in sight: a livelock");
    yielded_[current_] = true;
    pass(false);
  }
  void progress() { std::fill(yielded_, yielded_ + threads_max, false); }

  // Every thread passes a full barrier: what any of them did before is known to all.
  void meet() {
    step();
    for (int t = 1; t < count_; ++t) mine().now.join(memory_of_[t].now);
    for (int t = 1; t < count_; ++t) memory_of_[t].now.join(mine().now);
    progress();
  }

  // Sleeps until wake() of the same place, or, if timed, until any time. False: time is up.
  bool sleep(const void *place, bool timed) {
    state_[current_] = timed ? state::asleep_timed : state::asleep;
    place_[current_] = place;
    woken_[current_] = false;
    int me = current_;
    pass(true);
    state_[me] = state::able;
    return woken_[me];
  }
  // One of the sleepers, any of them; false: there is none.
  bool wake(const void *place) {
    int sleepers[threads_max], n = 0;
    for (int t = 1; t < count_; ++t)
      if ((state_[t] == state::asleep || state_[t] == state::asleep_timed) && place_[t] == place) sleepers[n++] = t;
    if (!n) return false;
    int t = sleepers[choose(n)];
    state_[t] = state::able;
    woken_[t] = true;
    progress();
    return true;
  }

  // A choice that the exploration makes in every way; 0 first.
  int choose(int n) {
    if (n <= 1) return 0;
    if (at_ == path_.size()) path_.push_back({0, n});
    if (path_[at_].of != n && !tracing_) {
      std::fprintf(stderr, "interleave: the scenario does not do the same twice\n");
      std::abort();
    }
    return path_[at_++].taken;
  }
  bool may_be_stale() const { return stale_ < bounds_.stale; }
  int choose_stale(int n) { // 0: the newest, free of charge
    if (n <= 1 || !running_ || !may_be_stale()) return 0;
    int k = choose(n);
    stale_ += k > 0;
    return k;
  }

  // Ends the execution, and the exploration.
  [[noreturn]] void fail(const char *what) {
    failed_ = true;
    what_ = what;
    record("thread %d: FAILED: %s\n", current_, what);
    running_ = false;
    fiber::go(fibers_[current_], main_);
    std::abort();
  }

  [[gnu::format(printf, 2, 3)]] void record(const char *format, ...) {
    if (!tracing_) return;
    char line[240];
    va_list args;
    va_start(args, format);
    std::vsnprintf(line, sizeof line, format, args);
    va_end(args);
    trace_ += line;
  }

  // ---- Words

  memory &words() { return memory_; }
  // The newest value, for looks from outside of an execution and for reports.
  std::uint64_t newest(const cell &c) {
    return c.execution == execution_ && c.id ? memory_.of(c.id - 1).stores.back().value : c.value;
  }
  int id_of(cell &c) {
    bool made_now = c.execution == execution_;
    if (made_now && c.made > mine().now.clock[c.maker]) fail("a word is used before it is known to be made: a race");
    if (made_now && c.id) return c.id - 1;
    int id = memory_.add(c.value);
    if (id < 0) fail("too many words: raise locations_max");
    if (!made_now) c.made = 0;
    c.execution = execution_;
    c.id = static_cast<std::int16_t>(id + 1);
    return id;
  }
  void made(cell &c, std::uint64_t value) {
    c = {value, 0, 0, 0, 0};
    if (!executing_) return;
    c.execution = execution_;
    c.maker = static_cast<std::uint8_t>(current_);
    c.made = tick();
  }
  std::uint32_t execution() const { return execution_; }
  bool executing() const { return executing_; }

 private:
  enum class state { able, asleep, asleep_timed, over };
  struct choice {
    int taken, of;
  };

  std::uint64_t limit() const {
    constexpr std::uint64_t most = 5000;
    return sanitized && (bounds_.executions == 0 || bounds_.executions > most) ? most : bounds_.executions;
  }
  bool advance() {
    while (!path_.empty() && path_.back().taken + 1 == path_.back().of) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().taken;
    return true;
  }
  std::string path_text() const {
    std::string s;
    for (std::size_t i = 0; i < at_; ++i) s += (i ? "." : "") + std::to_string(path_[i].taken);
    return s;
  }
  void take_path(const char *text) {
    for (char *end; *text; text = *end ? end + 1 : end)
      path_.push_back({static_cast<int>(std::strtol(text, &end, 10)), 0});
  }

  void execute() {
    ++execution_;
    memory_.clear();
    trace_.clear();
    at_ = stamps_ = 0;
    steps_ = preemptions_ = stale_ = 0;
    if (failed_ || !fibers_made_) {
      for (fiber &f : fibers_) f.make(entry);
      fibers_made_ = true;
    }
    failed_ = running_ = false;
    for (int t = 0; t < count_; ++t) {
      memory_of_[t].clear();
      state_[t] = state::able;
    }
    progress();
    executing_ = true;
    current_ = 0;
    fiber::go(main_, fibers_[0]);
    executing_ = false;
  }

  static engine *&only() {
    static engine *e = nullptr;
    return e;
  }
  static void entry() {
    engine *e = only();
    int me = e->current_;
    e->fibers_[me].arrived();
    for (;;) {
      if (me == 0)
        e->direct();
      else
        e->play(me);
    }
  }
  // Thread 0: prepares, lets the others run, finishes.
  void direct() {
    scenario_(0);
    for (int t = 1; t < count_; ++t) {
      memory_of_[t].now.copy(memory_of_[0].now);
      memory_of_[t].now.clock[t] = 1;
    }
    running_ = true;
    run(1 + choose(count_ - 1));
    current_ = 0;
    running_ = false;
    for (int t = 1; t < count_; ++t) memory_of_[0].now.join(memory_of_[t].now);
    scenario_(-1);
    fiber::go(fibers_[0], main_);
  }
  void play(int me) {
    scenario_(me);
    state_[me] = state::over;
    progress();
    bool all = true;
    for (int t = 1; t < count_; ++t) all = all && state_[t] == state::over;
    if (all)
      fiber::go(fibers_[me], fibers_[0]);
    else
      pass(true);
  }

  bool is_able(int t) const { return state_[t] == state::able || state_[t] == state::asleep_timed; }
  void run(int t) {
    int me = current_;
    current_ = t;
    if (t == me) return;
    record("-> thread %d\n", t);
    fiber::go(fibers_[me], fibers_[t]);
    current_ = me;
  }
  // Hands over to another thread, at no charge; must: this one cannot go on.
  void pass(bool must) {
    int others[threads_max], n = 0;
    for (int attempt = 0; attempt < 2 && !n; ++attempt) {
      for (int t = 1; t < count_; ++t)
        if ((t != current_ || state_[t] == state::asleep_timed) && is_able(t) && !yielded_[t]) others[n++] = t;
      if (!n) progress();
    }
    if (n)
      run(others[choose(n)]);
    else if (must)
      fail("deadlock: every thread that is left sleeps");
  }

  bounds bounds_;
  int count_ = 0;
  body scenario_ = nullptr;
  memory memory_;
  thread_memory memory_of_[threads_max];
  fiber main_, fibers_[threads_max];
  state state_[threads_max] = {};
  const void *place_[threads_max] = {};
  bool woken_[threads_max] = {}, yielded_[threads_max] = {};
  std::vector<choice> path_;
  std::size_t at_ = 0;
  std::uint64_t stamps_ = 0;
  std::uint32_t execution_ = 0;
  int current_ = 0, steps_ = 0, preemptions_ = 0, stale_ = 0;
  bool failed_ = false, running_ = false, executing_ = false, fibers_made_ = false, tracing_ = false;
  std::string what_, trace_;

 public:
  static engine &the() {
    static engine e;
    only() = &e;
    return e;
  }
};

} // namespace interleave
#endif
