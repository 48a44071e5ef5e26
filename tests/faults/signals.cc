// SPDX-License-Identifier: BSD-2-Clause
// A storm of signals, stops, and a date that jumps, while a process writes and reads: signals DIRECTORY COUNT. Every
// byte is right, no call says EINTR, and the library's threads take no signal. The control's thread does.
#include "child.hh"
#include "interrupted.hh"
#include "numbered.hh"

#include <sys/syscall.h>
#include <sys/time.h>

#include <functional>

namespace {

using child::pattern;

constexpr int storm_signals[] = {SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD, SIGIO};

thread_local constinit volatile std::sig_atomic_t of_host = false; // this thread is not the library's
std::atomic<long> taken{0}, taken_by_others{0}, monotonic_looks{0}, date_looks{0};
std::atomic<bool> date_jumps{false};
long storm_count = 100000;

void on_signal(int) { (of_host ? taken : taken_by_others).fetch_add(1, std::memory_order_relaxed); }

// ---- What /proc says of the threads

// The mask of a line such as "SigBlk:\t..." of a thread's status.
unsigned long mask_of(const std::string &task, const char *line) {
  FILE *f = std::fopen(("/proc/self/task/" + task + "/status").c_str(), "r");
  char text[300];
  unsigned long mask = 0;
  while (f && std::fgets(text, sizeof text, f))
    if (std::strncmp(text, line, std::strlen(line)) == 0) mask = std::strtoul(text + std::strlen(line), nullptr, 16);
  if (f) std::fclose(f);
  return mask & ~(3ul << 31); // those of the C library itself
}
template<class Body> int each_library_thread(Body body) {
  int count = 0;
  DIR *d = ::opendir("/proc/self/task");
  for (const dirent *e; d && (e = ::readdir(d));) {
    char name[32] = {};
    const int fd = ::open((std::string("/proc/self/task/") + e->d_name + "/comm").c_str(), O_RDONLY);
    const bool library = fd >= 0 && ::read(fd, name, sizeof name - 1) > 0 && std::strncmp(name, "efio-", 5) == 0;
    if (fd >= 0) ::close(fd);
    if (!library) continue;
    ++count;
    body(std::string(e->d_name));
  }
  if (d) ::closedir(d);
  return count;
}

void all_signals_are_blocked_there(bool expected = true) {
  unsigned long most = ~(3ul << 31);
  for (int s : {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) most &= ~(1ul << (s - 1));
  int open = 0;
  MUST(each_library_thread([&](const std::string &t) { open += (mask_of(t, "SigBlk:") & most) != most; }) > 1);
  MUST((open == 0) == expected);
}

// ---- The storm: another process that sends, to the process and to its threads one by one

void send_storm(pid_t to, bool stops) {
  stress::random dice(static_cast<unsigned>(to));
  for (long i = 0; i < storm_count && ::kill(to, 0) == 0; ++i) {
    ::kill(to, storm_signals[dice.below(5)]);
    if (i % 16 == 0) ::usleep(200);
    if (stops && i % (storm_count / 8) == 0) {
      ::kill(to, SIGSTOP);
      ::usleep(20000);
      ::kill(to, SIGCONT);
    }
  }
}
pid_t start_storm(bool stops) {
  struct sigaction a {};
  a.sa_handler = on_signal; // no SA_RESTART: what can say EINTR does
  for (int s : storm_signals) MUST(::sigaction(s, &a, nullptr) == 0);
  const pid_t me = ::getpid(), sender = ::fork();
  MUST(sender >= 0);
  if (sender == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    send_storm(me, stops);
    ::_exit(0);
  }
  return sender;
}

// The library's own threads are named one by one, too.
void poke_library_threads() {
  const pid_t me = ::getpid();
  each_library_thread([&](const std::string &t) { ::syscall(SYS_tgkill, me, std::atoi(t.c_str()), SIGUSR1); });
}

// ---- Work

bool may_be(int error) { return error == EAGAIN || error == EINPROGRESS; }

void write_lines(int fd, unsigned thread, const std::atomic<bool> &enough, std::uint32_t *lines) {
  static thread_local char text[numbered::line_most];
  for (std::uint32_t n = 1; !enough.load(std::memory_order_relaxed); ++n) {
    const std::size_t length = numbered::line(0, thread, n, text);
    while (ef_write(fd, text, length) < 0) {
      MUST(may_be(errno));
      MUST(ef_wait(fd, EF_WRITE, 20000) > 0);
    }
    *lines = n;
    if (n % 64 == 0) MUST(ef_wait(fd, EF_SYNC, 20000) == EF_SYNC);
    if (n % 16 == 0) ::usleep(100);
  }
}

void read_again_and_again(const std::atomic<bool> &enough) {
  ef_port *p = child::port_with(EF_ENGINE_AUTO);
  MUST(ef_port_fd(p) >= 0);
  child::requests r(p); // makes the file "in"
  const std::string all = pattern(child::requests::size);
  while (!enough.load(std::memory_order_relaxed)) {
    const int fd = child::open("in", O_RDONLY, {}, p);
    MUST(fd >= 0);
    MUST(child::read_all(fd) == all);
    MUST(ef_close(fd) == 0);
    r.begin();
    MUST(r.end() == child::requests::count);
  }
  child::close(r.fd(), p);
  MUST(ef_port_free(p) == 0);
}

// A thread that takes signals from the moment on when it is known as the host's.
template<class Body> std::thread host_thread(Body body) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  std::thread t([=] {
    of_host = true;
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    body();
  });
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  return t;
}

void work_under(int order, const std::function<void()> &until) {
  ::unlink(child::path("lines").c_str());
  ef_file_options o{};
  o.order = order;
  o.preallocate_bytes = 1 << 20;
  const int fd = child::open("lines", O_WRONLY | O_CREAT, o);
  std::atomic<bool> enough{false};
  std::uint32_t lines[3] = {};
  std::vector<std::thread> all;
  for (unsigned t = 0; t < 3; ++t)
    all.push_back(host_thread([&enough, &lines, fd, t] { write_lines(fd, t, enough, &lines[t]); }));
  all.push_back(host_thread([&enough] { read_again_and_again(enough); }));
  until();
  enough.store(true, std::memory_order_relaxed);
  for (std::thread &t : all) t.join();
  child::close(fd);
  const auto found = numbered::look(child::contents("lines"), 0);
  MUST(found.wrong.empty() && found.torn == 0);
  for (unsigned t = 0; t < 3; ++t) MUST(found.lines[t] == lines[t]);
}

void storm(int order, bool stops) {
  of_host = true;
  const unsigned long handled = mask_of(std::to_string(::getpid()), "SigCgt:");
  const pid_t sender = start_storm(stops);
  const unsigned long ours = mask_of(std::to_string(::getpid()), "SigCgt:");
  work_under(order, [=] {
    int status;
    for (int i = 0; ::waitpid(sender, &status, WNOHANG) != sender; ++i) {
      ::usleep(1000); // ends early, with each signal
      if (i % 64 == 0) poke_library_threads();
    }
  });
  all_signals_are_blocked_there();
  MUST(mask_of(std::to_string(::getpid()), "SigCgt:") == ours && ours != handled); // no handler of the library's
  MUST(taken_by_others.load(std::memory_order_relaxed) == 0);
  MUST(taken.load(std::memory_order_relaxed) > storm_count / 100); // the rest came while others of the kind waited
  std::printf("  %ld signals sent, %ld taken, all by the host's threads\n", storm_count,
              taken.load(std::memory_order_relaxed));
}
void storm_with_the_order_of_calls() { storm(EF_ORDER_CALL, false); }
void storm_with_the_order_of_threads() { storm(EF_ORDER_THREAD, false); }
void storm_with_stops() { storm(EF_ORDER_CALL, true); }

// Every other call of the kernel says EINTR.
void every_call_is_interrupted() {
  of_host = true;
  interrupted::every.store(2, std::memory_order_relaxed);
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) work_under(order, [] { ::usleep(500000); });
  interrupted::every.store(0, std::memory_order_relaxed);
  std::printf("  %ld calls interrupted\n", interrupted::count.load(std::memory_order_relaxed));
  MUST(interrupted::count.load(std::memory_order_relaxed) > 100);
}

