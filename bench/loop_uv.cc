// SPDX-License-Identifier: BSD-2-Clause
// Programs on libuv: efio's handle, libuv's own asynchronous read, and read(2) in the loop.
#include "loops.hh"

#include <efio_uv.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace bench {
namespace {

struct program {
  program() {
    uv_loop_init(&loop);
    timer.data = turn.data = file.data = request.data = this;
  }
  uv_loop_t loop;
  ef_uv_file_t file{};
  uv_timer_t timer{};
  uv_idle_t turn{};
  uv_fs_t request{};
  cached_run *cached = nullptr;
  timed_run *timed = nullptr;
  int fd = -1;
  std::int64_t at = 0;
  std::unique_ptr<char[]> to{new char[timed_record_most]};
  std::size_t record = loop_record;
};

void check(int error, const char *what) {
  if (error < 0) fail("%s: %s", what, uv_strerror(error));
}

void start_timer(program *p) {
  uv_timer_init(&p->loop, &p->timer);
  uv_timer_start(
      &p->timer, [](uv_timer_t *t) { static_cast<program *>(t->data)->timed->timer.tick(); }, 1, 1);
}

// ---- efio
void give_buffer(ef_uv_file_t *f, std::size_t, uv_buf_t *buf) {
  auto *p = static_cast<program *>(f->data);
  *buf = uv_buf_init(p->to.get(), static_cast<unsigned>(p->record));
  if (p->timed) p->timed->before_read();
}

void on_read(ef_uv_file_t *f, ssize_t n, const uv_buf_t *) {
  auto *p = static_cast<program *>(f->data);
  if (n < 0 && n != UV_EOF) check(static_cast<int>(n), "ef_uv_read_start");
  if (p->timed) {
    p->timed->after_read();
    if (n > 0) p->timed->take(p->to.get(), static_cast<std::size_t>(n));
    if (n == UV_EOF) uv_stop(&p->loop);
    return;
  }
  if (n > 0) p->cached->count();
  if (n == UV_EOF) {
    ef_seek(f->fd, 0, SEEK_SET);
    check(ef_uv_read_start(f, give_buffer, on_read), "ef_uv_read_start");
  }
  if (p->cached->over()) {
    ef_uv_read_stop(f);
    uv_stop(&p->loop);
  }
}

void read_by_efio(program *p, const std::string &path) {
  check(ef_uv_open(&p->loop, &p->file, path.c_str(), UV_FS_O_RDONLY, 0), "ef_uv_open");
  p->file.data = p;
  check(ef_uv_read_start(&p->file, give_buffer, on_read), "ef_uv_read_start");
  uv_run(&p->loop, UV_RUN_DEFAULT);
}

void run_cached(const std::string &path, cached_run *r) {
  program p;
  p.cached = r;
  read_by_efio(&p, path);
}

void run_timed(const std::string &path, timed_run *r) {
  program p;
  p.timed = r;
  p.record = r->record;
  start_timer(&p);
  read_by_efio(&p, path);
}

// ---- uv_fs_read, one request at a time
void ask(program *p);

void on_answer(uv_fs_t *request) {
  auto *p = static_cast<program *>(request->data);
  ssize_t n = request->result;
  check(static_cast<int>(n), "uv_fs_read");
  uv_fs_req_cleanup(request);
  if (n > 0 && p->cached) p->cached->count();
  if (n > 0 && p->timed) p->timed->take(p->to.get(), static_cast<std::size_t>(n));
  p->at = n > 0 ? p->at + n : 0;
  bool over = p->cached ? p->cached->over() : n == 0;
  over ? uv_stop(&p->loop) : ask(p);
}

void ask(program *p) {
  uv_buf_t buf = uv_buf_init(p->to.get(), static_cast<unsigned>(p->record));
  if (p->timed) p->timed->before_read();
  check(uv_fs_read(&p->loop, &p->request, p->fd, &buf, 1, p->at, on_answer), "uv_fs_read");
  if (p->timed) p->timed->after_read();
}

void read_by_uv(program *p, const std::string &path) {
  p->fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ask(p);
  uv_run(&p->loop, UV_RUN_DEFAULT);
}

void run_uv_cached(const std::string &path, cached_run *r) {
  program p;
  p.cached = r;
  read_by_uv(&p, path);
}

void run_uv_timed(const std::string &path, timed_run *r) {
  program p;
  p.timed = r;
  p.record = r->record;
  start_timer(&p);
  read_by_uv(&p, path);
}

// ---- read(2)
void read_blocking(uv_idle_t *turn) {
  auto *p = static_cast<program *>(turn->data);
  p->timed->before_read();
  ssize_t n = read(p->fd, p->to.get(), p->timed->record);
  p->timed->after_read();
  if (n < 0) fail("read: %s", std::strerror(errno));
  if (n > 0) p->timed->take(p->to.get(), static_cast<std::size_t>(n));
  if (n == 0) uv_stop(&p->loop);
}

void run_blocking(const std::string &path, timed_run *r) {
  program p;
  p.timed = r;
  p.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  start_timer(&p);
  uv_idle_init(&p.loop, &p.turn);
  uv_idle_start(&p.turn, read_blocking);
  uv_run(&p.loop, UV_RUN_DEFAULT);
}

void run_alone(const std::string &, timed_run *r) {
  program p;
  p.timed = r;
  start_timer(&p);
  uv_timer_t end;
  uv_timer_init(&p.loop, &end);
  uv_timer_start(
      &end, [](uv_timer_t *t) { uv_stop(t->loop); }, static_cast<std::uint64_t>(timer_alone_seconds * 1e3), 0);
  uv_run(&p.loop, UV_RUN_DEFAULT);
}

const announce programs({{"libuv, ef_uv_read_start", run_cached}, {"libuv, uv_fs_read", run_uv_cached}},
                        {{"libuv", "efio", run_timed},
                         {"libuv", "blocking read(2)", run_blocking},
                         {"libuv", "uv_fs_read, one at a time", run_uv_timed},
                         {"libuv", "the timer alone", run_alone, false}});

} // namespace
} // namespace bench
