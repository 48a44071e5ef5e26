// SPDX-License-Identifier: BSD-2-Clause
// Two sides that meet in the narrowest place: a reader and its fetch, ageing and writing, closing ports and sweeping
// them, disarming and answering.
#include "core_stress.hh"

#include <algorithm>
#include <iterator>

namespace {

std::string dir;
using stress::require;

ef_event next_or_none(ef_port *p) {
  ef_event e{};
  require(ef_port_next(p, &e, 1) >= 0, "ef_port_next");
  return e;
}

// A reader that asks again and again, without waiting for the event, gets each byte once.
void a_fetch_that_ends_between_two_looks_loses_no_byte(void **) {
  faulty::heal();
  faulty::now.nowait_miss = 300;
  const std::string all = core::pattern(2 << 20);
  core::put(dir + "/r", all);
  for (long i = 0, runs = core::amount(150, 20000); i < runs; ++i) {
    int fd = core::open(dir + "/r", O_RDONLY);
    std::string got;
    char b[8192];
    for (ssize_t r; (r = ef_read(fd, b, sizeof b)) != 0;) {
      if (r > 0) got.append(b, static_cast<std::size_t>(r));
      require(r > 0 || errno == EAGAIN, "ef_read");
      require(got.size() <= all.size(), "no byte twice");
    }
    require(got == all, "the bytes of the file");
    core::close(fd);
  }
}

// Somebody who waits for a file to become readable is no second reader.
void waiting_keeps_nobody_from_reading(void **) {
  faulty::heal();
  faulty::now.nowait_none = 1;
  const std::string all = core::pattern(2 << 20);
  core::put(dir + "/wait", all);
  for (long i = 0, runs = core::amount(20, 2000); i < runs; ++i) {
    int fd = core::open(dir + "/wait", O_RDONLY);
    std::atomic<bool> over{false};
    std::thread waiter([&] {
      while (!over) require(ef_wait(fd, EF_READ, core::patience_ms) == EF_READ, "readable, at the end, too");
    });
    std::string got = core::read_all(fd, 3000); // nothing but EAGAIN is an error to it
    require(got == all, "the bytes of the file");
    over = true;
    waiter.join();
    core::close(fd);
  }
}

// Who is refused hears of a fetch that has just ended, whether he waits for its event or in the library.
void hear_of_fetch(ef_port *p, int fd, bool by_event) {
  const auto began = std::chrono::steady_clock::now();
  if (by_event)
    require(core::next(p).events == EF_READ, "an event");
  else
    require(ef_wait(fd, EF_READ, core::patience_ms) == EF_READ, "readable");
  require(std::chrono::steady_clock::now() - began < std::chrono::milliseconds(core::patience_ms / 2), "at once");
}

void the_end_of_a_fetch_is_not_missed(void **) {
  faulty::heal();
  faulty::now.nowait_none = 1;
  const std::string all = core::pattern(4 << 20);
  core::put(dir + "/fetched", all);
  ef_port *p = ef_port_new(nullptr);
  ef_file_options o{};
  stress::random dice(faulty::seed());
  char b[8192];
  for (long i = 0, runs = core::amount(600, 100000); i < runs; ++i) {
    // Of large fetches, which begin several at once; or in the library, of small ones, which end soon.
    const bool by_event = i % 20 == 0;
    o.pattern = by_event ? EF_PATTERN_SEQUENTIAL : EF_PATTERN_RANDOM;
    const int fd = core::open(dir + "/fetched", O_RDONLY, o, p);
    std::string got;
    for (ssize_t r; (r = ef_read(fd, b, sizeof b)) != 0;) {
      if (r > 0) got.append(b, static_cast<std::size_t>(r));
      if (r >= 0) continue;
      for (auto spin = dice.below(by_event ? 300 : 60000); spin > 0; --spin) asm volatile("" ::: "memory");
      hear_of_fetch(p, fd, by_event);
    }
    require(got == all, "the bytes of the file");
    core::close(fd, p);
    while (next_or_none(p).events) {}
  }
  require(ef_port_free(p) == 0, "ef_port_free");
}

// The age of bytes is looked at while the next ones come in: they are written by their age, whatever the order.
void bytes_that_come_while_others_age_are_written_by_their_age(void **) {
  faulty::heal();
  ef_file_options o{};
  o.flush_interval_ms = 1;
  int fd = core::open(dir + "/age", O_WRONLY | O_CREAT | O_TRUNC, o);
  stress::random dice(faulty::seed());
  std::uint64_t n = 0;
  for (long i = 0, rounds = core::amount(300, 100000); i < rounds; ++i) {
    core::write(fd, "x");
    ++n;
    for (auto spin = dice.below(400); spin > 0; --spin) core::stats(fd);
    for (int ms = 0; core::stats(fd).written < n && ms < 5000; ++ms) ::usleep(dice.below(2) ? 50 : 1000);
    require(core::stats(fd).written == n, "written by its age");
  }
  core::close(fd);
}

// Ports go away, in both ways, while background threads sweep files off their lists.
void ports_end_while_they_are_swept(void **) {
  faulty::heal();
  stress::random dice(faulty::seed());
  for (long n = 0, ports = core::amount(200, 60000); n < ports; ++n) {
    ef_port *p = ef_port_new(nullptr);
    constexpr int files = 70; // more than lie on a list unswept
    int fd[files];
    for (int &f : fd) {
      f = core::open(dir + "/s", O_RDONLY | O_CREAT, {}, p);
      ef_watch(f, EF_OPEN, nullptr);
    }
    for (int f : fd) require(ef_wait(f, EF_OPEN, core::patience_ms) == EF_OPEN, "opened");
    next_or_none(p);
    for (int f : fd) {
      if (f % 3 == 0) ef_watch(f, EF_CLOSE, nullptr);
      require(ef_close(f) == 0, "ef_close");
    }
    if (n % 2) {
      for (auto spin = dice.below(2000); spin > 0; --spin) asm volatile("" ::: "memory");
      require(ef_port_abandon(p) == 0, "ef_port_abandon");
      continue;
    }
    while (ef_port_free(p) < 0) require(errno == EBUSY, "ef_port_free");
  }
  // Every slot is back: the numbers of new files have small indices again.
  require(ef_drain(nullptr, core::patience_ms) == 0, "ef_drain");
  for (int i = 0; i < 1000; ++i) {
    int f = core::open(dir + "/s", O_RDONLY);
    require((f & 0xfffff) < 2000, "slots are used again");
    core::close(f);
  }
}

// Files that lie on a list that nobody drains are swept off it; the news of their end is not.
void no_end_is_swept_away(void **) {
  faulty::heal();
  for (long n = 0, rounds = core::amount(100, 20000); n < rounds; ++n) {
    ef_port *p = ef_port_new(nullptr);
    constexpr int files = 200;
    std::vector<int> fd;
    for (int i = 0; i < files; ++i) {
      fd.push_back(core::open(dir + "/swept", O_RDONLY | O_CREAT, {}, p));
      ef_watch(fd[i], EF_OPEN, nullptr);
    }
    for (int f : fd) require(ef_wait(f, EF_OPEN, core::patience_ms) == EF_OPEN, "opened");
    for (int f : fd) {
      ef_watch(f, EF_CLOSE, nullptr);
      require(ef_close(f) == 0, "ef_close");
    }
    require(ef_drain(p, core::patience_ms) == 0, "ef_drain");
    int ends = 0;
    for (ef_event e; ef_port_next(p, &e, 1) == 1;) ends += e.events == EF_CLOSE;
    require(ends == files, "each end is told");
    require(ef_port_free(p) == 0, "ef_port_free");
  }
}

// The end of its last file told, a port can be freed at once.
void a_port_is_free_after_the_last_end(void **) {
  faulty::heal();
  for (long n = 0, rounds = core::amount(500, 50000); n < rounds; ++n) {
    ef_port *p = ef_port_new(nullptr);
    int fd = core::open(dir + "/last", O_WRONLY | O_CREAT, {}, p);
    ef_watch(fd, EF_CLOSE, nullptr);
    require(ef_close(fd) == 0, "ef_close");
    while (next_or_none(p).events != EF_CLOSE) {}
    require(ef_port_free(p) == 0, "ef_port_free after EF_CLOSE");
  }
}

// An EF_SYNC tells of the request it answers: not of one that came after a disarming, too early.
void a_disarmed_sync_answers_no_later_one(void **) {
  faulty::heal();
  faulty::now.delay = 500;
  ef_port *p = ef_port_new(nullptr);
  int fd = core::open(dir + "/sync", O_WRONLY | O_CREAT | O_TRUNC, {}, p);
  stress::random dice(faulty::seed());
  char marks[2];
  for (long i = 0, rounds = core::amount(400, 50000); i < rounds; ++i) {
    char *mark = &marks[i % 2];
    core::write(fd, "first");
    ef_watch(fd, 0, mark);
    require(ef_sync(fd) == 0, "ef_sync");
    for (auto spin = dice.below(300); spin > 0; --spin) core::stats(fd);
    if (dice.below(3)) {
      ef_watch(fd, 0, mark);
      core::write(fd, "second");
      std::uint64_t n = core::stats(fd).accepted;
      require(next_or_none(p).events == 0 || core::stats(fd).synced == n, "nothing of before the disarming");
      require(ef_sync(fd) == 0, "ef_sync");
    }
    ef_event e = core::next(p);
    require(e.events == EF_SYNC && e.data == mark && e.error == 0, "one event");
    require(core::stats(fd).synced == core::stats(fd).accepted, "and then everything is durable");
    require(next_or_none(p).events == 0, "and no more");
  }
  core::close(fd, p);
  require(ef_port_free(p) == 0, "ef_port_free");
}

// The descriptor of a port is readable while there is news, and not long after.
void the_descriptor_of_a_drained_port_becomes_quiet(void **) {
  faulty::heal();
  ef_port *p = ef_port_new(nullptr);
  pollfd q{ef_port_fd(p), POLLIN, 0};
  constexpr int files = 4;
  int fd[files];
  for (int i = 0; i < files; ++i) fd[i] = core::open(dir + "/d" + std::to_string(i), O_WRONLY | O_CREAT, {}, p);
  long heard = 0, empty = 0, rounds = core::amount(1000, 100000);
  for (long i = 0; i < rounds; ++i) {
    int asked = 0;
    for (int f : fd) {
      core::write(f, "x");
      asked += ef_sync(f) == 0;
    }
    while (asked > 0) {
      require(::poll(&q, 1, core::patience_ms) == 1, "readable while there is news");
      ef_event e;
      int n = ef_port_next(p, &e, 1);
      require(n >= 0, "ef_port_next");
      asked -= n;
      heard += n;
      empty += n == 0;
    }
    while (::poll(&q, 1, 0) > 0) { // a signal may come after its event was taken
      require(next_or_none(p).events == 0, "no event without a request");
      ++empty;
    }
  }
  require(heard == rounds * files, "an event for each request");
  require(empty <= 2 * heard, "a signal for nothing is cleared by the call that it brought");
  for (int f : fd) core::close(f, p);
  require(ef_port_free(p) == 0, "ef_port_free");
}

// Files that are closed while they are being opened: EF_CLOSE is the last that is told of them.
struct lives {
  std::atomic<bool> over[4096];
};
void end_of_life(void *arg, const ef_event *e, int n) {
  auto &over = static_cast<lives *>(arg)->over;
  for (int i = 0; i < n; ++i) {
    auto &mine = over[reinterpret_cast<std::uintptr_t>(e[i].data)];
    require(!mine, "nothing after EF_CLOSE");
    if (e[i].events & EF_CLOSE) mine = true;
  }
}

void the_end_is_told_last(void **) {
  faulty::heal();
  static lives all;
  ef_port_options o{};
  o.size = sizeof o;
  o.notify = end_of_life;
  o.arg = &all;
  ef_port *p = ef_port_new(&o);
  stress::random dice(faulty::seed());
  core::put(dir + "/end", "text");
  for (long round = 0, rounds = core::amount(10, 500); round < rounds; ++round) {
    for (auto &over : all.over) over = false;
    for (std::uintptr_t i = 0; i < std::size(all.over); ++i) {
      int fd = core::open(dir + "/end", O_RDONLY, {}, p);
      ef_watch(fd, EF_OPEN | EF_READ, reinterpret_cast<void *>(i));
      ef_watch(fd, EF_CLOSE, reinterpret_cast<void *>(i));
      for (auto spin = dice.below(1000); spin > 0; --spin) asm volatile("" ::: "memory");
      require(ef_close(fd) == 0, "ef_close");
    }
    require(ef_drain(p, core::patience_ms) == 0, "ef_drain");
    stress::await(
        [] { return std::all_of(std::begin(all.over), std::end(all.over), [](auto &o) { return o.load(); }); },
        "each end is told");
  }
  require(ef_port_free(p) == 0, "ef_port_free");
}

// From queue to notify and back, while events come: each is heard once.
std::atomic<long> notified;
void count_them(void *, const ef_event *, int n) { notified += n; }

void no_event_is_lost_between_queue_and_notify(void **) {
  faulty::heal();
  ef_port *p = ef_port_new(nullptr);
  constexpr int files = 8;
  std::vector<int> fd;
  for (int i = 0; i < files; ++i) fd.push_back(core::open(dir + "/n" + std::to_string(i), O_WRONLY | O_CREAT, {}, p));
  stress::random dice(faulty::seed());
  for (long i = 0, rounds = core::amount(800, 100000); i < rounds; ++i) {
    notified = 0;
    for (int f : fd) {
      core::write(f, "x");
      require(ef_sync(f) == 0, "ef_sync");
    }
    long heard = 0;
    for (auto turn = dice.below(4) * 2; turn > 0; --turn) {
      for (auto spin = dice.below(100); spin > 0; --spin) core::stats(fd[0]);
      if (turn % 2 == 0) heard += next_or_none(p).events != 0; // leaves some taken and not handed out
      require(ef_port_notify(p, turn % 2 ? nullptr : count_them, nullptr) == 0, "ef_port_notify");
    }
    auto began = std::chrono::steady_clock::now();
    while (heard + notified < files) {
      heard += next_or_none(p).events != 0;
      require(std::chrono::steady_clock::now() - began < std::chrono::seconds(20), "every event is heard");
    }
    require(heard + notified == files, "once");
  }
  for (int f : fd) core::close(f, p);
  require(ef_port_free(p) == 0, "ef_port_free");
}

} // namespace

int main(int, char **argv) {
  faulty::install();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_fetch_that_ends_between_two_looks_loses_no_byte),
      cmocka_unit_test(waiting_keeps_nobody_from_reading),
      cmocka_unit_test(the_end_of_a_fetch_is_not_missed),
      cmocka_unit_test(bytes_that_come_while_others_age_are_written_by_their_age),
      cmocka_unit_test(ports_end_while_they_are_swept),
      cmocka_unit_test(no_end_is_swept_away),
      cmocka_unit_test(a_port_is_free_after_the_last_end),
      cmocka_unit_test(a_disarmed_sync_answers_no_later_one),
      cmocka_unit_test(the_descriptor_of_a_drained_port_becomes_quiet),
      cmocka_unit_test(the_end_is_told_last),
      cmocka_unit_test(no_event_is_lost_between_queue_and_notify),
  };
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return core::again_on_one_core(failed, argv);
}
