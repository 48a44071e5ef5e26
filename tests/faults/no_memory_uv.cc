// SPDX-License-Identifier: BSD-2-Clause
// What no_memory.cc does, for the libuv adapter: what libuv itself asks for is not refused.
#include "sweep.hh"

#include <efio_uv.h>

namespace {

using sweep::byte_at;
using sweep::faulty;
using sweep::require;

constexpr std::size_t size = 200000;
constexpr unsigned pieces = 20; // more than fit in a request itself

struct work {
  ef_uv_file_t in, out;
  ef_uv_req_t write, sync;
  ef_uv_at_t at;
  std::size_t read;
  int left; // callbacks that are due
  bool good, written;
};

uv_loop_t loop;
work w;
char out_bytes[size], at_bytes[pieces][512];

bool fine(long status) {
  if (status >= 0) return true;
  w.good = false;
  errno = static_cast<int>(-status);
  require(faulty && sweep::lack(errno), uv_strerror(static_cast<int>(status)));
  return false;
}

void on_alloc(ef_uv_file_t *, std::size_t, uv_buf_t *buf) {
  static char b[65536];
  *buf = uv_buf_init(b, sizeof b);
}
void on_read(ef_uv_file_t *, ssize_t n, const uv_buf_t *buf) {
  for (ssize_t i = 0; i < n; ++i) require(buf->base[i] == byte_at(w.read++), "a wrong byte was read");
  if (n >= 0) return;
  --w.left;
  if (n == UV_EOF)
    require(w.read == size, "the end of a file comes early");
  else
    fine(n);
}
void on_written(ef_uv_req_t *, int status) {
  --w.left;
  if (status != UV_ECANCELED) w.written = fine(status);
}
void on_synced(ef_uv_req_t *, int status) {
  --w.left;
  if (status != UV_ECANCELED) fine(status);
}
void on_at(ef_uv_at_t *, ssize_t result) {
  --w.left;
  if (!fine(result)) return;
  for (unsigned i = 0; i < pieces; ++i) require(at_bytes[i][0] == byte_at(4096 + i * 512), "a wrong byte of a request");
}

void read_in() {
  if (!fine(ef_uv_open(&loop, &w.in, sweep::path("in"), UV_FS_O_RDONLY, 0))) return;
  w.left += fine(ef_uv_read_start(&w.in, on_alloc, on_read));
  uv_buf_t bufs[pieces];
  for (unsigned i = 0; i < pieces; ++i) bufs[i] = uv_buf_init(at_bytes[i], sizeof at_bytes[i]);
  w.left += fine(ef_uv_read_at(&w.at, &w.in, bufs, pieces, 4096, on_at));
}
void write_out() {
  if (!fine(ef_uv_open(&loop, &w.out, sweep::path("out"), UV_FS_O_WRONLY | UV_FS_O_CREAT, 0644))) return;
  uv_buf_t bufs[pieces];
  for (unsigned i = 0; i < pieces; ++i) bufs[i] = uv_buf_init(out_bytes + i * size / pieces, size / pieces);
  w.left += fine(ef_uv_write(&w.write, &w.out, bufs, pieces, on_written));
  w.left += fine(ef_uv_sync(&w.sync, &w.out, on_synced));
}

void on_tick(uv_timer_t *) {} // so that the loop looks at the time

// A write waits for memory as long as there is none: that is given up after a while.
void run_a_while() {
  uv_timer_t tick;
  uv_timer_init(&loop, &tick);
  uv_timer_start(&tick, on_tick, 2, 2);
  const std::uint64_t end = uv_hrtime() + (faulty ? 200'000'000 : 20'000'000'000);
  while (w.left > 0 && uv_hrtime() < end) uv_run(&loop, UV_RUN_ONCE);
  require(faulty || w.left == 0, "callbacks do not come");
  uv_close(reinterpret_cast<uv_handle_t *>(&tick), nullptr);
  for (ef_uv_file_t *f : {&w.in, &w.out})
    if (f->loop && !ef_uv_is_closing(f)) ef_uv_close(f, nullptr);
  uv_run(&loop, UV_RUN_DEFAULT);
}

bool loops() {
  w = {};
  w.good = true;
  sweep::make_file("in", size);
  for (std::size_t i = 0; i < size; ++i) out_bytes[i] = byte_at(i);
  require(uv_loop_init(&loop) == 0, "uv_loop_init");
  read_in();
  write_out();
  run_a_while();
  require(uv_loop_close(&loop) == 0, "uv_loop_close");
  if (w.written) require(w.out.status != 0 || sweep::check_file("out", 0) == size, "accepted bytes are missing");
  return w.good;
}

} // namespace

int main(int argc, char **argv) {
  const sweep::scenario all[] = {{"libuv", loops}};
  return sweep::begin(argc, argv) && sweep::run_all(argc, argv, all) ? 0 : 1;
}
