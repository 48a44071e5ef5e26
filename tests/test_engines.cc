// SPDX-License-Identifier: BSD-2-Clause
// Which engine a port takes, why it says so, and who really reads: a ring where there is one and its owner asks,
// threads everywhere else. What is found out once for a process is asked in a child of its own.
#include "faulty.hh"
#include "limits.hh"

#include "core.hh"

#include <linux/io_uring.h>
#include <sys/syscall.h>

#include <chrono>
#include <functional>

#ifndef EF_HAVE_URING
#define EF_HAVE_URING 0
#endif

namespace {

constexpr std::size_t bytes = 300000;
std::string path;
std::atomic<long> rings, ring_reads, thread_reads;

// ---- What is counted, beneath the library

int count_setup(unsigned entries, io_uring *ring, io_uring_params *params) {
  const int r = faulty::table.uring_setup(entries, ring, params);
  if (r == 0) ++rings;
  return r;
}
ssize_t count_result(ssize_t result) {
  ++ring_reads;
  return faulty::table.uring_result(result);
}
ssize_t count_preadv(int fd, const iovec *iov, int count, off_t offset) {
  ++thread_reads;
  return faulty::table.preadv(fd, iov, count, offset);
}

const ef::sys_table counting = [] {
  ef::sys_table t = faulty::table;
  t.uring_setup = count_setup;
  t.uring_result = count_result;
  t.preadv = count_preadv;
  return t;
}();

void count_from_here() { rings = ring_reads = thread_reads = 0; }

// ---- What a child does, and says

// The first of these that is not so ends the child, and is told by the parent.
void need(bool good, const char *what) {
  if (good) return;
  std::printf("  %s (errno %d)\n", what, errno);
  std::fflush(stdout);
  ::_exit(1);
}
#define NEED(condition) need(condition, #condition)

void in_a_child(const std::function<void()> &body) {
  assert_int_equal(core::in_child([&] { return body(), 0; }), 0);
}

// In this process, with its privileges and limits: as large as the library's.
#if EF_HAVE_URING
bool rings_can_be_made() {
  io_uring_params params{};
  params.flags = IORING_SETUP_CQSIZE;
  params.cq_entries = ef::limits::ring_completions;
  const long fd = ::syscall(425, ef::limits::ring_entries, &params);
  if (fd >= 0) ::close(static_cast<int>(fd));
  return fd >= 0 && (params.features & IORING_FEAT_NATIVE_WORKERS);
}
constexpr bool built_in = true;
#else
bool rings_can_be_made() { return false; }
constexpr bool built_in = false;
#endif

ef_port *port_of(int engine, ef_wake_fn *wake = nullptr, ef_notify_fn *notify = nullptr) {
  ef_port_options o{};
  o.size = sizeof o;
  o.engine = engine;
  o.wake = wake;
  o.notify = notify;
  ef_port *p = ef_port_new(&o);
  NEED(p);
  return p;
}
ef_port_counters counters(ef_port *p) {
  ef_port_counters c{};
  c.size = sizeof c;
  NEED(ef_port_stats(p, &c) == 0);
  return c;
}
bool is(ef_port *p, int engine, const char *name, const char *because) {
  const ef_port_counters c = counters(p);
  const bool good =
      c.engine == engine && std::strcmp(c.engine_name, name) == 0 && std::strstr(c.engine_reason, because);
  if (!good) std::printf("  wanted %s: ...%s..., got %s: %s\n", name, because, c.engine_name, c.engine_reason);
  return good;
}
bool is_uring(ef_port *p, const char *because) { return is(p, EF_ENGINE_URING, "uring", because); }
bool is_threads(ef_port *p, const char *because) { return is(p, EF_ENGINE_THREADS, "threads", because); }

// The whole file, nothing of which is found in memory; `wait` brings the events.
void read_through(ef_port *p, const std::function<void()> &wait) {
  faulty::now.nowait_miss = 1024;
  const int fd = ef_openat(p, AT_FDCWD, path.c_str(), O_RDONLY, 0, nullptr);
  NEED(fd >= 0 && ef_wait(fd, EF_OPEN, core::patience_ms) == EF_OPEN);
  static const std::string all = core::pattern(bytes);
  static char b[50000];
  std::size_t at = 0;
  for (ssize_t r; (r = ef_read(fd, b, sizeof b)) != 0;) {
    if (r < 0) {
      NEED(errno == EAGAIN);
      wait();
      continue;
    }
    NEED(at + static_cast<std::size_t>(r) <= bytes &&
         std::memcmp(b, all.data() + at, static_cast<std::size_t>(r)) == 0);
    at += static_cast<std::size_t>(r);
  }
  NEED(at == bytes);
  NEED(ef_close(fd) == 0 && ef_drain(p, core::patience_ms) == 0);
}
// As a loop that polls the port's descriptor.
void read_as_owner(ef_port *p) {
  ef_event e;
  NEED(ef_port_fd(p) >= 0);
  NEED(ef_port_next(p, &e, 1) == 0); // from here on it is the owner
  count_from_here();
  read_through(p, [p] { NEED(core::next(p).events == EF_READ); });
}

// ---- The choice

void the_best_engine_is_taken_and_tells_why(void **) {
  in_a_child([] {
    ef_port *p = port_of(EF_ENGINE_AUTO);
    if (rings_can_be_made())
      NEED(is_uring(p, "io_uring works here"));
    else
      NEED(is_threads(p, ""));
    NEED(counters(p).engine_reason != nullptr && *counters(p).engine_reason);
  });
}

void where_a_ring_is_refused_threads_do_its_work_and_the_reason_is_told(void **) {
  if (!built_in) skip(); // the only reason there is
  static const struct {
    int error;
    const char *because;
  } cases[] = {{EPERM, "EPERM"},           {EACCES, "EACCES"},      {ENOSYS, "ENOSYS"},
               {ENOMEM, "RLIMIT_MEMLOCK"}, {EMFILE, "descriptor"},  {ENFILE, "descriptor"},
               {EINVAL, "ring"},           {EOPNOTSUPP, "too old"}, {ELIBBAD, "ring"}};
  for (const auto &c : cases)
    for (int engine : {EF_ENGINE_AUTO, EF_ENGINE_URING})
      in_a_child([&] {
        faulty::now.uring_errno = c.error;
        ef_port *p = port_of(engine);
        NEED(is_threads(p, c.because));
        read_as_owner(p);
        NEED(rings == 0 && ring_reads == 0 && thread_reads > 0);
        NEED(is_threads(p, c.because));
        faulty::now.uring_errno = 0; // it was found out once, for the process
        NEED(is_threads(port_of(EF_ENGINE_AUTO), c.because));
        NEED(is_threads(port_of(EF_ENGINE_THREADS), "asked for by the port's options"));
      });
}

void a_ring_that_cannot_be_made_later_is_replaced_and_told(void **) {
  if (!rings_can_be_made()) skip();
  in_a_child([] {
    ef_port *p = port_of(EF_ENGINE_AUTO), *other = port_of(EF_ENGINE_AUTO);
    NEED(is_uring(p, "works"));
    faulty::now.uring_errno = ENOMEM;
    read_as_owner(p);
    NEED(rings == 0 && ring_reads == 0 && thread_reads > 0);
    NEED(is_threads(p, "RLIMIT_MEMLOCK"));
    faulty::now.uring_errno = 0;
    read_as_owner(other); // each port for itself
    NEED(rings == 1 && ring_reads > 0);
    NEED(is_uring(other, "works"));
  });
}

void the_environment_chooses_where_the_program_does_not(void **) {
  static const struct {
    const char *value;
    bool ring, asked;
  } cases[] = {{"auto", true, false}, {"", true, false}, {"uring", true, true}, {"threads", false, true}};
  const bool possible = rings_can_be_made();
  for (const auto &c : cases)
    in_a_child([&] {
      ::setenv("EFIO_ENGINE", c.value, 1);
      ef_port *p = port_of(EF_ENGINE_AUTO);
      if (c.ring && !possible)
        NEED(is_threads(p, ""));
      else
        NEED(c.ring ? is_uring(p, c.asked ? "EFIO_ENGINE" : "works here") : is_threads(p, "EFIO_ENGINE"));
      read_as_owner(p);
      NEED(c.ring && possible ? ring_reads > 0 : ring_reads == 0 && thread_reads > 0);
      NEED(is_threads(port_of(EF_ENGINE_THREADS), "the port's options"));
      if (possible) NEED(is_uring(port_of(EF_ENGINE_URING), "the port's options"));
    });
}

void engines_that_do_not_exist_are_refused(void **) {
  for (const char *name : {"nonsense", "URING", "threads ", "uring,threads"})
    in_a_child([&] {
      ::setenv("EFIO_ENGINE", name, 1);
      errno = 0;
      NEED(!ef_port_new(nullptr) && errno == EINVAL);
      errno = 0;
      NEED(!ef_port_default() && errno == EINVAL);
      errno = 0;
      NEED(ef_open(path.c_str(), O_RDONLY) == -1 && errno == EINVAL);
      NEED(is_threads(port_of(EF_ENGINE_THREADS), "the port's options")); // who says which does not ask
    });
  for (int engine : {-1, 3, 77})
    in_a_child([&] {
      ef_port_options o{};
      o.size = sizeof o;
      o.engine = engine;
      errno = 0;
      NEED(!ef_port_new(&o) && errno == EINVAL);
    });
}

// The timekeeper and the first flusher start, the first reader does not.
void where_no_reader_can_be_started_a_port_answers_eagain(void **) {
  if (::geteuid() != 0) skip(); // no limit of a user of its own
  in_a_child([] {
    const rlimit most{3, 3};
    NEED(::setrlimit(RLIMIT_NPROC, &most) == 0 && ::setuid(54321) == 0);
    errno = 0;
    NEED(!ef_port_new(nullptr) && errno == EAGAIN);
  });
}

// ---- Who reads

void the_owner_of_a_port_reads_through_one_ring(void **) {
  if (!rings_can_be_made()) skip();
  in_a_child([] {
    ef_port *p = port_of(EF_ENGINE_AUTO);
    for (int i = 0; i < 3; ++i) {
      const long before = rings;
      read_as_owner(p);
      NEED(rings == (i == 0 ? 1 : 0) && before <= 1);
      NEED(ring_reads > 0 && thread_reads == 0);
    }
    NEED(ef_port_free(p) == 0);
  });
}

void another_thread_reads_through_threads(void **) {
  in_a_child([] {
    ef_port *p = port_of(EF_ENGINE_AUTO);
    ef_event e;
    NEED(ef_port_fd(p) >= 0 && ef_port_next(p, &e, 1) == 0);
    count_from_here();
    std::thread([&] {
      read_through(p, [] { ::usleep(100); }); // it asks again and again: the events are the owner's
    }).join();
    NEED(ring_reads == 0 && thread_reads > 0);
    while (ef_port_next(p, &e, 1) > 0) NEED(e.events == EF_READ);
  });
}

std::atomic<int> heard;
void hear(void *) { heard = 1; }
void note(void *, const ef_event *e, int) {
  if (e->events & EF_READ) heard = 1;
}
void listen() {
  for (int i = 0; i < core::patience_ms && heard == 0; ++i) ::usleep(1000);
  NEED(heard.exchange(0) == 1);
}

// A callback is for news; a ring tells its own through the descriptor.
void ports_with_a_wake_or_a_notify_read_through_threads(void **) {
  in_a_child([] {
    ef_port *p = port_of(EF_ENGINE_AUTO, hear);
    ef_event e;
    NEED(ef_port_next(p, &e, 1) == 0);
    count_from_here();
    read_through(p, [&] {
      listen();
      while (ef_port_next(p, &e, 1) > 0) NEED(e.events == EF_READ);
    });
    NEED(rings == 0 && ring_reads == 0 && thread_reads > 0);
    if (!rings_can_be_made()) return;
    NEED(ef_port_wake(p, nullptr, nullptr) == 0);
    read_as_owner(p); // but with a descriptor instead
    NEED(rings == 1 && ring_reads > 0);
  });
  in_a_child([] {
    ef_port *p = port_of(EF_ENGINE_AUTO, nullptr, note);
    NEED(ef_port_fd(p) >= 0);
    count_from_here();
    read_through(p, listen);
    NEED(rings == 0 && ring_reads == 0 && thread_reads > 0);
  });
}

} // namespace

int main() {
  faulty::install();
  faulty::now.memory_shown = false;
  ef::sys = &counting;
  ::unsetenv("EFIO_ENGINE");
  const std::string dir = core::directory();
  path = dir + "/file";
  core::put(path, core::pattern(bytes));
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_best_engine_is_taken_and_tells_why),
      cmocka_unit_test(where_a_ring_is_refused_threads_do_its_work_and_the_reason_is_told),
      cmocka_unit_test(a_ring_that_cannot_be_made_later_is_replaced_and_told),
      cmocka_unit_test(the_environment_chooses_where_the_program_does_not),
      cmocka_unit_test(engines_that_do_not_exist_are_refused),
      cmocka_unit_test(where_no_reader_can_be_started_a_port_answers_eagain),
      cmocka_unit_test(the_owner_of_a_port_reads_through_one_ring),
      cmocka_unit_test(another_thread_reads_through_threads),
      cmocka_unit_test(ports_with_a_wake_or_a_notify_read_through_threads),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
