// SPDX-License-Identifier: BSD-2-Clause
// The end of a process, and fork, in every state of the library: exit_and_fork DIRECTORY EXITS FORKS. exit writes what
// was accepted, _exit and abort leave what was written; a child is refused, writes nothing twice and can begin anew.
// EFIO_SEED=n repeats the choices. The controls must be found.
#include "busy.hh"
#include "limits.hh"

#include <sys/resource.h>

namespace {

constexpr int outcomes = 3;
enum class way { exits, exits_at_once, aborts }; // exit, _exit, abort
constexpr const char *way_names[outcomes] = {"exit", "_exit", "abort"};

struct sums {
  long trials, wrong, late;
};

std::uint64_t now_us() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

// ---- The end of a process

busy::counts *at_exit; // in shared memory: what was accepted when the end began

[[noreturn]] void live_and_end(std::uint64_t seed, way w) {
  stress::random dice(seed);
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  auto *p = new busy::process(seed);
  p->start();
  p->leave();
  if (dice.below(4))
    while (!busy::said->ready.load(std::memory_order_acquire)) ::usleep(100); // pairs with the reader
  ::usleep(static_cast<useconds_t>(dice.below(6000)));
  *at_exit = busy::accepted_now();
  busy::said->mark.store(now_us(), std::memory_order_relaxed);
  if (dice.below(8)) p->hush(); // or it goes on for the whole of the drain
  if (w == way::exits) std::exit(0);
  if (w == way::exits_at_once) ::_exit(0);
  std::abort();
}

bool ended_so(int status, way w) {
  return w == way::aborts ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT : status == 0;
}

// judged: by the promise of this way, which for controls is not the one taken.
void end_once(std::uint64_t seed, way w, way judged, sums &all) {
  busy::clear();
  *at_exit = {};
  const int status = child::status_of([=] { live_and_end(seed, w); });
  const std::uint64_t took = now_us() - busy::said->mark.load(std::memory_order_relaxed);
  ++all.trials;
  // Time up: the rest may be lost.
  const bool late = judged == way::exits && took > ef::limits::exit_drain_ms * 1000ull;
  all.late += late;
  std::string wrong = ended_so(status, w) ? "" : "it ended with " + child::told(status);
  if (wrong.empty()) wrong = busy::verdict(judged == way::exits && !late ? *at_exit : busy::counts{}, false);
  if (wrong.empty()) return;
  ++all.wrong;
  if (w == judged)
    std::printf("FAILED: %s; EFIO_SEED=%llu, trial %llu, %s\n", wrong.c_str(),
                static_cast<unsigned long long>(stress::seed()), static_cast<unsigned long long>(seed),
                way_names[static_cast<int>(w)]);
}

bool ends(long trials) {
  bool good = true;
  for (int w = 0; w < outcomes; ++w) {
    sums s{};
    const long count = w == 0 ? trials : trials / 4;
    for (long n = 0; n < count; ++n) end_once(static_cast<std::uint64_t>(n), way(w), way(w), s);
    std::printf("%s: %ld trials, %ld wrong, %ld of them took longer than the deadline\n", way_names[w], s.trials,
                s.wrong, s.late);
    std::fflush(stdout);
    good = good && s.wrong == 0 && s.late * 2 <= s.trials;
  }
  sums control{}; // _exit, with the promise of exit
  for (std::uint64_t n = 0; n < 20; ++n) end_once(n, way::exits_at_once, way::exits, control);
  std::printf("control: %ld trials, %ld lost lines\n", control.trials, control.wrong);
  if (control.wrong == 0) std::printf("FAILED: the control was not caught\n");
  return good && control.wrong > 0;
}

// ---- Fork

bool refused(ssize_t r) { return r == -1 && errno == ECHILD; }

void handles_are_refused(const int *fds) {
  char b[4];
  ef_request r{};
  for (unsigned f = 0; f < busy::files; ++f) {
    MUST(refused(ef_write(fds[f], "twice\n", 6)));
    MUST(refused(ef_read(fds[f], b, sizeof b)) && refused(ef_pread(fds[f], b, sizeof b, 0, &r)));
    MUST(refused(ef_flush(fds[f])) && refused(ef_sync(fds[f])) && refused(ef_reopen(fds[f])));
    MUST(refused(ef_wait(fds[f], EF_WRITE, 0)) && refused(ef_wait(fds[f], EF_SYNC, 0)));
    MUST(refused(ef_close(fds[f])));
  }
}

// A life of its own, with a new port.
void begin_anew(unsigned number) {
  const std::string name = "busy/child" + std::to_string(number % 16), all = child::pattern(3000 + number % 7 * 20000);
  ef_port *p = child::port_with(number % 2 ? EF_ENGINE_AUTO : EF_ENGINE_THREADS);
  MUST(ef_port_fd(p) >= 0);
  const int fd = child::open(name, O_RDWR | O_CREAT | O_TRUNC, {}, p);
  MUST(fd >= 0);
  child::write(fd, all);
  MUST(ef_wait(fd, EF_OPEN, 20000) == EF_OPEN);
  MUST(ef_seek(fd, 0, SEEK_SET) == 0);
  MUST(child::read_all(fd) == all);
  child::close(fd, p);
  MUST(child::contents(name) == all);
  MUST(ef_port_free(p) == 0);
}

// Now and then the child behaves as the library must not: it writes to the parent's file.
[[noreturn]] void live_as_child(const int *fds, unsigned number, bool control) {
  handles_are_refused(fds);
  if (control) {
    const int os = child::descriptor_of("busy/log0");
    if (os >= 0) (void)!::write(os, "twice\n", 6);
  }
  if (number % 4 == 0) begin_anew(number);
  if (number % 2) std::exit(0);
  ::_exit(0);
}

// A parent that works all the while, in a process of its own; two of its threads fork.
[[noreturn]] void fork_all_the_time(std::uint64_t seed, long forks, bool control) {
  busy::process p(seed);
  p.start();
  auto fork_some = [&](unsigned first) {
    stress::random dice(seed + first);
    for (long n = first; n < forks; n += 2) {
      const int status =
          child::status_of([&] { live_as_child(p.fds, static_cast<unsigned>(n), control && n % 8 == 3); });
      if (status != 0) std::printf("  child %ld: %s\n", n, child::told(status).c_str());
      MUST(status == 0);
      busy::said->mark.fetch_add(1, std::memory_order_relaxed);
      ::usleep(static_cast<useconds_t>(dice.below(500)));
    }
  };
  std::thread other([&] { fork_some(1); });
  fork_some(0);
  other.join();
  p.stop();
  std::exit(0);
}

std::string fork_round(std::uint64_t seed, long count, bool control) {
  busy::clear();
  const int status = child::status_of([=] { fork_all_the_time(seed, count, control); }, 100);
  if (status != 0) return "the parent ended with " + child::told(status);
  return busy::verdict(busy::accepted_now(), true);
}

bool forks(long count) {
  constexpr long a_round = 100;
  long done = 0, wrong = 0;
  for (std::uint64_t seed = 0; done < count; ++seed) {
    const std::string what = fork_round(seed, a_round, false);
    done += a_round;
    if (what.empty()) continue;
    ++wrong;
    std::printf("FAILED: %s; EFIO_SEED=%llu, round %llu\n", what.c_str(),
                static_cast<unsigned long long>(stress::seed()), static_cast<unsigned long long>(seed));
  }
  std::printf("fork: %ld children, %ld rounds of %ld wrong\n", done, wrong, a_round);
  const bool caught = fork_round(0, 40, true).starts_with("log0: "); // the file, not how the parent fared
  std::printf("control: children that write to their parent's file were %s\n", caught ? "found" : "FAILED: not found");
  return wrong == 0 && caught;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  child::place = argv[1];
  stress::seed();
  busy::make_shared();
  void *m = ::mmap(nullptr, sizeof(busy::counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  stress::require(m != MAP_FAILED, "mmap");
  at_exit = static_cast<busy::counts *>(m);
  const bool ended = ends(std::atol(argv[2])), forked = forks(std::atol(argv[3]));
  return ended && forked ? 0 : 1;
}
