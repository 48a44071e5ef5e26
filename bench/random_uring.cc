// SPDX-License-Identifier: BSD-2-Clause
// Random blocks by liburing itself in a libev loop, tuned as far as it goes: what efio is compared with.
#include "random_ev.hh"

#if defined(EF_HAVE_URING)
#include <liburing.h>

#include <sys/eventfd.h>

#include <atomic>
#include <cstring>

namespace bench {
namespace {

constexpr unsigned ring_entries = 256; // more than readers

// One system call hands over the reads of a turn and takes what has completed. The eventfd is switched off while this
// thread is awake and looks at the ring anyway. (The ring's own descriptor would do without one, but a ring with
// DEFER_TASKRUN does not wake epoll(7) through it, and asking it costs more on every poll.)
class uring_contestant final : public ev_contestant {
 public:
  explicit uring_contestant(random_run *r) : ev_contestant(r) {
    int error = set_up(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
    deferred_ = error == 0;
    if (error == -EINVAL) error = set_up(0); // a kernel before 6.1
    if (error < 0) skip("no io_uring: %s", std::strerror(-error));
    io_uring_register_ring_fd(&ring_); // saves a look-up where it works
    bell_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if ((error = io_uring_register_files(&ring_, &fd, 1)) < 0 || (error = io_uring_register_eventfd(&ring_, bell_)) < 0)
      fail("io_uring_register: %s", std::strerror(-error));
    watch(bell_);
  }
  ~uring_contestant() override { io_uring_queue_exit(&ring_); }

 private:
  int set_up(unsigned flags) { return io_uring_queue_init(ring_entries, &ring_, flags); }

  void ask(int reader) override {
    io_uring_sqe *sqe = io_uring_get_sqe(&ring_);
    io_uring_prep_read(sqe, 0, run->buffer(reader), random_block, static_cast<std::uint64_t>(run->offset(reader)));
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data64(sqe, static_cast<std::uint64_t>(reader));
  }

  void submit() override {
    io_uring_cq_eventfd_toggle(&ring_, false); // reads that are done at once ring no bell
    if (io_uring_sq_ready(&ring_) > 0) check(io_uring_submit_and_get_events(&ring_));
    reap();
    io_uring_cq_eventfd_toggle(&ring_, true);
    // What completed before the switch rang no bell: the kernel sets its flag, or the tail, before it looks at ours.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    collect();
  }

  void wake() override {
    eventfd_t rings;
    eventfd_read(bell_, &rings);
    collect();
  }

  // Completions that wait in the kernel for this thread to ask, and those in the ring.
  void collect() {
    if (deferred_ && (IO_URING_READ_ONCE(*ring_.sq.kflags) & IORING_SQ_TASKRUN)) check(io_uring_get_events(&ring_));
    reap();
  }

  void reap() {
    unsigned head, n = 0;
    io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      got(static_cast<int>(io_uring_cqe_get_data64(cqe)), cqe->res);
      ++n;
    }
    io_uring_cq_advance(&ring_, n);
  }

  static void check(int n) {
    if (n < 0 && n != -EINTR) fail("io_uring_enter: %s", std::strerror(-n));
  }

  io_uring ring_;
  bool deferred_;
  int bell_;
};

} // namespace

void read_by_uring(random_run *run) { uring_contestant(run).go(); }

} // namespace bench

#else

namespace bench {
void read_by_uring(random_run *) { skip("liburing was not there when this was built"); }
} // namespace bench

#endif
