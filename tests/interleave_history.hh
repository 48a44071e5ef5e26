// SPDX-License-Identifier: BSD-2-Clause
// Was it linearizable? Records the calls of a scenario of interleave.hh and looks for an order of them that explains
// their answers.
#ifndef EF_INTERLEAVE_HISTORY_HH
#define EF_INTERLEAVE_HISTORY_HH

#include "interleave.hh"

namespace interleave {

constexpr int calls_max = 24;

struct call {
  int kind;
  std::uint64_t argument, answer;
  bool good; // what the call returned
  // When: in the order of the execution, and in what its thread knew.
  std::uint64_t began, ended;
  int thread;
  std::uint16_t end_clock, known[threads_max];
};

class history {
 public:
  int begin(int kind, std::uint64_t argument = 0) {
    engine &e = engine::the();
    check(count_ < calls_max, "too many calls: raise calls_max");
    call &c = calls_[count_];
    c = {kind, argument, 0, false, e.stamp(), ~std::uint64_t{0}, e.self(), 0xffff, {}};
    std::copy(e.mine().now.clock, e.mine().now.clock + threads_max, c.known);
    e.record("thread %d: call %d begins: kind %d argument %llu\n", e.self(), count_, kind,
             static_cast<unsigned long long>(argument));
    return count_++;
  }
  void end(int id, bool good, std::uint64_t answer = 0) {
    engine &e = engine::the();
    call &c = calls_[id];
    c.good = good;
    c.answer = answer;
    c.ended = e.stamp();
    c.end_clock = e.tick();
    e.record("thread %d: call %d ends: %d, %llu\n", e.self(), id, good, static_cast<unsigned long long>(answer));
  }
  int count() const { return count_; }
  const call &operator[](int i) const { return calls_[i]; }

  // a was over before b began: by the clock on the wall; with old values about, as far as b's thread could know.
  bool precedes(int a, int b) const {
    if (!engine::the().weak()) return calls_[a].ended < calls_[b].began;
    return calls_[a].end_clock <= calls_[b].known[calls_[a].thread];
  }
  int overlapping(int i) const {
    int n = 0;
    for (int j = 0; j < count_; ++j) n += j != i && !precedes(i, j) && !precedes(j, i);
    return n;
  }

  // Model: copyable, bool apply(const history &, int call): takes the call's effect if its answer fits.
  template<class Model> bool is_linearizable(const Model &start) const { return explain(start, 0); }

 private:
  template<class Model> bool explain(const Model &state, std::uint32_t done) const {
    if (done == (std::uint32_t{1} << count_) - 1) return true;
    for (int i = 0; i < count_; ++i) {
      if (done >> i & 1 || !may_be_next(i, done)) continue;
      Model next = state;
      if (next.apply(*this, i) && explain(next, done | std::uint32_t{1} << i)) return true;
    }
    return false;
  }
  bool may_be_next(int i, std::uint32_t done) const {
    for (int j = 0; j < count_; ++j)
      if (!(done >> j & 1) && j != i && precedes(j, i)) return false;
    return true;
  }

  call calls_[calls_max];
  int count_ = 0;
};

// A bounded queue: first in, first out. push answers false only when as many cells are in use as there are, by values
// or by calls that overlap with it; pop only when nothing is there.
struct fifo_model {
  enum { push, pop };
  std::uint64_t values[calls_max];
  int first = 0, last = 0, capacity;

  explicit fifo_model(int cells) : capacity(cells) {}
  bool apply(const history &h, int i) {
    const call &c = h[i];
    if (c.kind == push) {
      if (!c.good) return last - first + h.overlapping(i) >= capacity;
      values[last++] = c.argument;
      return last - first <= capacity;
    }
    if (!c.good) return first == last;
    return first < last && values[first++] == c.answer;
  }
};

// A pool's list: last in, first out.
struct lifo_model {
  enum { push, pop };
  std::uint64_t values[calls_max];
  int count = 0;

  bool apply(const history &h, int i) {
    const call &c = h[i];
    if (c.kind == push) {
      values[count++] = c.argument;
      return true;
    }
    if (!c.good) return count == 0;
    return count > 0 && values[--count] == c.answer;
  }
};

} // namespace interleave
#endif
