// SPDX-License-Identifier: BSD-2-Clause
// The libev loop that contestants for random blocks share: a turn asks for the blocks of all readers that got theirs,
// each at most once, so that blocks which are there at once do not keep the timer from its turn.
#ifndef EF_BENCH_RANDOM_EV_HH
#define EF_BENCH_RANDOM_EV_HH

#include "random_read.hh"

#include <ev.h>

#include <vector>

namespace bench {

class ev_contestant {
 public:
  explicit ev_contestant(random_run *run);
  virtual ~ev_contestant() { ev_loop_destroy(loop); }
  ev_contestant(const ev_contestant &) = delete;
  ev_contestant &operator=(const ev_contestant &) = delete;
  void go(); // until the run has finished

 protected:
  // Asks for the reader's block; got() may be called at once.
  virtual void ask(int reader) = 0;
  // The end of the turn, just before the loop polls.
  virtual void submit() {}
  // The reader has its block: n bytes or a negated errno.
  void got(int reader, ssize_t n);
  // Calls wake() whenever fd is readable.
  void watch(int fd);
  virtual void wake() {}

  random_run *const run;
  struct ev_loop *const loop = ev_loop_new(0);
  int fd;

 private:
  void turn();
  std::vector<int> idle_, asking_; // readers
  ev_timer timer_{};
  ev_prepare prepare_{};
  ev_idle again_{};
  ev_io bell_{};
};

} // namespace bench
#endif
