// SPDX-License-Identifier: BSD-2-Clause
// Programs on libev: efio's watcher, and read(2) in the loop.
#include "loops.hh"

#include <efio_ev.h>

#include <fcntl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace bench {
namespace {

struct program {
  struct ev_loop *loop = ev_loop_new(0);
  ef_ev_io file{};
  ev_timer timer{};
  ev_io precise{};
  ev_idle turn{};
  cached_run *cached = nullptr;
  timed_run *timed = nullptr;
  int fd = -1;
  std::unique_ptr<char[]> to{new char[timed_record_most]};
};

void open_file(program *p, const std::string &path, void (*read)(struct ev_loop *, ef_ev_io *, int)) {
  int fd = ef_ev_open(p->loop, path.c_str(), O_RDONLY, 0);
  if (fd < 0) fail("ef_ev_open: %s", std::strerror(errno));
  ef_ev_io_init(&p->file, read, fd, EV_READ);
  p->file.data = p;
  ef_ev_io_start(p->loop, &p->file);
}

void start_timer(program *p) {
  ev_timer_init(
      &p->timer, [](struct ev_loop *, ev_timer *w, int) { static_cast<program *>(w->data)->timed->timer.tick(); },
      timer_seconds, timer_seconds);
  p->timer.data = p;
  ev_timer_start(p->loop, &p->timer);
}

// The poll of libev rounds up to milliseconds: its own timers may be late by one whatever goes on in the loop. A timer
// that is a descriptor tells what is left without that.
void start_timerfd(program *p) {
  const itimerspec every{{0, static_cast<long>(timer_seconds * 1e9)}, {0, static_cast<long>(timer_seconds * 1e9)}};
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0 || timerfd_settime(fd, 0, &every, nullptr) != 0) fail("timerfd: %s", std::strerror(errno));
  ev_io_init(
      &p->precise,
      [](struct ev_loop *, ev_io *w, int) {
        std::uint64_t times;
        if (read(w->fd, &times, sizeof times) == sizeof times) static_cast<program *>(w->data)->timed->timer.tick();
      },
      fd, EV_READ);
  p->precise.data = p;
  ev_io_start(p->loop, &p->precise);
}

void read_cached(struct ev_loop *loop, ef_ev_io *w, int) {
  auto *p = static_cast<program *>(w->data);
  ssize_t n = ef_read(w->fd, p->to.get(), loop_record);
  if (n == 0) ef_seek(w->fd, 0, SEEK_SET);
  if (n > 0) p->cached->count();
  if (n < 0 && errno != EAGAIN) fail("ef_read: %s", std::strerror(errno));
  if (p->cached->over()) ev_break(loop, EVBREAK_ALL);
}

void run_cached(const std::string &path, cached_run *r) {
  program p;
  p.cached = r;
  open_file(&p, path, read_cached);
  ev_run(p.loop, 0);
}

void read_cold(struct ev_loop *loop, ef_ev_io *w, int) {
  auto *p = static_cast<program *>(w->data);
  p->timed->before_read();
  ssize_t n = ef_read(w->fd, p->to.get(), p->timed->record);
  int error = errno;
  p->timed->after_read();
  if (n < 0 && error != EAGAIN) fail("ef_read: %s", std::strerror(error));
  if (n > 0) p->timed->take(p->to.get(), static_cast<std::size_t>(n));
  if (n == 0) ev_break(loop, EVBREAK_ALL);
}

void run_timed(const std::string &path, timed_run *r) {
  program p;
  p.timed = r;
  start_timer(&p);
  open_file(&p, path, read_cold);
  ev_run(p.loop, 0);
}

void run_timed_precisely(const std::string &path, timed_run *r) {
  program p;
  p.timed = r;
  start_timerfd(&p);
  open_file(&p, path, read_cold);
  ev_run(p.loop, 0);
}

void read_blocking(struct ev_loop *loop, ev_idle *w, int) {
  auto *p = static_cast<program *>(w->data);
  p->timed->before_read();
  ssize_t n = read(p->fd, p->to.get(), p->timed->record);
  p->timed->after_read();
  if (n < 0) fail("read: %s", std::strerror(errno));
  if (n > 0) p->timed->take(p->to.get(), static_cast<std::size_t>(n));
  if (n == 0) ev_break(loop, EVBREAK_ALL);
}

void run_blocking(const std::string &path, timed_run *r) {
  program p;
  p.timed = r;
  p.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  start_timer(&p);
  ev_idle_init(&p.turn, read_blocking);
  p.turn.data = &p;
  ev_idle_start(p.loop, &p.turn);
  ev_run(p.loop, 0);
}

void run_alone(const std::string &, timed_run *r) {
  program p;
  p.timed = r;
  start_timer(&p);
  ev_timer end;
  ev_timer_init(
      &end, [](struct ev_loop *loop, ev_timer *, int) { ev_break(loop, EVBREAK_ALL); }, timer_alone_seconds, 0);
  ev_timer_start(p.loop, &end);
  ev_run(p.loop, 0);
}

const announce programs({{"libev, ef_ev_io", run_cached}}, {{"libev", "efio", run_timed},
                                                            {"libev", "efio, timerfd", run_timed_precisely},
                                                            {"libev", "blocking read(2)", run_blocking},
                                                            {"libev", "the timer alone", run_alone, false}});

} // namespace
} // namespace bench
