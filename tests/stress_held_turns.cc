// SPDX-License-Identifier: BSD-2-Clause
// A worker's turn is held before each of its instructions, from the end of its system call to its sleep, while the
// file's owner goes on: writes, asks, syncs, opens anew, closes, reads. Whatever the place, no byte is left lying,
// every EAGAIN has its one event, every close ends.
#include "own_port.hh"
#include "stepped.hh"

#include "file.hh"
#include "port.hh"
#include "process.hh"

#include <iterator>

namespace {

using core::port;
using stepped::trial;
using stress::require;

std::string dir, path, accepted;
int fd; // of this trial
char bytes[8192];
std::atomic<bool> step_next; // whoever ends the next write or read is stepped through from there on

ssize_t stepped_from_here(ssize_t result) {
  if (step_next.exchange(false)) stepped::step_here();
  return result;
}
void set(ef::sys_table &t) {
  t.pwritev = [](int f, const iovec *v, int n, off_t at) {
    return stepped_from_here(faulty::table.pwritev(f, v, n, at));
  };
  t.writev = [](int f, const iovec *v, int n) { return stepped_from_here(faulty::table.writev(f, v, n)); };
  t.preadv = [](int f, const iovec *v, int n, off_t at) {
    return stepped_from_here(faulty::table.preadv(f, v, n, at));
  };
}

// ---- The events of the trial's file

long told[256]; // how often each bit, in this trial
void take_events() {
  ef_event e{};
  while (ef_port_next(port, &e, 1) == 1) {
    require(e.fd == fd && e.error == 0 && e.events < std::size(told), "an event of the file");
    for (unsigned bit = 1; bit < std::size(told); bit <<= 1) told[bit] += (e.events & bit) != 0;
  }
}
void wait_to_be_told(unsigned bit) {
  for (take_events(); told[bit] == 0; take_events()) {
    pollfd q{ef_port_fd(port), POLLIN, 0};
    require(::poll(&q, 1, core::patience_ms) == 1, "the port's descriptor tells of the event");
  }
}

// ---- Scenes: how it begins, what the owner does while the worker is held, and what has to follow

bool put(std::size_t n) {
  const ssize_t r = ef_write(fd, bytes, n);
  if (r > 0) accepted.append(bytes, static_cast<std::size_t>(r));
  require(r == static_cast<ssize_t>(n) || (r == -1 && errno == EAGAIN), "ef_write");
  return r > 0;
}
void open_written(std::size_t budget = 0) {
  ef_file_options o{};
  o.write_buffer_max = budget;
  o.flush_interval_ms = 2;
  path = dir + "/written", accepted.clear();
  fd = core::open(path, O_WRONLY | O_CREAT | O_TRUNC, o, port);
  core::wait(fd, EF_OPEN);
}
void open_and_flush() {
  open_written();
  put(100);
  step_next = true;
  require(ef_flush(fd) == 0, "ef_flush");
}
ef::file &the_file() {
  ef::file *f = ef::files.at(ef::slot_of(fd));
  require(f, "a file");
  return *f;
}
void fill() {
  open_written(128 * 1024);
  faulty::now.hung = faulty::every_file;
  while (put(sizeof bytes)) {}
}
void let_go() {
  step_next = true;
  faulty::now.hung = -1;
}
void fill_and_let_go() {
  fill();
  require(ef_watch(fd, 0, &fd) == 0, "nobody has asked");
  let_go();
}
void fill_ask_and_let_go() {
  fill();
  let_go();
}
void all_is_written() {
  for (int i = 0; core::stats(fd).written < accepted.size(); stepped::doze())
    require(++i < 10 * core::patience_ms, "what was accepted is written, without a further call");
}
void open_and_miss() {
  path = dir + "/read", accepted.assign(3 * sizeof bytes, 'r');
  core::put(path, accepted);
  fd = core::open(path, O_RDONLY, {}, port);
  core::wait(fd, EF_OPEN);
  faulty::now.nowait_miss = 1024;
  step_next = true;
  require(ef_read(fd, bytes, sizeof bytes) == -1 && errno == EAGAIN, "a miss");
}
void the_rest_can_be_read() {
  wait_to_be_told(EF_READ);
  for (ssize_t r; (r = ef_read(fd, bytes, sizeof bytes)) != 0;)
    if (r < 0) require(errno == EAGAIN && ef_wait(fd, EF_READ, core::patience_ms) == EF_READ, "the next bytes");
}

struct scene {
  const char *name;
  void (*start)();
  void (*meanwhile)();
  void (*after)();
  unsigned once; // the bit that is told once in all
};
bool again; // the owner was refused after it was armed
constexpr scene scenes[] = {
    {"the_owner_writes", open_and_flush, [] { put(50); }, all_is_written, 0},
    {"the_owner_writes_and_flushes", open_and_flush, [] { require(put(50) && ef_flush(fd) == 0, "ef_flush"); },
     all_is_written, 0},
    {"the_owner_syncs", open_and_flush, [] { require(put(50) && ef_sync(fd) == 0, "ef_sync"); },
     [] {
       wait_to_be_told(EF_SYNC);
       all_is_written();
     },
     EF_SYNC},
    {"the_owner_opens_anew", open_and_flush, [] { require(put(50) && ef_reopen(fd) == 0, "ef_reopen"); },
     all_is_written, 0},
    {"the_owner_closes", open_and_flush,
     [] { require(put(50) && ef_watch(fd, EF_CLOSE, &fd) == 0 && ef_close(fd) == 0, "ef_close"); },
     [] { wait_to_be_told(EF_CLOSE); }, EF_CLOSE},
    {"the_owner_is_refused", fill_and_let_go,
     [] {
       while (put(sizeof bytes)) {}
     },
     [] {
       wait_to_be_told(EF_WRITE);
       require(put(sizeof bytes), "what the event promises");
       all_is_written();
     },
     EF_WRITE},
    {"the_owner_is_refused_again", fill_ask_and_let_go,
     [] {
       take_events();
       again = told[EF_WRITE] > 0 || ef::armed(the_file(), EF_WRITE); // and no event is on its way
       faulty::now.hung = faulty::every_file;                         // no further write ends
       while (put(sizeof bytes)) {}
       told[EF_WRITE] = 0;
     },
     [] {
       for (int i = 0; i < 20 && told[EF_WRITE] == 0; ++i) take_events(), stepped::doze();
       require(!again || told[EF_WRITE] == 0 || the_file().out.has_room(), "there is room when it is told");
       faulty::now.hung = -1;
       all_is_written();
     },
     0},
    {"the_owner_asks_for_room", fill_and_let_go,
     [] {
       const int now = ef_watch(fd, EF_WRITE, &fd);
       require(now >= 0, "ef_watch");
       if (now > 0) ++told[EF_WRITE]; // at once
     },
     [] {
       wait_to_be_told(EF_WRITE);
       all_is_written();
     },
     EF_WRITE},
    {"the_reader_reads", open_and_miss,
     [] { require(ef_read(fd, bytes, sizeof bytes) > 0 || errno == EAGAIN, "ef_read"); }, the_rest_can_be_read, 0},
    {"the_reader_asks_for_bytes", open_and_miss, [] { require(ef_watch(fd, EF_READ, &fd) >= 0, "ef_watch"); },
     the_rest_can_be_read, 0},
    {"the_reader_closes", open_and_miss,
     [] { require(ef_watch(fd, EF_CLOSE, &fd) == 0 && ef_close(fd) == 0, "ef_close"); },
     [] { wait_to_be_told(EF_CLOSE); }, EF_CLOSE},
};

trial held_before(long instruction, const scene &s, long *longest) {
  faulty::heal();
  std::fill(std::begin(told), std::end(told), 0);
  const trial t = stepped::hold_worker(instruction, s.start, s.meanwhile);
  if (t == trial::done) s.after();
  *longest = std::max(*longest, stepped::steps.load());
  require(ef_close(fd) == 0 || errno == EBADF, "ef_close");
  require(core::drain(port) == 0, "the port becomes idle");
  take_events();
  require(t != trial::done || !s.once || told[s.once] == 1, "one event");
  require(core::contents(path) == accepted, "the bytes");
  return t;
}

void every_place(void **state) {
  if (!stepped::install()) skip();
  const auto &s = *static_cast<const scene *>(*state);
  port = core::port_with(EF_ENGINE_THREADS);
  require(port && ef_port_fd(port) >= 0, "a port");
  long longest = 0;
  const long places = stepped::each_place(97, [&](long n) { return held_before(n, s, &longest); });
  std::printf("  held before %ld of its %ld instructions\n", places, longest);
  require(places > 2, "it was held");
  faulty::heal();
  require(ef_port_free(port) == 0, "ef_port_free");
}

} // namespace

int main() {
  faulty::install(set);
  faulty::now.memory_shown = false;
  dir = core::directory();
  const int failed = core::run_each(scenes, every_place);
  if (!failed) core::remove(dir);
  return failed;
}
