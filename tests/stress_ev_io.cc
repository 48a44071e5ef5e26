// SPDX-License-Identifier: BSD-2-Clause
// Loops in two threads read through libev watchers what other threads are writing into the same files, so that reads
// have to wait all the time, while watchers are stopped, started, freed and made anew at random. A lost event stops it.
#include "adapter_files.h"

#include <efio_ev.h>

#include <atomic>
#include <cstring>
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
  ef_ev_io *reader; // ours; made anew now and then
  ef_ev_io syncs, end;
  ev_timer later;
  random_numbers *random;
  std::uint64_t offset, size;
  unsigned seed;
  int fd, ends;
  const char *trouble;
};

void on_read(EV_P_ ef_ev_io *w, int revents);

void start_reader(EV_P_ watched_file *f) {
  f->reader = static_cast<ef_ev_io *>(std::malloc(sizeof *f->reader));
  ef_ev_io_init(f->reader, on_read, f->fd, EV_READ);
  f->reader->data = f;
  ef_ev_io_start(EV_A_ f->reader);
}

void drop_reader(EV_P_ watched_file *f) {
  ef_ev_io_stop(EV_A_ f->reader);
  std::memset(f->reader, 0xee, sizeof *f->reader);
  std::free(f->reader);
  f->reader = nullptr;
}

void on_later(EV_P_ ev_timer *t, int) { start_reader(EV_A_ static_cast<watched_file *>(t->data)); }

void read_later(EV_P_ watched_file *f) {
  drop_reader(EV_A_ f);
  ev_timer_set(&f->later, f->random->below(3) * 0.0005, 0.);
  ev_timer_start(EV_A_ & f->later);
}

void finish(EV_P_ watched_file *f) {
  drop_reader(EV_A_ f);
  ef_ev_io_stop(EV_A_ & f->syncs);
  if (ef_close(f->fd) < 0) f->trouble = "close";
}

void on_read(EV_P_ ef_ev_io *w, int revents) {
  static thread_local unsigned char buf[read_most];
  auto *f = static_cast<watched_file *>(w->data);
  if (revents != EV_READ) f->trouble = "events";
  ssize_t n = ef_read(f->fd, buf, 1 + f->random->below(read_most));
  if (n < 0 && errno != EAGAIN) f->trouble = "read";
  if (n > 0 && !bytes_are(buf, static_cast<std::size_t>(n), f->offset, f->seed)) f->trouble = "bytes";
  if (n > 0) f->offset += static_cast<std::uint64_t>(n);
  if (f->trouble || f->offset == f->size) return finish(EV_A_ f);
  if (n == 0) return read_later(EV_A_ f); // the writer is behind
  switch (f->random->below(30)) {
  case 0:
    return read_later(EV_A_ f);
  case 1:
    drop_reader(EV_A_ f), start_reader(EV_A_ f);
    break;
  case 2:
    ef_ev_io_stop(EV_A_ w), ef_ev_io_start(EV_A_ w);
    break;
  case 3:
    ef_sync(f->fd);
    break;
  }
}

void on_sync(EV_P_ ef_ev_io *w, int) {
  (void)EV_A;
  auto *f = static_cast<watched_file *>(w->data);
  if (w->error) f->trouble = "sync";
}

void on_end(EV_P_ ef_ev_io *w, int) {
  (void)EV_A;
  auto *f = static_cast<watched_file *>(w->data);
  if (w->error) f->trouble = "end";
  ++f->ends;
}

void open_file(EV_P_ watched_file *f, const char *path, random_numbers *random, unsigned seed, std::uint64_t size) {
  std::memset(f, 0, sizeof *f);
  f->random = random;
  f->seed = seed;
  f->size = size;
  ef_file_options o{};
  o.size = sizeof o;
  o.write_buffer_max = 128 * 1024;
  f->fd = ef_openat(ef_ev_port(EV_A), AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC, 0600, &o);
  ef_ev_io_init(&f->syncs, on_sync, f->fd, EF_EV_SYNC);
  ef_ev_io_init(&f->end, on_end, f->fd, EF_EV_CLOSE);
  ev_timer_init(&f->later, on_later, 0., 0.);
  f->syncs.data = f->end.data = f->later.data = f;
  ef_ev_io_start(EV_A_ & f->syncs);
  ef_ev_io_start(EV_A_ & f->end);
  start_reader(EV_A_ f);
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
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  random_numbers random{seed};
  watched_file all[files];
  int fds[files];
  const char *trouble = nullptr;
  for (unsigned i = 0; i < files; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "stress%u-%u", number, i);
    open_file(EV_A_ & all[i], in_scratch(name), &random, number * files + i, size);
    fds[i] = all[i].fd;
  }
  std::thread writer(write_all, fds, size, number * files, seed + 1);
  ev_run(EV_A_ 0);
  writer.join();
  ef_port_counters c{};
  c.size = sizeof c;
  if (ef_port_stats(ef_ev_port(EV_A), &c) == 0) waits.fetch_add(c.events, std::memory_order_relaxed);
  for (const watched_file &f : all) {
    if (f.trouble) trouble = f.trouble;
    if (f.ends != 1 || f.offset != size) trouble = trouble ? trouble : "end";
  }
  ev_loop_destroy(EV_A);
  return trouble;
}

void readers_keep_up_with_writers_whatever_is_done_to_watchers(void **) {
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
  const struct CMUnitTest tests[] = {cmocka_unit_test(readers_keep_up_with_writers_whatever_is_done_to_watchers)};
  return cmocka_run_group_tests(tests, scratch_make, scratch_unmake);
}
