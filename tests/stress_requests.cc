// SPDX-License-Identifier: BSD-2-Clause
// Requests at an offset, streams and seeks from several threads, while files are closed, requests cancelled, owners of
// ports end and are replaced, functions come and go and the process forks.
#include "request_actor.hh"

#include <filesystem>

namespace {

using namespace requests;
using clock_type = std::chrono::steady_clock;

constexpr int patience_s = 30;

// Nothing else is begun by this thread, so nothing else wakes it.
void wait_for_all(place &at, actor &a) {
  const auto end = clock_type::now() + std::chrono::seconds(patience_s);
  while (!a.settle()) {
    if (at.readable(100)) at.drain();
    require(clock_type::now() < end, "no end is lost");
  }
}

// The owner of a place: looks at it when it is told to. Ends after a while, and another thread goes on.
class owner {
 public:
  owner(place &at, std::uint64_t number) : at_(at), actor_(at, number) { begin(); }
  void replace_if_ended() {
    if (!ended_.exchange(false)) return;
    thread_.join();
    ++seen.owners;
    begin();
  }
  // The caller is the last owner.
  void stop() {
    stopping_ = true;
    thread_.join();
    at_.drain();
    wait_for_all(at_, actor_);
    actor_.finish();
  }
  actor &its_actor() { return actor_; }

 private:
  void begin() {
    thread_ = std::thread([this] { run(); });
  }
  void run() {
    const auto steps = 20 + actor_.dice().below(600);
    at_.drain(); // from now on it is the owner
    for (size_t i = 0; i < steps && !stopping_; ++i) {
      actor_.step();
      if (at_.readable(0)) at_.drain();
      if (actor_.dice().below(300) == 0) wait_for_all(at_, actor_);
    }
    ended_ = true; // with what it has under way
  }