// A loop's thread that sleeps in ef_wait for long is not woken for good by signals, nor for ever kept.
void waiting_lasts_as_long_as_asked() {
  of_host = true;
  const pid_t sender = start_storm(false);
  child::put("empty", "");
  const int fd = child::open("empty", O_RDWR);
  MUST(ef_wait(fd, EF_OPEN, 20000) == EF_OPEN);
  ef_file_options o{};
  const int fifo = ::mkfifo(child::path("fifo").c_str(), 0600);
  const int reader = ::open(child::path("fifo").c_str(), O_RDONLY | O_NONBLOCK);
  o.write_buffer_max = 128 << 10;
  const int full = child::open("fifo", O_WRONLY, o);
  MUST(fifo == 0 || errno == EEXIST);
  MUST(reader >= 0 && ef_wait(full, EF_OPEN, 20000) == EF_OPEN);
  const std::string all = pattern(1000);
  auto began = std::chrono::steady_clock::now();
  do { // until the pipe is full as well
    while (ef_write(full, all.data(), all.size()) > 0) {}
    began = std::chrono::steady_clock::now();
  } while (ef_wait(full, EF_WRITE, 300) != 0); // nobody reads: time is up, not sooner
  const auto took = std::chrono::steady_clock::now() - began;
  MUST(took >= std::chrono::milliseconds(300) && took < std::chrono::seconds(5));
  ::kill(sender, SIGKILL);
}

