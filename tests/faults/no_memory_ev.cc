// SPDX-License-Identifier: BSD-2-Clause
// What no_memory.cc does, for the libev adapter: what libev itself asks for is not refused, it would end the program.
#include "sweep.hh"

#include <efio_ev.h>

namespace {

using sweep::byte_at;
using sweep::fine;
using sweep::require;

constexpr std::size_t size = 200000;

struct reading {
  ef_ev_io watcher;
  std::size_t at;
  bool good;
};
struct requesting {
  ef_ev_request request;
  bool over;
};

void on_read(EV_P_ ef_ev_io *w, int events) {
  auto *r = reinterpret_cast<reading *>(w);
  static char b[20000];
  const ssize_t n = ef_read(w->fd, b, sizeof b);
  for (ssize_t i = 0; i < n; ++i) require(b[i] == byte_at(r->at++), "a wrong byte was read");
  if (n > 0 || (n < 0 && errno == EAGAIN && !(events & EV_ERROR))) return;
  r->good = n == 0 ? r->at == size : fine(-1, "ef_read of a watcher");
  ef_ev_io_stop(EV_A_ w);
}

void on_request(EV_P_ ef_ev_request *r) {
  (void)loop;
  errno = r->request.error;
  fine(r->request.result, "a request");
  reinterpret_cast<requesting *>(r)->over = true;
}

bool read_in(struct ev_loop *loop) {
  const int fd = ef_ev_open(EV_A_ sweep::path("in"), O_RDONLY, 0);
  if (!fine(fd, "ef_ev_open")) return false;
  reading r{};
  ef_ev_io_init(&r.watcher, on_read, fd, EV_READ);
  ef_ev_io_start(EV_A_ & r.watcher);
  requesting q{};
  ef_ev_request_init(&q.request, on_request);
  static char b[4096];
  const ssize_t n = ef_ev_pread(EV_A_ & q.request, fd, b, sizeof b, 8192);
  const bool waits = n < 0 && errno == EINPROGRESS;
  if (!waits) fine(n, "ef_ev_pread");
  ev_run(EV_A_ 0); // to the end of both: a loop that goes on for ever is the watchdog's
  require(!waits || q.over, "a request is not over");
  return fine(ef_close(fd), "ef_close") && r.good;
}

bool write_in(struct ev_loop *loop) {
  const int fd = ef_ev_open(EV_A_ sweep::path("out"), O_WRONLY | O_CREAT, 0644);
  if (!fine(fd, "ef_ev_open")) return false;
  std::size_t at = 0;
  bool good = sweep::write_pattern(fd, size, &at);
  ef_wait(fd, EF_OPEN, 20000);
  good = fine(ef_close(fd), "ef_close") && good;
  require(ef_drain(ef_ev_port(EV_A), 20000) == 0, "ef_drain");
  if (good) require(sweep::check_file("out", 0) == at, "accepted bytes are missing");
  return good;
}

bool loops() {
  sweep::make_file("in", size);
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  require(loop, "ev_loop_new");
  const bool wrote = write_in(loop), read = read_in(loop);
  ev_loop_destroy(loop);
  return wrote && read;
}

} // namespace

int main(int argc, char **argv) {
  const sweep::scenario all[] = {{"libev", loops}};
  return sweep::begin(argc, argv) && sweep::run_all(argc, argv, all) ? 0 : 1;
}
