// SPDX-License-Identifier: BSD-2-Clause
// Every acknowledged line survives a power cut: power_cut TYPE DEVICE PLACE CUTS, with an empty file system of TYPE on
// DEVICE, not mounted. A writer works on it, its file system is shut down without its log, the writer is killed, and
// what is left is compared. Controls that acknowledge too early must lose lines. EFIO_SEED=n EFIO_TRIAL=m repeats one.
#include "cut_verify.hh"
#include "cut_writer.hh"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <new>

namespace {

using cut::verdict;

struct place {
  const char *type, *device, *at;
};
struct sums {
  std::uint64_t cuts, voided, acknowledged, lost, wrong, gone, losers, parts;
  std::uint64_t by_way[cut::ways_all][2]; // cuts behind an acknowledged line, lines
};

void need(bool good, const char *what) {
  if (!good) std::perror(what);
  stress::require(good, what);
}

void mount(const place &w) { need(::mount(w.device, w.at, w.type, 0, nullptr) == 0, "mount"); }
void unmount(const place &w) {
  int r = -1;
  for (int i = 0; i < 20000 && (r = ::umount2(w.at, 0)) < 0 && errno == EBUSY; ++i) ::usleep(500);
  need(r == 0, "umount");
}
void sync_all(const place &w, int (*call)(int)) {
  const int fd = ::open(w.at, O_RDONLY | O_DIRECTORY);
  need(fd >= 0 && call(fd) == 0, "syncfs");
  ::close(fd);
}

// What is in memory is lost from here on, the log's newest part, too. The answer tells whether that happened.
bool cut_power(const place &w) {
  constexpr unsigned long going_down = _IOR('X', 125, unsigned);
  unsigned without_log = 2;
  const int fd = ::open(w.at, O_RDONLY | O_DIRECTORY);
  const bool done = fd >= 0 && ::ioctl(fd, going_down, &without_log) == 0;
  ::close(fd);
  return done;
}

// The directory, and files where the plan does not create them: on the disk before the writer begins.
std::string prepare(const place &w, const cut::plan &p) {
  std::error_code bad;
  for (const auto &entry : std::filesystem::directory_iterator(w.at, bad))
    if (entry.path().filename() != "lost+found") std::filesystem::remove_all(entry.path(), bad);
  char name[32];
  std::snprintf(name, sizeof name, "/d%016llx", static_cast<unsigned long long>(p.seed));
  const std::string d = std::string(w.at) + name;
  need(::mkdir(d.c_str(), 0755) == 0, "mkdir");
  for (unsigned f = 0; f < p.files && !(p.flags & O_CREAT); ++f)
    ::close(::open((d + "/f" + std::to_string(f)).c_str(), O_WRONLY | O_CREAT, 0644));
  sync_all(w, ::syncfs);
  return d;
}

std::uint64_t copy(const std::atomic<std::uint32_t> (&from)[cut::files_most][cut::threads_most], cut::counts &to) {
  std::uint64_t sum = 0;
  for (unsigned f = 0; f < cut::files_most; ++f)
    for (unsigned t = 0; t < cut::threads_most; ++t)
      sum += to[f][t] = from[f][t].load(std::memory_order_acquire); // pairs with the writer's stores
  return sum;
}

cut::shared *new_shared() {
  void *m = ::mmap(nullptr, sizeof(cut::shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  need(m != MAP_FAILED, "mmap");
  return new (m) cut::shared{};
}

// Until something is acknowledged, for 2 s at most, if the plan says so; and a while more.
void wait_for_work(const cut::plan &p, const cut::shared &s) {
  static cut::counts unused;
  for (int i = 0; p.wait_for_line && i < 20000 && copy(s.acked, unused) == 0; ++i) ::usleep(100);
  ::usleep(p.delay_us);
}

// One writer, one cut. false: the power did not go.
bool cut_once(const place &w, const cut::plan &p, verdict *v) {
  static cut::shared *s = new_shared();
  new (s) cut::shared{};
  mount(w);
  const std::string d = prepare(w, p);
  const pid_t child = ::fork();
  need(child >= 0, "fork");
  if (child == 0) cut::write_until_killed(p, *s, d);
  wait_for_work(p, *s);
  static cut::counts acked, said;
  copy(s->acked, acked); // before the cut: what is acknowledged later may be lost
  copy(s->said, said);
  const int trouble = s->trouble.load(std::memory_order_relaxed);
  const bool done = cut_power(w);
  int status = 0;
  ::kill(child, SIGKILL);
  need(::waitpid(child, &status, 0) == child, "waitpid");
  unmount(w);
  mount(w);
  *v = cut::verifier(p, acked, said).look(d);
  unmount(w);
  if (trouble) ++v->wrong, v->first = std::string("the writer met: ") + std::strerror(trouble);
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) ++v->wrong, v->first = "the writer ended by itself";
  return done;
}

void complain(const place &w, std::uint64_t trial, const cut::plan &p, const verdict &v) {
  std::printf("FAILED on %s: %llu lost, %llu wrong; %s\n  EFIO_SEED=%llu EFIO_TRIAL=%llu: %s\n", w.type,
              static_cast<unsigned long long>(v.lost), static_cast<unsigned long long>(v.wrong), v.first.c_str(),
              static_cast<unsigned long long>(stress::seed()), static_cast<unsigned long long>(trial), told(p).c_str());
}

void add(sums &s, const cut::plan &p, const verdict &v) {
  std::uint64_t(&way)[2] = s.by_way[static_cast<int>(p.by)];
  way[0] += v.acknowledged > 0;
  way[1] += v.acknowledged;
  s.parts += v.parts;
  ++s.cuts;
  s.acknowledged += v.acknowledged;
  s.lost += v.lost;
  s.wrong += v.wrong;
  s.gone += v.gone;
  s.losers += v.lost > 0;
}

void trial(const place &w, std::uint64_t number, int control, sums &all) {
  const cut::plan p = cut::choose(number, control);
  verdict v;
  if (!cut_once(w, p, &v)) return (void)++all.voided;
  add(all, p, v);
  if (!control && v.lost + v.wrong) complain(w, number, p, v);
}

void tell(const place &w, const char *what, const sums &s) {
  std::printf("%s, %s: %llu cuts, %llu lines acknowledged, %llu of them lost in %llu cuts, %llu wrong; %llu others "
              "gone; %llu void\n",
              w.type, what, static_cast<unsigned long long>(s.cuts), static_cast<unsigned long long>(s.acknowledged),
              static_cast<unsigned long long>(s.lost), static_cast<unsigned long long>(s.losers),
              static_cast<unsigned long long>(s.wrong), static_cast<unsigned long long>(s.gone),
              static_cast<unsigned long long>(s.voided));
  std::fflush(stdout);
}

// Each way was at work when the power went, and so was each way to rename.
void tell_ways(const sums &s) {
  for (int i = 0; i < cut::ways_promised; ++i)
    std::printf("  %s: %llu cuts behind %llu lines\n", cut::way_names[i],
                static_cast<unsigned long long>(s.by_way[i][0]), static_cast<unsigned long long>(s.by_way[i][1]));
  std::printf("  %llu files\n", static_cast<unsigned long long>(s.parts));
}

// Each must be caught, or the cuts are none.
bool controls_lose(const place &w, std::uint64_t cuts) {
  const char *names[] = {"", "control: accepted", "control: flushed", "control: syncs that do nothing"};
  bool good = true;
  for (int control = 1; control <= 3; ++control) {
    sums s{};
    for (std::uint64_t n = 0; n < cuts; ++n) trial(w, n, control, s);
    tell(w, names[control], s);
    if (s.lost == 0) good = false, std::printf("FAILED: the control lost nothing\n");
  }
  return good;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL); // its script is gone: nobody would unmount
  const place w{argv[1], argv[2], argv[3]};
  const std::uint64_t cuts = std::strtoull(argv[4], nullptr, 10);
  stress::seed();
  sums s{};
  if (const char *only = std::getenv("EFIO_TRIAL"))
    trial(w, std::strtoull(only, nullptr, 10), 0, s);
  else
    for (std::uint64_t n = 0; n < cuts; ++n) trial(w, n, 0, s);
  tell(w, "promises", s);
  tell_ways(s);
  if (s.cuts == 0) return 77;
  const bool caught = std::getenv("EFIO_TRIAL") || controls_lose(w, std::max<std::uint64_t>(10, cuts / 60));
  return s.lost + s.wrong == 0 && s.voided < s.cuts && caught ? 0 : 1;
}
