// SPDX-License-Identifier: BSD-2-Clause
// Two threads and one file: a call of the one is held before each of its instructions in turn, while the other closes
// the file, writes to it or reads it, as far as it can without the first. Whatever the place, every call answers with
// what the manual allows, each byte accepted is in the file, and the port becomes idle.
#include "core_stress.hh"
#include "stepped.hh"

#include "file.hh"
#include "process.hh"

#include <iterator>
#include <semaphore>

namespace {

using stress::require;

const std::string before = "before ", of_warming = "warm ", of_held = "held ", of_other = "other ";
std::string dir;
int fd;         // of this trial
ssize_t result; // of the call that is held
int result_errno;

// ---- The thread whose calls are held: always the same, so that its memory of files goes on from trial to trial

struct held_call {
  const char *name;
  ssize_t (*run)();
  bool writes; // of_held, if it answers with its length
};
const held_call *wanted; // none: the thread ends
std::binary_semaphore begin{0}, over{0};

void caller() {
  for (;;) {
    begin.acquire();
    if (!wanted) return;
    stepped::run([] {
      result = wanted->run();
      result_errno = errno;
    });
    over.release();
  }
}

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

bool lane_ends(int ms) {
  for (int i = 0; i < 20 * ms; ++i) {
    ef::file *f = ef::files.at(ef::slot_of(fd));
    if (!f || f->lane.load(std::memory_order_acquire) == ef::lane_state::ended) return true;
    const timespec moment{0, 1};
    ::nanosleep(&moment, nullptr);
  }
  return false;
}
// True: he is closed, and all was done that can be done without the held call's end.
bool closes() {
  require(ef_close(fd) == 0 || errno == EBADF, "ef_close");
  return lane_ends(2);
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
  return r >= 0;
}
struct other_call {
  const char *name;
  bool (*run)();
  bool writes;
};
constexpr other_call others[] = {{"closes", closes, false}, {"writes", writes, true}, {"reads", reads, false}};

// ---- One trial

enum class trial { done, too_late, no_such_instruction }; // too late: the call went on before the other had begun

trial held_before(long instruction, const held_call &call, const other_call &other, bool fresh, long *done) {
  core::put(dir + "/f", before);
  fd = core::open(dir + "/f", O_RDWR | O_APPEND);
  core::wait(fd, EF_OPEN);
  std::string there_before = before;
  if (!fresh) {
    core::write(fd, of_warming);
    there_before += of_warming;
  }
  wanted = &call;
  stepped::prepare(instruction);
  begin.release();
  bool there = false, did = false;
  for (;;) {
    there = stepped::held.load(std::memory_order_acquire);
    if (there || over.try_acquire_for(std::chrono::microseconds(20))) break;
  }
  if (there) {
    did = other.run();
    *done += did;
    stepped::go_on = true;
    over.acquire();
  }
  const bool wrote = call.writes && result == static_cast<ssize_t>(of_held.size());
  require(result >= 0 || result_errno == EAGAIN || result_errno == EBADF || result_errno == EBUSY, call.name);
  require(ef_close(fd) == 0 || errno == EBADF, "ef_close");
  require(core::drain(nullptr) == 0, "the port becomes idle");
  std::string text = core::contents(dir + "/f");
  require(text.compare(0, there_before.size(), there_before) == 0, "what was there stays");
  text.erase(0, there_before.size());
  const std::string first = wrote ? of_held : "", second = did && other.writes ? of_other : "";
  require(text == first + second || text == second + first, "what was accepted, each once");
  if (there) return trial::done;
  return stepped::held ? trial::too_late : trial::no_such_instruction;
}

// One test a call, of a file that has had no writer and of one that has; every eleventh place, others in each run; with
// EFIO_LONG=1 every place.
void every_place(void **state) {
  if (!stepped::install()) skip();
  const auto &call = *static_cast<const held_call *>(*state);
  const long step = std::getenv("EFIO_LONG") ? 1 : 11;
  const long first = static_cast<long>(stress::seed() % static_cast<std::uint64_t>(step));
  std::thread held(caller);
  for (int kind = 0; kind < 2 * static_cast<int>(std::size(others)); ++kind) {
    const other_call &other = others[kind / 2];
    const bool fresh = kind % 2 == 0;
    long trials = 0, done = 0;
    for (trial t; (t = held_before(first + trials * step, call, other, fresh, &done)) != trial::no_such_instruction;)
      trials += t == trial::done;
    std::printf("  held before %ld of its instructions, %s; the other %s, and had done it %ld times\n", trials,
                fresh ? "file without a writer" : "file with one", other.name, done);
    // A reader of a file with accepted bytes waits until they are written.
    require(trials > 0 && (done > 0 || !fresh), "calls were held, and others got on");
  }
  wanted = nullptr;
  begin.release();
  held.join();
}

} // namespace

int main() {
  dir = core::directory();
  CMUnitTest tests[std::size(calls)] = {};
  for (std::size_t i = 0; i < std::size(calls); ++i) {
    tests[i] = cmocka_unit_test(every_place);
    tests[i].name = calls[i].name;
    tests[i].initial_state = const_cast<held_call *>(&calls[i]);
  }
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