  place &at_;
  actor actor_;
  std::atomic<bool> stopping_{false}, ended_{false};
  std::thread thread_;
};

void fork_once(place &at) {
  const pid_t child = ::fork();
  require(child >= 0, "fork");
  if (child == 0) {
    ef_event e;
    ::_exit(ef_port_next(at.port, &e, 1) == -1 && errno == ECHILD ? 0 : 1);
  }
  int status;
  require(::waitpid(child, &status, 0) == child && status == 0, "the child has none of it");
  ++seen.forks;
}

int descriptors() {
  int n = 0;
  for (int fd = 0; fd < 1024; ++fd) n += ::fcntl(fd, F_GETFD) >= 0;
  return n;
}

int tasks() {
  int n = 0;
  for (const auto &t [[maybe_unused]] : std::filesystem::directory_iterator("/proc/self/task")) ++n;
  return n;
}
int tasks_before; // without those of the library
int library_threads() {
  ef_port_counters c{};
  c.size = sizeof c;
  require(ef_port_stats(nullptr, &c) == 0, "ef_port_stats");
  return c.threads;
}

void set_faults(stress::random &dice) {
  faulty::heal();
  if (dice.below(3)) faulty::now.nowait_miss = static_cast<unsigned>(dice.below(1025));
  if (dice.below(2)) faulty::now.short_read = static_cast<unsigned>(dice.below(400));
  if (dice.below(2)) faulty::now.uring_passing = static_cast<unsigned>(dice.below(300));
  if (dice.below(4) == 0) faulty::now.uring_full = static_cast<unsigned>(dice.below(300));
  if (dice.below(3) == 0) faulty::now.delay = static_cast<unsigned>(dice.below(200));
}

// Acts on a place of somebody else.
void act(actor &self, owner &other, const std::atomic<bool> &enough) {
  while (!enough) {
    self.step();
    if (self.dice().below(20) == 0) other.its_actor().cancel_one(self.dice());
    if (self.dice().below(20) == 0) ::usleep(50);
  }
  const auto end = clock_type::now() + std::chrono::seconds(patience_s);
  while (!self.settle()) {
    require(clock_type::now() < end, "no end is lost");
    ::usleep(500);
  }
}

void stir(place &p, stress::random &dice) {
  if (dice.below(40) == 0) set_faults(dice);
  if (dice.below(60) == 0) fork_once(p);
  if (dice.below(4) == 0) {
    p.swap(true);
    ::usleep(static_cast<unsigned>(dice.below(300)));
    while (p.notified) p.swap(false);
  }
  ::usleep(static_cast<unsigned>(dice.below(500)));
}

// Two ports with an owner each, two threads that own none, and one that stirs.
void run_world(std::uint64_t number, long operations) {
  stress::random dice(number);
  const int before = descriptors();
  std::array<place, 2> places;
  places[0].open(EF_ENGINE_URING);
  places[1].open(dice.below(3) ? EF_ENGINE_URING : EF_ENGINE_THREADS);
  std::vector<std::unique_ptr<owner>> owners;
  std::vector<std::unique_ptr<actor>> others;
  for (size_t i = 0; i < 2; ++i) {
    owners.push_back(std::make_unique<owner>(places[i], 16 * number + i));
    others.push_back(std::make_unique<actor>(places[i], 16 * number + 8 + i));
  }
  std::atomic<bool> enough{false};
  std::atomic<int> settled{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 2; ++i)
    threads.emplace_back([&, i] {
      act(*others[i], *owners[1 - i], enough);
      ++settled;
    });
  for (const long until = seen.operations + operations; seen.operations < until || settled < 2;) {
    for (auto &o : owners) o->replace_if_ended();
    if (!enough) stir(places[dice.below(2)], dice);
    if (seen.operations >= until) enough = true, faulty::heal();
  }
  for (auto &t : threads) t.join();
  for (auto &o : owners) o->stop();
  for (auto &o : others) o->finish();
  for (place &p : places) stress::await([&] { return p.drain(), ef_port_free(p.port) == 0; }, "the port is free");
  stress::await([&] { return descriptors() == before && tasks() == tasks_before + library_threads(); },
                "everything is back");
}

void every_request_is_over_once(void **) {
  const bool much = std::getenv("EFIO_LONG");
  const long seeds = much ? 20 : 4, each = core::amount(20000, 50000);
  for (long i = 0; i < seeds; ++i) run_world(faulty::seed() * 1000 + static_cast<std::uint64_t>(i), each);
  std::printf("  %ld operations, %ld begun, %ld at once, %ld cancelled, %ld taken back, %ld closed, %ld owners, %ld "
              "forks, %ld bytes\n",
              seen.operations.load(), seen.begun.load(), seen.hits.load(), seen.cancelled.load(),
              seen.taken_back.load(), seen.closed.load(), seen.owners.load(), seen.forks.load(), seen.streamed.load());
  assert_true(seen.begun > 0 && seen.hits > 0);
}

// Its requests are over on whatever thread ends them: nobody takes events.
ef_port *port_that_notifies() {
  ef_port_options o{};
  o.size = sizeof o;
  o.notify = [](void *, const ef_event *e, int n) {
    for (int i = 0; i < n; ++i) over(e[i]);
  };
  return ef_port_new(&o);
}

// Begun at any moment of the open they have the file, or its errno.
void what_meets_the_end_of_the_open_is_not_lost(void **) {
  faulty::heal();
  ef_port *p = port_that_notifies();
  stress::random dice(faulty::seed());
  std::array<slot, 100> all; // one after the other, so that the end comes in the middle of one
  for (long i = 0, rounds = core::amount(4000, 50000); i < rounds; ++i) {
    const int error = i % 2 ? EACCES : 0;
    faulty::now.open_errno = error;
    const int fd = core::open(dir + "/open", O_RDWR | O_CREAT, {}, p);
    for (auto spin = dice.below(3000); spin > 0; --spin) asm volatile("" ::: "memory");
    for (slot &s : all) {
      const bool write = dice.below(2);
      s.q.data = &s;
      s.state.store(life::going, std::memory_order_release);
      const ssize_t n = write ? ef_pwrite(fd, s.memory, 10, 0, &s.q) : ef_pread(fd, s.memory, 10, 0, &s.q);
      if (n < 0 && errno == EINPROGRESS) continue;
      require(n < 0 ? errno == error : !error && !write, "no error but that of the open, at once");
      s.state.store(life::idle, std::memory_order_relaxed);
    }
    for (slot &s : all) {
      if (s.state.load(std::memory_order_relaxed) == life::idle) continue;
      stress::await([&] { return s.state.load(std::memory_order_acquire) == life::over; }, "it is over");
      require(s.q.error == error, "no error but that of the open");
    }
    ef_close(fd);
    if (i % 100 == 0) ef_drain(p, core::patience_ms);
  }
  faulty::heal();
  require(ef_drain(p, core::patience_ms) == 0 && ef_port_free(p) == 0, "ef_port_free");
}

// Reads that wait behind a full disk for an hour: while one thread cancels its own, another one looks at all of them.
void nobody_s_hand_is_in_the_way_of_a_cancelling(void **) {
  faulty::heal();
  ef_port *p = port_that_notifies();
  ef_file_options slow{};
  slow.flush_interval_ms = 3600000;
  const int fd = core::open(dir + "/full", O_RDWR | O_CREAT, slow, p);
  faulty::now.write_errno = ENOSPC;
  core::write(fd, "text");
  std::atomic<long> here{0};
  stress::together(2, [&](int, stress::random &dice) {
    slot s;
    s.q.data = &s;
    for (long i = 0, rounds = core::amount(30000, 1000000); i < rounds; ++i) {
      s.state.store(life::going, std::memory_order_release);
      require(ef_pread(fd, s.buffer = s.memory, 4, 0, &s.q) == -1 && errno == EINPROGRESS, "it waits");
      ++here;
      while (here < 4 * i + 2) ::sched_yield();
      for (auto spin = dice.below(200); spin > 0; --spin) asm volatile("" ::: "memory");
      require(ef_cancel(&s.q) == 0, "ef_cancel");
      stress::await([&] { return s.state.load(std::memory_order_acquire) == life::over; }, "it is over");
      require(s.q.error == ECANCELED, "cancelled");
      ++here;
      while (here < 4 * i + 4) ::sched_yield();
    }
  });
  faulty::heal();
  core::close(fd, p);
  require(ef_port_free(p) == 0, "ef_port_free");
}

} // namespace

int main(int, char **argv) {
  faulty::install_for_requests();
  std::thread([] {}).join(); // with it a sanitizer starts one of its own
  tasks_before = tasks();
  dir = core::directory();
  std::string text(file_bytes, 0);
  for (size_t i = 0; i < file_bytes; ++i) text[i] = static_cast<char>(byte_at(i));
  core::put(dir + "/text", text);
  const CMUnitTest tests[] = {
      cmocka_unit_test(every_request_is_over_once),
      cmocka_unit_test(what_meets_the_end_of_the_open_is_not_lost),
      cmocka_unit_test(nobody_s_hand_is_in_the_way_of_a_cancelling),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return core::again_on_one_core(failed, argv);
}
