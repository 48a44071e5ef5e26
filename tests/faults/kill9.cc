// SPDX-License-Identifier: BSD-2-Clause
// SIGKILL, at random times and at each system call on files: kill9 PLACE TRIALS. What the library had said was written
// is there, a whole prefix of each thread's lines, each once, without a hole. EFIO_SEED=n EFIO_TRIAL=m repeats one.
#include "numbered.hh"
#include "stress.hh"
#include "sys.hh"

#include <efio.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <filesystem>

namespace {

constexpr unsigned files_most = 3;
enum class renaming { none, rotated, reopened };
enum class moment { before, after, half_done }; // of the call at which the process is killed

// The last three are controls: something that the library does not do.
enum class lie { none, accepted_is_written, hole, twice };

struct plan {
  unsigned files, threads, lines; // lines: of each thread in all; 0: until killed
  renaming renames;
  int flags;
  bool syncs;
  unsigned delay_us, pause_us;
  ef_file_options options;
  std::uint64_t kill_at; // the number of a call; 0: from outside
  moment when;
  lie told;
};

// Outlives the writer: all that was stored before the kill was said before it.
struct shared {
  std::atomic<std::uint64_t> accepted[files_most], written[files_most], calls;
  std::atomic<int> trouble, site_reached;
};

struct sums {
  std::uint64_t trials, caught, voided, bytes, torn;
};

const plan *the_plan;
shared *said;
std::string place;

void need(bool good, const char *what) {
  if (!good) std::perror(what);
  stress::require(good, what);
}

// ---- The calls of the library, one of which kills

[[noreturn]] void die() {
  said->site_reached.store(1, std::memory_order_relaxed);
  for (;;) ::kill(::getpid(), SIGKILL);
}
bool this_one() { return said->calls.fetch_add(1, std::memory_order_relaxed) + 1 == the_plan->kill_at; }

template<class Call> auto around(Call call) {
  const bool kills = this_one();
  if (kills && the_plan->when != moment::after) die();
  const auto r = call();
  if (kills) die();
  return r;
}
// The first half of the bytes.
template<class Call> ssize_t around_write(const iovec *iov, int count, Call call) {
  const bool kills = this_one();
  if (kills && the_plan->when == moment::before) die();
  if (kills && the_plan->when == moment::half_done) {
    iovec part{iov->iov_base, count > 1 ? iov->iov_len : (iov->iov_len + 1) / 2};
    call(&part, 1);
    die();
  }
  if (the_plan->told == lie::twice && said->calls.load(std::memory_order_relaxed) % 2 == 0) {
    iovec doubled[1024];
    std::copy(iov, iov + count, doubled);
    doubled[count % 1024] = *iov;
    return std::max<ssize_t>(0, call(doubled, std::min(count + 1, 1024)) - static_cast<ssize_t>(iov->iov_len));
  }
  const ssize_t r = call(iov, count);
  if (kills) die();
  return r;
}

template<auto Member> struct counted; // the entry of the kernel's table, as a function of its own
template<class R, class... A, R (*ef::sys_table::*Member)(A...)> struct counted<Member> {
  static R call(A... a) {
    return around([&] { return (ef::sys_kernel.*Member)(a...); });
  }
};

ssize_t do_pwritev(int fd, const iovec *iov, int count, off_t offset) {
  const off_t hole = the_plan->told == lie::hole && offset > 4096 ? 512 : 0;
  return around_write(iov, count,
                      [=](const iovec *v, int n) { return ef::sys_kernel.pwritev(fd, v, n, offset + hole); });
}
ssize_t do_writev(int fd, const iovec *iov, int count) {
  return around_write(iov, count, [=](const iovec *v, int n) { return ef::sys_kernel.writev(fd, v, n); });
}

void install() {
  using table = ef::sys_table;
  static table t = ef::sys_kernel;
  t.openat = counted<&table::openat>::call;
  t.close = counted<&table::close>::call;
  t.duplicate = counted<&table::duplicate>::call;
  t.replace = counted<&table::replace>::call;
  t.rename = counted<&table::rename>::call;
  t.lock = counted<&table::lock>::call;
  t.fdatasync = counted<&table::fdatasync>::call;
  t.write_back = counted<&table::write_back>::call;
  t.allocate = counted<&table::allocate>::call;
  t.release_behind = counted<&table::release_behind>::call;
  t.sync_system = counted<&table::sync_system>::call;
  t.sync_parent = counted<&table::sync_parent>::call;
  t.pwritev = do_pwritev;
  t.writev = do_writev;
  ef::sys = &t;
}

// ---- The process that is killed

std::string name_of(unsigned file) { return "log" + std::to_string(file); }
std::string path_of(unsigned file) { return place + "/" + name_of(file); }

[[noreturn]] void troubled(int error) {
  said->trouble.store(error ? error : ENODATA, std::memory_order_relaxed);
  ::_exit(1);
}
void check(bool good) {
  if (!good) troubled(errno);
}

void note(unsigned file, int fd) {
  ef_file_counters c{};
  c.size = sizeof c;
  check(ef_file_stats(fd, &c) == 0);
  const std::uint64_t now = the_plan->told == lie::accepted_is_written ? c.accepted : c.written;
  std::uint64_t before = said->written[file].load(std::memory_order_relaxed);
  while (before < now && !said->written[file].compare_exchange_weak(before, now, std::memory_order_relaxed)) {}
}

void write_lines(const plan &p, unsigned thread, const int *fds) {
  static thread_local char text[numbered::line_most];
  const unsigned file = thread % p.files;
  for (std::uint32_t n = 1; p.lines == 0 || n <= p.lines; ++n) {
    const std::size_t length = numbered::line(file, thread, n, text);
    while (ef_write(fds[file], text, length) < 0) {
      check(errno == EAGAIN);
      check(ef_wait(fds[file], EF_WRITE, -1) >= 0);
    }
    said->accepted[file].fetch_add(length, std::memory_order_relaxed);
    if (n % 4 == 0) note(file, fds[file]);
    if (p.syncs && n % 16 == 0) check(ef_sync(fds[file]) == 0);
    if (p.lines ? n % 8 == 0 : n % 64 == 0) check(ef_flush(fds[file]) == 0);
    if (p.pause_us && n % 8 == 0) ::usleep(p.pause_us);
  }
}

void reopen_some(const plan &p, const int *fds, const std::atomic<bool> &enough) {
  for (unsigned count = 1; !enough.load(std::memory_order_relaxed); ++count)
    for (unsigned f = 0; f < p.files; ++f) {
      check(ef_wait(fds[f], EF_OPEN, -1) == EF_OPEN);
      check(::rename(path_of(f).c_str(), (path_of(f) + "." + std::to_string(count)).c_str()) == 0);
      check(ef_reopen(fds[f]) == 0);
      ::usleep(300);
    }
}

[[noreturn]] void write_until_killed(const plan &p) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  install();
  int fds[files_most];
  for (unsigned f = 0; f < p.files; ++f)
    check((fds[f] = ef_openat(nullptr, AT_FDCWD, path_of(f).c_str(), p.flags, 0644, &p.options)) >= 0);
  std::atomic<bool> enough{false};
  std::vector<std::thread> all;
  for (unsigned t = 0; t < p.threads; ++t) all.emplace_back([&, t] { write_lines(p, t, fds); });
  std::thread renamer;
  if (p.renames == renaming::reopened) renamer = std::thread([&] { reopen_some(p, fds, enough); });
  for (std::thread &t : all) t.join();
  enough.store(true, std::memory_order_relaxed);
  if (renamer.joinable()) renamer.join();
  for (unsigned f = 0; f < p.files; ++f) {
    check(ef_wait(fds[f], EF_OPEN, -1) == EF_OPEN);
    check(ef_close(fds[f]) == 0);
  }
  check(ef_drain(nullptr, 20000) == 0);
  for (unsigned f = 0; f < p.files; ++f)
    said->written[f].store(said->accepted[f].load(std::memory_order_relaxed), std::memory_order_relaxed);
  ::_exit(0);
}

