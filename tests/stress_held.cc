// SPDX-License-Identifier: BSD-2-Clause
// Two threads and one file: a call of the one is held before each of its instructions in turn, while the other closes
// the file, writes to it or reads it, as far as it can without the first. Whatever the place, every call answers with
// what the manual allows, each byte accepted is in the file, and the port becomes idle.
#include "core_stress.hh"
#include "stepped.hh"

#include "file.hh"
#include "process.hh"

#include <iterator>

namespace {

using stepped::trial;
using stress::require;

const std::string before = "before ", of_warming = "warm ", of_held = "held ", of_other = "other ";
std::string dir;
int fd; // of this trial

struct held_call {
  const char *name;
  ssize_t (*run)();
  bool writes; // of_held, if it answers with its length
};
constexpr held_call calls[] = {
    {"ef_write_held", [] { return ef_write(fd, of_held.data(), of_held.size()); }, true},
    {"ef_writev_held",
     [] {
       iovec parts[] = {{const_cast<char *>(of_held.data()), 2},
                        {const_cast<char *>(of_held.data()) + 2, of_held.size() - 2}};
       return ef_writev(fd, parts, 2);
     },
     true},
    {"ef_read_held",
     [] {
       char b[4];
       return ef_read(fd, b, sizeof b);
     },
     false},
    {"ef_sync_held", [] { return static_cast<ssize_t>(ef_sync(fd)); }, false},
    {"ef_watch_held", [] { return static_cast<ssize_t>(ef_watch(fd, EF_WRITE | EF_SYNC, &fd)); }, false},
    {"ef_seek_held", [] { return static_cast<ssize_t>(ef_seek(fd, 2, SEEK_SET)); }, false},
    {"ef_close_held", [] { return static_cast<ssize_t>(ef_close(fd)); }, false},
};

// ---- What the other thread does meanwhile

bool lane_ends() {
  return stepped::soon([] {
    const ef::file *f = ef::files.at(ef::slot_of(fd));
    return f->lane.load(std::memory_order_acquire) == ef::lane_state::ended;
  });
}
// True: he is closed, and all was done that can be done without the held call's end.
bool closes() {
  require(ef_close(fd) == 0 || errno == EBADF, "ef_close");
  return lane_ends();
}
bool writes() {
  const ssize_t r = ef_write(fd, of_other.data(), of_other.size());
  require(r == static_cast<ssize_t>(of_other.size()) || (r < 0 && errno == EBADF), "all of it, or closed");
  return r > 0;
}
bool reads() {
  char b[4];
  const ssize_t r = ef_read(fd, b, sizeof b);
  require(r >= 0 || errno == EAGAIN || errno == EBUSY || errno == EBADF, "ef_read");
  return r >= 0 || errno == EAGAIN;
}
struct other_call {
  const char *name;
  bool (*run)();
  bool writes;
};
constexpr other_call others[] = {{"closes", closes, false}, {"writes", writes, true}, {"reads", reads, false}};

// ---- One trial

trial held_before(stepped::caller &caller, long instruction, const held_call &call, const other_call &other, bool fresh,
                  long *count) {
  core::put(dir + "/f", before);
  fd = core::open(dir + "/f", O_RDWR | O_APPEND);
  core::wait(fd, EF_OPEN);
  std::string there_before = before;
  if (!fresh) {
    core::write(fd, of_warming);
    there_before += of_warming;
  }
  bool did = false;
  const trial t = caller.hold(instruction, call.run, [&] { *count += did = other.run(); });
  const ssize_t r = caller.result;
  const bool wrote = call.writes && r == static_cast<ssize_t>(of_held.size());
  require(r >= 0 || caller.error == EAGAIN || caller.error == EBADF || caller.error == EBUSY, call.name);
  require(ef_close(fd) == 0 || errno == EBADF, "ef_close");
  require(core::drain(nullptr) == 0, "the port becomes idle");
  std::string text = core::contents(dir + "/f");
  require(text.compare(0, there_before.size(), there_before) == 0, "what was there stays");
  text.erase(0, there_before.size());
  const std::string first = wrote ? of_held : "", second = did && other.writes ? of_other : "";
  require(text == first + second || text == second + first, "what was accepted, each once");
  return t;
}

// One test a call, of a file that has had no writer and of one that has.
void every_place(void **state) {
  if (!stepped::install()) skip();
  const auto &call = *static_cast<const held_call *>(*state);
  stepped::caller caller;
  for (int kind = 0; kind < 2 * static_cast<int>(std::size(others)); ++kind) {
    const other_call &other = others[kind / 2];
    const bool fresh = kind % 2 == 0;
    long count = 0;
    const long places =
        stepped::each_place(17, [&](long n) { return held_before(caller, n, call, other, fresh, &count); });
    std::printf("  held before %ld of its instructions, %s; the other %s, and had done it %ld times\n", places,
                fresh ? "file without a writer" : "file with one", other.name, count);
    require(places > 0 && count > 0, "calls were held, and others got on");
  }
}

} // namespace

int main() {
  dir = core::directory();
  const int failed = core::run_each(calls, every_place);
  if (!failed) core::remove(dir);
  return failed;
}
