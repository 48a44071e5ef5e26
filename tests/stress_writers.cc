// SPDX-License-Identifier: BSD-2-Clause
// Many threads write into the same files: every record is there once, whole, and in an order that fits the times at
// which the calls happened.
#include "core_stress.hh"

#include <algorithm>
#include <memory>

namespace {

using stress::require;

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// Line i of a thread: its length and every byte follow from the two numbers.
constexpr std::size_t line_least = 20, line_most = 2000;
std::size_t make_line(int thread, long i, char *out) {
  std::uint64_t s = mix(static_cast<std::uint64_t>(thread) << 40 | static_cast<std::uint64_t>(i) | 1ull << 60);
  std::size_t n = line_least + s % (line_most - line_least + 1);
  int head = std::snprintf(out, line_least, "%03d %010ld ", thread, i);
  for (std::size_t k = static_cast<std::size_t>(head); k < n - 1; ++k) out[k] = static_cast<char>('a' + (s + k) % 26);
  out[n - 1] = '\n';
  return n;
}

void put(int fd, const char *b, std::size_t n) {
  for (ssize_t r; (r = ef_write(fd, b, n)) != static_cast<ssize_t>(n);) {
    require(r == -1 && errno == EAGAIN, "a write of at most EF_ATOMIC bytes is taken whole or refused with EAGAIN");
    require(ef_wait(fd, EF_WRITE, core::patience_ms) == EF_WRITE, "room comes");
  }
}

void put_in_pieces(int fd, char *b, std::size_t n, std::uint64_t cut) {
  iovec v[3] = {{b, cut % n}, {b + cut % n, 0}, {b + cut % n, n - cut % n}};
  for (ssize_t r; (r = ef_writev(fd, v, 3)) != static_cast<ssize_t>(n);) {
    require(r == -1 && errno == EAGAIN, "a small vector is taken whole or refused with EAGAIN");
    require(ef_wait(fd, EF_WRITE, core::patience_ms) == EF_WRITE, "room comes");
  }
}

// Line i of thread t belongs to file i % files. Reads the file through stdio and compares byte for byte.
void check_lines(const std::string &path, int file, int files, int threads, long lines) {
  std::vector<long> next(threads, file);
  FILE *f = std::fopen(path.c_str(), "r");
  require(f, "the file is there");
  std::vector<char> got(line_most + 2), want(line_most + 2);
  while (std::fgets(got.data(), static_cast<int>(got.size()), f)) {
    int thread = -1;
    long i = -1;
    require(std::sscanf(got.data(), "%d %ld", &thread, &i) == 2 && thread >= 0 && thread < threads, "a line's head");
    require(i == next[thread], "each thread's lines are in order, none twice, none missing");
    std::size_t n = make_line(thread, i, want.data());
    require(std::memcmp(got.data(), want.data(), n) == 0 && got[n] == 0, "the line is whole");
    next[thread] += files;
  }
  std::fclose(f);
  for (long n : next) require(n >= lines && n - files < lines, "the last lines are there");
}

struct shape {
  int threads, files;
  long lines; // of each thread
  ef_file_options options;
};

void write_and_check(const std::string &dir, const shape &s) {
  std::vector<int> fd(s.files);
  auto path = [&](int i) { return dir + "/" + std::to_string(i); };
  for (int i = 0; i < s.files; ++i) fd[i] = core::open(path(i), O_WRONLY | O_CREAT | O_TRUNC, s.options);
  stress::together(s.threads, [&](int t, stress::random &dice) {
    char b[line_most + 2];
    for (long i = 0; i < s.lines; ++i) {
      std::size_t n = make_line(t, i, b);
      int to = fd[i % s.files];
      dice.below(16) ? put(to, b, n) : put_in_pieces(to, b, n, dice());
      if (dice.below(4096) == 0) ef_flush(to);
      if (dice.below(16384) == 0) sched_yield();
    }
  });
  std::uint64_t accepted = 0;
  for (int f : fd) accepted += core::stats(f).accepted;
  for (int f : fd) assert_int_equal(ef_close(f), 0);
  assert_int_equal(ef_drain(nullptr, 10 * core::patience_ms), 0);
  std::uint64_t bytes = 0;
  for (int i = 0; i < s.files; ++i) {
    check_lines(path(i), i, s.files, s.threads, s.lines);
    struct stat st;
    assert_int_equal(::stat(path(i).c_str(), &st), 0);
    bytes += static_cast<std::uint64_t>(st.st_size);
    ::unlink(path(i).c_str());
  }
  assert_int_equal(bytes, accepted);
}

// Each thread's lines are in its order in either.
void in_both_orders(const std::string &dir, shape s) {
  for (int order : {EF_ORDER_CALL, EF_ORDER_THREAD}) {
    s.options.order = order;
    write_and_check(dir, s);
  }
}

// The long run is done once, on the disk; the other modes have a tenth.
long lines_of(const core::mode &m, long usual, long many) {
  return core::amount(usual, many) / (m.faults ? 20 : m.no_nowait ? 10 : m.under ? 4 : 1);
}

void four_threads_write_into_one_file(void **) {
  core::in_each_mode([](const std::string &dir, const core::mode &m) {
    in_both_orders(dir, {4, 1, lines_of(m, 50000, 1000000), {}});
  });
}

void eight_threads_write_into_64_files(void **) {
  core::in_each_mode([](const std::string &dir, const core::mode &m) {
    in_both_orders(dir, {8, 64, lines_of(m, 25000, 500000), {}});
  });
}

// Then some share a lane.
void more_threads_than_lanes(void **) {
  core::in_each_mode([](const std::string &dir, const core::mode &m) {
    ef_file_options o{};
    o.order = EF_ORDER_THREAD;
    write_and_check(dir, {40, 1, lines_of(m, 2000, 20000), o});
  });
}

// A chunk that a lone writer owns is taken away when another one comes: once in the life of a file, mostly, so there
// are many files.
void many_files_lose_their_lone_writer(void **) {
  faulty::heal();
  std::string dir = core::directory("/dev/shm");
  for (long round = 0, rounds = core::amount(60, 3000); round < rounds; ++round) in_both_orders(dir, {4, 16, 1200, {}});
  core::remove(dir);
}

void a_small_budget_and_a_waiting_caller_change_nothing(void **) {
  core::in_each_mode([](const std::string &dir, const core::mode &m) {
    ef_file_options o{};
    o.write_buffer_max = 128 * 1024;
    in_both_orders(dir, {4, 2, lines_of(m, 10000, 200000), o});
    o.when_full = EF_FULL_WAIT;
    o.flush_interval_ms = 1;
    in_both_orders(dir, {4, 2, lines_of(m, 10000, 200000), o});
  });
}

// Each record carries the time before its call; the time after it is kept here. A record that ended before another
// began must not stand behind it.
struct stamped {
  std::uint64_t began;
  std::uint32_t thread, number;
};

void check_order(const std::string &path, std::size_t length, std::vector<std::vector<std::uint64_t>> &ended) {
  std::string all = core::contents(path);
  std::uint64_t latest = 0;
  std::size_t records = 0;
  for (const auto &e : ended) records += e.size();
  assert_int_equal(all.size(), records * length);
  for (std::size_t at = 0; at < all.size(); at += length) {
    stamped s;
    std::memcpy(&s, all.data() + at, sizeof s);
    require(s.thread < ended.size() && s.number < ended[s.thread].size(), "a record's head");
    std::uint64_t &end = ended[s.thread][s.number];
    require(end != 0, "no record is there twice");
    require(end > latest, "calls land in the order in which they happened");
    latest = std::max(latest, s.began);
    end = 0;
  }
}

void calls_land_in_the_order_in_which_they_happened(void **) {
  core::in_each_mode([](const std::string &dir, const core::mode &m) {
    for (std::size_t length : {sizeof(stamped), std::size_t{700}, std::size_t{30000}}) {
      const int threads = 4;
      long each = lines_of(m, 80000, 400000) / (1 + static_cast<long>(length) / 100);
      ef_file_options o{};
      o.write_buffer_max = 1 << 20;
      o.flush_interval_ms = 2;
      int fd = core::open(dir + "/order", O_WRONLY | O_CREAT | O_TRUNC, o);
      std::atomic<std::uint64_t> clock{1};
      std::vector<std::vector<std::uint64_t>> ended(threads, std::vector<std::uint64_t>(each));
      stress::together(threads, [&](int t, stress::random &) {
        std::vector<char> b(length);
        for (long i = 0; i < each; ++i) {
          stamped s{clock.fetch_add(1), static_cast<std::uint32_t>(t), static_cast<std::uint32_t>(i)};
          std::memcpy(b.data(), &s, sizeof s);
          put(fd, b.data(), length);
          ended[t][i] = clock.fetch_add(1);
        }
      });
      core::close(fd);
      check_order(dir + "/order", length, ended);
    }
  });
}

// Records above EF_ATOMIC may be cut short by the call; what it took stands in one piece all the same.
struct big_record {
  std::uint32_t thread, number;
};

void check_big(const std::string &path, const std::vector<std::vector<std::size_t>> &taken) {
  std::string all = core::contents(path);
  std::vector<std::size_t> next(taken.size());
  std::size_t at = 0;
  while (at < all.size()) {
    big_record r;
    require(all.size() - at >= sizeof r, "a head");
    std::memcpy(&r, all.data() + at, sizeof r);
    require(r.thread < taken.size() && r.number == next[r.thread] && r.number < taken[r.thread].size(), "a big record");
    std::size_t n = taken[r.thread][next[r.thread]++];
    require(at + n <= all.size(), "all of it");
    char mark = static_cast<char>(mix(r.thread * 1000003ull + r.number));
    for (std::size_t k = sizeof r; k < n; ++k) require(all[at + k] == mark, "in one piece");
    at += n;
  }
  for (std::size_t t = 0; t < taken.size(); ++t) assert_int_equal(next[t], taken[t].size());
}

void big_calls_are_in_one_piece(void **) {
  core::in_each_mode([](const std::string &dir, const core::mode &m) {
    const int threads = 3;
    ef_file_options o{};
    o.write_buffer_max = 2 << 20;
    int fd = core::open(dir + "/big", O_WRONLY | O_CREAT, o);
    std::vector<std::vector<std::size_t>> taken(threads);
    std::atomic<long> cut{0};
    stress::together(threads, [&](int t, stress::random &dice) {
      std::vector<char> b(1200000);
      for (long i = 0, n = lines_of(m, 100, 2000) + 5; i < n; ++i) {
        std::size_t length = sizeof(big_record) + dice.below(dice.below(3) ? 200000 : b.size() - sizeof(big_record));
        big_record r{static_cast<std::uint32_t>(t), static_cast<std::uint32_t>(i)};
        std::memset(b.data(), static_cast<char>(mix(r.thread * 1000003ull + r.number)), length);
        std::memcpy(b.data(), &r, sizeof r);
        ssize_t got;
        while ((got = ef_write(fd, b.data(), length)) < 0) {
          require(errno == EAGAIN, "refused with EAGAIN");
          require(ef_wait(fd, EF_WRITE, core::patience_ms) == EF_WRITE, "room comes");
        }
        require(got > 0 && (got == static_cast<ssize_t>(length) || length > EF_ATOMIC), "short only above EF_ATOMIC");
        cut += got != static_cast<ssize_t>(length);
        taken[t].push_back(static_cast<std::size_t>(got));
      }
    });
    core::close(fd);
    check_big(dir + "/big", taken);
    std::printf("    %ld calls were cut short\n", cut.load());
  });
}

// What the checks must find: run in a child, which they end.
template<class Check> bool finds(Check check) {
  std::fflush(stdout);
  pid_t p = ::fork();
  if (p == 0) {
    if (!std::freopen("/dev/null", "w", stdout)) ::_exit(9);
    check();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(p, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

void the_checks_find_lost_torn_and_exchanged_records(void **) {
  std::string dir = core::directory(), path = dir + "/f", good;
  std::vector<std::size_t> at;
  char b[line_most + 2];
  for (int i = 0; i < 40; ++i) {
    at.push_back(good.size());
    good.append(b, make_line(i % 2, i / 2, b));
  }
  auto found = [&](std::string text) {
    core::put(path, text);
    return finds([&] { check_lines(path, 0, 1, 2, 20); });
  };
  assert_false(found(good));
  assert_true(found(good.substr(at[1])));
  assert_true(found(good.substr(0, at[39])));
  assert_true(found(good.substr(0, at[7]) + good.substr(at[5], at[6] - at[5]) + good.substr(at[7])));
  assert_true(found(good + good.substr(at[39])));
  std::string torn = good;
  torn[at[20] - 2] ^= 1;
  assert_true(found(torn));
  stamped two[2] = {{10, 0, 0}, {20, 1, 0}};
  std::vector<std::vector<std::uint64_t>> ended = {{15}, {25}};
  for (bool exchanged : {false, true}) {
    if (exchanged) std::swap(two[0], two[1]);
    core::put(path, std::string(reinterpret_cast<char *>(two), sizeof two));
    assert_int_equal(finds([&] { check_order(path, sizeof(stamped), ended); }), exchanged);
  }
  core::remove(dir);
}

} // namespace

int main(int, char **argv) {
  faulty::install();
  const CMUnitTest tests[] = {
      cmocka_unit_test(the_checks_find_lost_torn_and_exchanged_records),
      cmocka_unit_test(four_threads_write_into_one_file),
      cmocka_unit_test(eight_threads_write_into_64_files),
      cmocka_unit_test(more_threads_than_lanes),
      cmocka_unit_test(many_files_lose_their_lone_writer),
      cmocka_unit_test(a_small_budget_and_a_waiting_caller_change_nothing),
      cmocka_unit_test(calls_land_in_the_order_in_which_they_happened),
      cmocka_unit_test(big_calls_are_in_one_piece),
  };
  return core::again_on_one_core(cmocka_run_group_tests(tests, nullptr, nullptr), argv);
}