// ---- One trial

// What is wrong with the files that were left, or nothing.
std::string verdict(const plan &p, sums &all) {
  if (int e = said->trouble.load(std::memory_order_relaxed)) return std::string("the writer met: ") + std::strerror(e);
  for (unsigned f = 0; f < p.files; ++f) {
    const auto r = numbered::look(numbered::all_parts(place, name_of(f), p.renames == renaming::reopened), f);
    const std::uint64_t promised = said->written[f].load(std::memory_order_relaxed);
    all.bytes += promised;
    all.torn += r.torn > 0;
    if (!r.wrong.empty()) return name_of(f) + ": " + r.wrong;
    if (r.bytes < promised)
      return name_of(f) + ": " + std::to_string(r.bytes) + " bytes of " + std::to_string(promised) + " written";
  }
  return "";
}

// The answer: how the writer ended.
int run(const plan &p) {
  new (said) shared{};
  std::error_code bad;
  std::filesystem::remove_all(place, bad);
  need(::mkdir(place.c_str(), 0755) == 0, "directory");
  the_plan = &p;
  const pid_t child = ::fork();
  need(child >= 0, "fork");
  if (child == 0) write_until_killed(p);
  if (!p.kill_at && !p.lines) {
    for (int i = 0; i < 20000 && said->calls.load(std::memory_order_relaxed) < 2; ++i) ::usleep(100);
    ::usleep(p.delay_us);
    ::kill(child, SIGKILL);
  }
  int status;
  need(::waitpid(child, &status, 0) == child, "waitpid");
  return status;
}