// ---- The clock: no date is looked at, and only the monotonic one counts

void the_date_does_not_matter() {
  of_host = true;
  date_jumps.store(true, std::memory_order_relaxed);
  ef_file_options o{};
  o.flush_interval_ms = 20;
  o.rotate_seconds = 2;
  o.durable_interval_ms = 20;
  ::unlink(child::path("dated").c_str());
  ::unlink(child::path("dated.1").c_str());
  const int fd = child::open("dated", O_WRONLY | O_CREAT, o);
  const auto began = std::chrono::steady_clock::now();
  std::string all;
  for (int i = 0; std::chrono::steady_clock::now() - began < std::chrono::milliseconds(1500); ++i, ::usleep(5000)) {
    const std::string line = std::to_string(i) + "\n";
    child::write(fd, line);
    all += line;
    MUST(child::stats(fd).oldest_ms < 3000);
  }
  MUST(::access(child::path("dated.1").c_str(), F_OK) != 0); // the date went on by years
  for (int i = 0; i < 5000 && child::stats(fd).synced < all.size(); ++i) ::usleep(1000);
  MUST(child::stats(fd).synced == all.size());
  ::usleep(600000);
  child::write(fd, "new\n"); // behind two seconds
  child::close(fd);
  MUST(child::contents("dated.1") == all && child::contents("dated") == "new\n");
  MUST(date_looks.load(std::memory_order_relaxed) == 0 && monotonic_looks.load(std::memory_order_relaxed) > 10);
}

// ---- Controls

// As if a thread of the library took signals.
void control_open_thread() {
  of_host = true;
  const int fd = child::open("control", O_WRONLY | O_CREAT);
  MUST(fd >= 0);
  std::thread([] {
    ::prctl(PR_SET_NAME, "efio-open");
    for (;;) ::pause();
  }).detach();
  ::usleep(20000);
  all_signals_are_blocked_there();
}
void control_taken_by_others() {
  std::thread([] {
    struct sigaction a {};
    a.sa_handler = on_signal;
    ::sigaction(SIGUSR1, &a, nullptr);
    ::raise(SIGUSR1);
  }).join();
  MUST(taken_by_others.load(std::memory_order_relaxed) == 0);
}
void control_date() {
  date_jumps.store(true, std::memory_order_relaxed);
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  MUST(date_looks.load(std::memory_order_relaxed) == 0);
}

} // namespace

// The date as the program sees it: it jumps, by years, with each look.
extern "C" int clock_gettime(clockid_t clock, timespec *t) noexcept {
  const long r = ::syscall(SYS_clock_gettime, clock, t);
  if (clock == CLOCK_MONOTONIC) monotonic_looks.fetch_add(1, std::memory_order_relaxed);
  if ((clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE) || !date_jumps.load(std::memory_order_relaxed))
    return static_cast<int>(r);
  t->tv_sec += (date_looks.fetch_add(1, std::memory_order_relaxed) % 2 ? 1 : -1) * 100000000L;
  return static_cast<int>(r);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  child::place = argv[1];
  storm_count = std::atol(argv[2]);
  stress::seed();
  const child::check controls[] = {{"control_open_thread", control_open_thread},
                                   {"control_taken_by_others", control_taken_by_others},
                                   {"control_date", control_date}};
  const child::check all[] = {
      {"storm_with_the_order_of_calls", storm_with_the_order_of_calls},
      {"storm_with_the_order_of_threads", storm_with_the_order_of_threads},
      {"storm_with_stops", storm_with_stops},
      {"every_call_is_interrupted", every_call_is_interrupted},
      {"waiting_lasts_as_long_as_asked", waiting_lasts_as_long_as_asked},
      {"the_date_does_not_matter", the_date_does_not_matter},
  };
  std::printf("controls, which must fail:\n");
  const bool caught = child::run_all(controls, 5) == 3;
  std::printf("signals:\n");
  return child::run_all(all, 120) == 0 && caught ? 0 : 1;
}
