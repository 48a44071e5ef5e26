// SPDX-License-Identifier: BSD-2-Clause
// Loops in two threads read through libuv handles what other threads are writing into the same files, so that reads
// have to wait all the time, while reading and polling are stopped, started and exchanged at random. A lost event
// stops it for good.
#include "adapter_files.h"

#include <efio_uv.h>

#include <atomic>
#include <thread>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

extern "C" {
#include <cmocka.h>
}

namespace {

constexpr int files = 6;
std::atomic<std::uint64_t> waits; // that events ended
constexpr std::size_t read_most = 40000, write_most = 8000;

struct random_numbers {
  std::uint64_t state;
  unsigned below(unsigned n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned>(state >> 33) % n;
  }
};

struct watched_file {
  ef_uv_file_t file;
  ef_uv_req_t sync;
  uv_timer_t later;
  random_numbers *random;
  std::uint64_t offset, size;
  unsigned seed;
  int ends;
  bool syncing;
  std::uint64_t events; // of its port, when it was closed
  const char *trouble;
};

watched_file *of(ef_uv_file_t *f) { return static_cast<watched_file *>(f->data); }

void on_closed(ef_uv_file_t *f) {
  if (f->status) of(f)->trouble = "end";
  ++of(f)->ends;
}

void on_synced(ef_uv_req_t *req, int status) {
  watched_file *f = of(req->file);
  if (status != 0 && status != UV_ECANCELED) f->trouble = "sync";
  f->syncing = false;
}

void start_again(watched_file *f);

void on_later(uv_timer_t *t) { start_again(static_cast<watched_file *>(t->data)); }

void stop_all(watched_file *f) {
  ef_uv_read_stop(&f->file);
  ef_uv_poll_stop(&f->file);
}

void read_later(watched_file *f) {
  stop_all(f);
  uv_timer_start(&f->later, on_later, f->random->below(2), 0);
}

void finish(watched_file *f) {
  ef_port_counters c{};
  c.size = sizeof c;
  if (ef_port_stats(ef_port_of(f->file.fd), &c) == 0) f->events = c.events;
  ef_uv_close(&f->file, on_closed);
  uv_close(reinterpret_cast<uv_handle_t *>(&f->later), nullptr);
}

// What came, or a negative UV_ error, or 0 for nothing.
void take(watched_file *f, ssize_t n, const void *bytes) {
  if (n < 0 && n != UV_EOF) f->trouble = "read";
  if (n > 0 && !bytes_are(bytes, static_cast<std::size_t>(n), f->offset, f->seed)) f->trouble = "bytes";
  if (n > 0) f->offset += static_cast<std::uint64_t>(n);
  if (f->trouble || f->offset == f->size) return finish(f);
  if (n == UV_EOF) return read_later(f); // the writer is behind
  switch (f->random->below(30)) {
  case 0:
    return read_later(f);
  case 1:
    stop_all(f), start_again(f);
    break;
  case 2:
    if (!f->syncing && ef_uv_sync(&f->sync, &f->file, on_synced) == 0) f->syncing = true;
    break;
  }
}

thread_local unsigned char read_buf[read_most];

void on_alloc(ef_uv_file_t *f, size_t, uv_buf_t *buf) {
  *buf = uv_buf_init(reinterpret_cast<char *>(read_buf), 1 + of(f)->random->below(read_most));
}

void on_read(ef_uv_file_t *f, ssize_t n, const uv_buf_t *buf) { take(of(f), n, buf->base); }

void on_poll(ef_uv_file_t *f, int status, int) {
  ssize_t n = status;
  if (status == 0) {
    n = ef_read(f->fd, read_buf, 1 + of(f)->random->below(read_most));
    if (n == 0) n = UV_EOF;
    if (n == -1) n = errno == EAGAIN ? 0 : uv_translate_sys_error(errno);
  }
  take(of(f), n, read_buf);
}

void start_again(watched_file *f) {
  int r = f->random->below(2) ? ef_uv_read_start(&f->file, on_alloc, on_read)
                              : ef_uv_poll_start(&f->file, UV_READABLE, on_poll);
  if (r != 0) f->trouble = "start";
}

bool open_file(uv_loop_t *loop, watched_file *f, const char *path, random_numbers *random, unsigned seed,
               std::uint64_t size) {
  *f = watched_file{};
  f->random = random;
  f->seed = seed;
  f->size = size;
  f->file.data = f->later.data = f;
  uv_timer_init(loop, &f->later);
  ef_file_options o{};
  o.size = sizeof o;
  o.write_buffer_max = 128 * 1024;
  const int flags = UV_FS_O_RDWR | UV_FS_O_CREAT | UV_FS_O_TRUNC;
  if (ef_uv_openat(loop, &f->file, AT_FDCWD, path, flags, 0600, &o) != 0) return false;
  start_again(f);
  return true;
}

// Fills the files of one loop, whichever has room.
void write_all(const int *fds, std::uint64_t size, unsigned first_seed, std::uint64_t seed) {
  static thread_local unsigned char buf[write_most];
  random_numbers random{seed};
  std::uint64_t written[files] = {};
  for (int left = files; left > 0;) {
    int i = static_cast<int>(random.below(files));
    std::size_t n = 1 + random.below(write_most);
    if (written[i] == size) continue;
    if (n > size - written[i]) n = static_cast<std::size_t>(size - written[i]);
    fill_bytes(buf, n, written[i], first_seed + static_cast<unsigned>(i));
    ssize_t r = ef_write(fds[i], buf, n);
    if (r < 0 && errno != EAGAIN) return; // the reader tells
    if (r < 0) ef_wait(fds[i], EF_WRITE, 10);
    if (r > 0) written[i] += static_cast<std::uint64_t>(r);
    left -= written[i] == size;
  }
}

const char *run_loop(unsigned number, std::uint64_t seed, std::uint64_t size) {
  uv_loop_t loop;
  random_numbers random{seed};
  watched_file all[files];
  int fds[files];
  const char *trouble = uv_loop_init(&loop) == 0 ? nullptr : "loop";
  for (unsigned i = 0; i < files; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "stress%u-%u", number, i);
    if (!open_file(&loop, &all[i], in_scratch(name), &random, number * files + i, size)) return "open";
    fds[i] = all[i].file.fd;
  }
  std::thread writer(write_all, fds, size, number * files, seed + 1);
  uv_run(&loop, UV_RUN_DEFAULT);
  writer.join();
  std::uint64_t events = 0;
  for (const watched_file &f : all) {
    if (f.events > events) events = f.events;
    if (f.trouble) trouble = f.trouble;
    if (f.ends != 1 || f.offset != size) trouble = trouble ? trouble : "end";
  }
  waits.fetch_add(events, std::memory_order_relaxed);
  if (uv_loop_close(&loop) != 0) trouble = "loop close";
  return trouble;
}

void readers_keep_up_with_writers_whatever_is_done_to_files(void **) {
  const bool more = std::getenv("EFIO_LONG");
  if (more) alarm(3000);
  for (unsigned seed = 1; seed <= (more ? 20u : 3u); ++seed) {
    const std::uint64_t size = more ? 32u << 20 : 3u << 20;
    const char *trouble[2];
    std::thread other([&] { trouble[1] = run_loop(1, seed * 1000, size); });
    trouble[0] = run_loop(0, seed * 77, size);
    other.join();
    if (trouble[0] || trouble[1]) fail_msg("seed %u: %s", seed, trouble[0] ? trouble[0] : trouble[1]);
  }
  if (waits.load(std::memory_order_relaxed) < 100) fail_msg("nobody had to wait: nothing was tried");
}

} // namespace

int main() {
  const struct CMUnitTest tests[] = {cmocka_unit_test(readers_keep_up_with_writers_whatever_is_done_to_files)};
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