bool was_killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

std::string told(const plan &p) {
  char s[200];
  std::snprintf(s, sizeof s, "%u files, %u threads, order %d, renames %d, flags %#o, syncs %d, call %llu, moment %d",
                p.files, p.threads, p.options.order, static_cast<int>(p.renames), static_cast<unsigned>(p.flags),
                p.syncs, static_cast<unsigned long long>(p.kill_at), static_cast<int>(p.when));
  return s;
}

bool judge(const plan &p, int status, const std::string &trial, sums &all) {
  const bool as_meant = was_killed(status) && (!p.kill_at || said->site_reached.load(std::memory_order_relaxed));
  if (!as_meant) ++all.voided;
  ++all.trials;
  const std::string wrong = verdict(p, all);
  if (wrong.empty()) return true;
  ++all.caught;
  if (p.told == lie::none)
    std::printf("FAILED: %s; EFIO_SEED=%llu %s: %s\n", wrong.c_str(), static_cast<unsigned long long>(stress::seed()),
                trial.c_str(), told(p).c_str());
  return false;
}

// ---- Plans

plan choose(std::uint64_t trial) {
  stress::random dice(trial);
  plan p{};
  p.files = 1 + static_cast<unsigned>(dice.below(files_most));
  p.threads = 1 + static_cast<unsigned>(dice.below(6));
  p.renames = static_cast<renaming>(dice.below(3));
  p.flags = O_WRONLY | O_CREAT | (dice.below(2) ? O_APPEND : 0);
  p.syncs = dice.below(4) == 0;
  p.delay_us = static_cast<unsigned>(200 + dice.below(dice.below(16) ? 3000 : 30000));
  p.pause_us = dice.below(4) ? static_cast<unsigned>(1 + dice.below(200)) : 0;
  p.options.size = sizeof p.options;
  p.options.order = dice.below(2) ? EF_ORDER_CALL : EF_ORDER_THREAD;
  p.options.write_buffer_max = dice.below(2) ? 128 << 10 : 0;
  p.options.flush_interval_ms = dice.below(2) ? 1 : 0;
  p.options.preallocate_bytes = dice.below(4) ? 0 : 1 << 20;
  if (p.renames == renaming::rotated) {
    p.options.rotate_bytes = 65536u << dice.below(6);
    p.options.rotate_keep = 1000;
  }
  return p;
}

