// SPDX-License-Identifier: BSD-2-Clause
// Random blocks in a libuv loop: uv_fs_read, which reads on libuv's threads.
#include "random_read.hh"

#include <uv.h>

namespace bench {
namespace {

class uv_contestant {
 public:
  explicit uv_contestant(random_run *run)
      : run_(run), fd_(open_random(run->path())), requests_(static_cast<std::size_t>(run->readers())) {
    uv_loop_init(&loop_);
    uv_timer_init(&loop_, &timer_);
    timer_.data = run;
    for (uv_fs_t &q : requests_) q.data = this;
  }

  void go() {
    uv_timer_start(
        &timer_, [](uv_timer_t *t) { static_cast<random_run *>(t->data)->tick(); }, 1, 1);
    ask(0);
    uv_run(&loop_, UV_RUN_DEFAULT);
  }

 private:
  void ask(int reader) {
    if (!run_->begin(reader)) return;
    uv_buf_t to = uv_buf_init(run_->buffer(reader), random_block);
    int error = uv_fs_read(&loop_, &requests_[static_cast<std::size_t>(reader)], fd_, &to, 1, run_->offset(reader),
                           [](uv_fs_t *q) { static_cast<uv_contestant *>(q->data)->answer(q); });
    if (error < 0) fail("uv_fs_read: %s", uv_strerror(error));
  }
  void answer(uv_fs_t *q) {
    auto reader = static_cast<int>(q - requests_.data());
    bool all = run_->end(reader, q->result);
    uv_fs_req_cleanup(q);
    ask(reader);
    for (int other = 0; all && other < run_->readers(); ++other)
      if (other != reader) ask(other);
    if (run_->finished()) uv_stop(&loop_);
  }

  random_run *run_;
  int fd_;
  std::vector<uv_fs_t> requests_;
  uv_loop_t loop_;
  uv_timer_t timer_;
};

} // namespace

void read_by_uv(random_run *run) { uv_contestant(run).go(); }

} // namespace bench
