// SPDX-License-Identifier: BSD-2-Clause
// A call that looks whether it has to wait is held before each of its instructions, while what it waits for happens:
// room in the buffer, bytes from the disk, a sync, a close. Whatever the place, it sees that, or exactly one event
// follows, and the port's descriptor tells of it.
#include "own_port.hh"
#include "stepped.hh"

#include <iterator>

namespace {

using core::port;
using stepped::soon;
using stepped::trial;
using stress::require;

std::string dir;
int fd; // of this trial
char bytes[8192];
ef_event taken;               // within the trial
std::atomic<bool> reads_hang; // those of threads

bool is_ready(unsigned bit) { return ef_ready(fd) & static_cast<int>(bit); }
ef_event told() { // the bell first, then the event
  pollfd q{ef_port_fd(port), POLLIN, 0};
  require(::poll(&q, 1, core::patience_ms) == 1, "the port's descriptor tells of the event");
  return core::next(port);
}
void told_once(unsigned bit) {
  const ef_event e = told();
  require(e.fd == fd && e.events == bit && e.error == 0, "the event");
}
void told_nothing_more() {
  ef_event e{};
  require(ef_port_next(port, &e, 1) == 0, "no second event");
}

// ---- Scenes: what is there before, the call, what happens meanwhile, and what has to follow

// A file whose budget is full, as its writes hang.
void fill() {
  ef_file_options o{};
  o.write_buffer_max = 128 * 1024;
  fd = core::open(dir + "/full", O_WRONLY | O_CREAT | O_TRUNC, o, port);
  core::wait(fd, EF_OPEN);
  faulty::now.hung = faulty::every_file;
  while (ef_write(fd, bytes, sizeof bytes) > 0) {}
  require(errno == EAGAIN && ef_watch(fd, 0, &fd) == 0, "full, and nobody has asked");
}
bool room_comes() {
  faulty::now.hung = -1;
  return soon([] { return is_ready(EF_WRITE); });
}
void after_write(ssize_t r, int error) {
  require(r == sizeof bytes || (r == -1 && error == EAGAIN), "ef_write");
  if (r < 0) told_once(EF_WRITE);
  require(r > 0 || ef_write(fd, bytes, sizeof bytes) == sizeof bytes, "what the event promises");
}
void after_watch(ssize_t r, int) {
  require(r == 0 || r == EF_WRITE, "ef_watch");
  if (r == 0) told_once(EF_WRITE);
}
void after_wait(ssize_t r, int) { require(r == EF_WRITE, "ef_wait ends, as there is room"); }

// A file whose reads miss.
void open_cold() {
  core::put(dir + "/cold", std::string(bytes, sizeof bytes));
  fd = core::open(dir + "/cold", O_RDONLY, {}, port);
  core::wait(fd, EF_OPEN);
  faulty::now.nowait_miss = 1024;
}
bool bytes_come() {
  reads_hang = false;
  return soon([] { return is_ready(EF_READ); });
}
void after_read(ssize_t r, int error) {
  require(r > 0 || (r == -1 && error == EAGAIN), "ef_read");
  if (r < 0) told_once(EF_READ);
  require(r > 0 || ef_read(fd, bytes, sizeof bytes) > 0, "what the event promises");
}

void miss() {
  open_cold();
  reads_hang = true;
  taken = {};
  require(ef_read(fd, bytes, sizeof bytes) == -1 && errno == EAGAIN, "a miss");
}
void loop_goes_on() { // what a ring has under way comes when its owner turns it
  ef_event e{};
  require(ef_port_next(port, &e, 1) >= 0 && (!e.events || !taken.events), "one event");
  if (e.events) taken = e;
}
bool another_thread_takes_what_the_engine_has() {
  reads_hang = false;
  return soon([] { return loop_goes_on(), is_ready(EF_READ); });
}
void after_waiting_for_bytes(ssize_t r, int) {
  require(r == EF_READ, "ef_wait ends, as there are bytes");
  if (taken.events == 0) told_once(EF_READ);
  require(ef_read(fd, bytes, sizeof bytes) > 0, "what the event promises");
}

// A file with bytes to sync, and one that is closed.
void write_some() {
  fd = core::open(dir + "/synced", O_WRONLY | O_CREAT | O_TRUNC, {}, port);
  core::wait(fd, EF_OPEN);
  core::write(fd, "some");
}
bool sync_comes() {
  return soon([] { return core::stats(fd).syncs > 0; });
}
void after_sync(ssize_t r, int) {
  require(r == 0, "ef_sync");
  told_once(EF_SYNC);
}
void write_and_watch_the_close() {
  write_some();
  require(ef_watch(fd, EF_CLOSE, &fd) == 0, "ef_watch");
}
bool closing_goes_on() {
  return soon([] { return ef_ready(fd) < 0; });
}
void after_close(ssize_t r, int) {
  require(r == 0, "ef_close");
  told_once(EF_CLOSE);
}

// An event is there to be taken, and a second one comes.
int second;
bool second_asked;
void sync_and_have_room() {
  write_some();
  second_asked = false;
  second = core::open(dir + "/second", O_WRONLY | O_CREAT | O_TRUNC, {}, port);
  core::wait(second, EF_OPEN);
  require(ef_sync(fd) == 0, "ef_sync");
  pollfd q{ef_port_fd(port), POLLIN, 0};
  require(::poll(&q, 1, core::patience_ms) == 1, "the first event");
}
bool another_sync_comes() {
  const auto before = core::stats(second).syncs;
  require(second_asked = ef_sync(second) == 0, "ef_sync");
  return soon([before] { return core::stats(second).syncs > before; });
}
void after_next(ssize_t r, int) {
  require(r == 1 && taken.events == EF_SYNC && taken.fd == fd, "the first event");
  if (second_asked) require(told().fd == second, "the second event");
  require(ef_close(second) == 0, "ef_close");
}

struct scene {
  const char *name;
  void (*set)();
  ssize_t (*call)();
  bool (*meanwhile)();
  void (*after)(ssize_t result, int error);
  void (*afterwards)() = nullptr; // until the call is over
};
constexpr scene scenes[] = {
    {"room_comes_while_a_write_is_refused", fill, [] { return ef_write(fd, bytes, sizeof bytes); }, room_comes,
     after_write},
    {"room_comes_while_it_is_asked_for", fill, [] { return static_cast<ssize_t>(ef_watch(fd, EF_WRITE, &fd)); },
     room_comes, after_watch},
    {"room_comes_while_a_thread_goes_to_sleep", fill,
     [] { return static_cast<ssize_t>(ef_wait(fd, EF_WRITE, core::patience_ms)); }, room_comes, after_wait},
    {"bytes_come_while_a_read_misses", open_cold, [] { return ef_read(fd, bytes, sizeof bytes); }, bytes_come,
     after_read},
    {"bytes_come_while_a_thread_goes_to_sleep", miss,
     [] { return static_cast<ssize_t>(ef_wait(fd, EF_READ, core::patience_ms)); }, bytes_come, after_waiting_for_bytes,
     loop_goes_on},
    {"another_thread_turns_the_engine_meanwhile", miss,
     [] { return static_cast<ssize_t>(ef_wait(fd, EF_READ, core::patience_ms)); },
     another_thread_takes_what_the_engine_has, after_waiting_for_bytes, loop_goes_on},
    {"a_sync_ends_while_it_is_asked_for", write_some, [] { return static_cast<ssize_t>(ef_sync(fd)); }, sync_comes,
     after_sync},
    {"a_file_is_closed_while_it_is_asked_for", write_and_watch_the_close,
     [] { return static_cast<ssize_t>(ef_close(fd)); }, closing_goes_on, after_close},
    {"an_event_comes_while_one_is_taken", sync_and_have_room,
     [] { return static_cast<ssize_t>(ef_port_next(port, &taken, 1)); }, another_sync_comes, after_next},
};

trial held_before(stepped::caller &caller, long instruction, const scene &s, long *count) {
  faulty::heal();
  s.set();
  const auto began = std::chrono::steady_clock::now();
  const trial t = caller.hold(
      instruction, s.call, [&] { *count += s.meanwhile(); }, s.afterwards);
  require(std::chrono::steady_clock::now() - began < std::chrono::milliseconds(core::patience_ms / 2),
          "no wake-up lost");
  faulty::now.hung = -1, reads_hang = false;
  s.after(caller.result, caller.error);
  told_nothing_more(); // closing would silence it
  require(ef_close(fd) == 0 || errno == EBADF, "ef_close");
  require(core::drain(port) == 0, "the port becomes idle");
  told_nothing_more();
  return t;
}

void every_place(void **state) {
  if (!stepped::install()) skip();
  const auto &s = *static_cast<const scene *>(*state);
  require((port = ef_port_new(nullptr)) && ef_port_fd(port) >= 0, "a port");
  stepped::caller caller;
  long count = 0;
  const long places = stepped::each_place(11, [&](long n) { return held_before(caller, n, s, &count); });
  std::printf("  held before %ld of its instructions; it had happened %ld times before it went on\n", places, count);
  // Behind the place where ef_sync asks there is little left of it.
  require(places > 0 && (count > 0 || s.after == after_sync), "calls were held, and what they wait for happened");
  faulty::heal();
  require(ef_port_free(port) == 0, "ef_port_free");
}

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) {
    t.preadv = [](int f, const iovec *v, int n, off_t at) {
      while (reads_hang) stepped::doze();
      return faulty::table.preadv(f, v, n, at);
    };
  });
  faulty::now.memory_shown = false;
  dir = core::directory();
  const int failed = core::run_each(scenes, every_place);
  if (!failed) core::remove(dir);
  return failed;
}