bool at_random(std::uint64_t trials, lie told, sums &all) {
  bool good = true;
  const char *only = std::getenv("EFIO_TRIAL");
  for (std::uint64_t n = only ? std::strtoull(only, nullptr, 0) : 0; n < trials || only; ++n) {
    plan p = choose(n);
    p.told = told;
    good = judge(p, run(p), "EFIO_TRIAL=" + std::to_string(n), all) && good;
    if (only) break;
  }
  return good;
}

// Every call of a scenario that ends by itself, before, after, and in the middle of it.
bool at_each_call(const plan &scenario, sums &all) {
  plan p = scenario;
  bool good = run(p) == 0;
  sums unused{};
  if (!good || !verdict(p, unused).empty()) return std::printf("FAILED: not even without a kill\n"), false;
  const std::uint64_t calls = said->calls.load(std::memory_order_relaxed);
  for (p.kill_at = 1; p.kill_at <= calls; ++p.kill_at)
    for (moment m : {moment::before, moment::after, moment::half_done}) {
      p.when = m;
      good = judge(p, run(p), "", all) && good;
    }
  return good;
}

bool at_calls(sums &all) {
  bool good = true;
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD})
    for (renaming r : {renaming::none, renaming::rotated, renaming::reopened}) {
      plan p{};
      p.files = r == renaming::none ? 2 : 1;
      p.threads = 2;
      p.lines = 48;
      p.renames = r;
      p.syncs = true;
      p.flags = O_WRONLY | O_CREAT;
      p.options.size = sizeof p.options;
      p.options.order = order;
      p.options.preallocate_bytes = 1 << 20;
      p.options.rotate_bytes = r == renaming::rotated ? 4096 : 0;
      p.options.rotate_keep = 100;
      good = at_each_call(p, all) && good;
    }
  return good;
}

void tell(const char *what, const sums &s) {
  std::printf("%s: %llu kills, %llu wrong, %llu void, %llu bytes had been said to be written, %llu files torn at their "
              "end\n",
              what, static_cast<unsigned long long>(s.trials), static_cast<unsigned long long>(s.caught),
              static_cast<unsigned long long>(s.voided), static_cast<unsigned long long>(s.bytes),
              static_cast<unsigned long long>(s.torn));
  std::fflush(stdout);
}

bool controls_are_caught(std::uint64_t trials) {
  const char *names[] = {"", "control: what is accepted is said to be written", "control: a hole", "control: twice"};
  bool good = true;
  for (lie l : {lie::accepted_is_written, lie::hole, lie::twice}) {
    sums s{};
    at_random(trials, l, s);
    tell(names[static_cast<int>(l)], s);
    if (s.caught == 0) good = false, std::printf("FAILED: the control was not caught\n");
  }
  return good;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  place = std::string(argv[1]) + "/efio-kill9";
  const std::uint64_t trials = std::strtoull(argv[2], nullptr, 10);
  stress::seed();
  void *m = ::mmap(nullptr, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  need(m != MAP_FAILED, "mmap");
  said = static_cast<shared *>(m);
  sums random{}, sites{};
  bool good = at_random(trials, lie::none, random);
  tell("at random", random);
  if (!std::getenv("EFIO_TRIAL")) {
    good = at_calls(sites) && good;
    tell("at each call", sites);
    good = controls_are_caught(std::max<std::uint64_t>(20, trials / 50)) && good;
    good = good && sites.voided * 2 < sites.trials && random.voided * 10 < random.trials;
  }
  std::error_code bad;
  std::filesystem::remove_all(place, bad);
  return good ? 0 : 1;
}
