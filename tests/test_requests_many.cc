// SPDX-License-Identifier: BSD-2-Clause
// Many requests at once: more than a ring holds, neighbours that are read with one call, ends that come while others
// are taken. Each comes back once, with its own bytes.
#include "requests.hh"

#include <chrono>
#include <numeric>

namespace {

using requests::loop;
using requests::one;
using std::size_t;

std::string dir;
constexpr unsigned always = 1024;

using batch = std::vector<std::unique_ptr<one>>;

batch make(int count, size_t bytes) {
  batch b;
  for (int i = 0; i < count; ++i) b.push_back(std::make_unique<one>(bytes));
  return b;
}
std::vector<int> in_order(int count, bool shuffled) {
  std::vector<int> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  if (shuffled)
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[faulty::random32() % i]);
  return order;
}

// No two of them lie side by side, so that nothing is joined.
void more_than_a_ring_holds_are_served(void **) {
  constexpr int count = 2000;
  const std::string all = core::pattern(count * 600);
  core::put(dir + "/many", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/many", O_RDONLY);
    faulty::now.nowait_miss = always;
    for (bool together : {false, true}) {
      batch b = make(count, 500);
      std::vector<ef_request *> list;
      for (int i : in_order(count, true)) {
        if (together)
          list.push_back(b[static_cast<size_t>(i)]->to_do(EF_PREAD, fd, i * 600));
        else
          IN_PROGRESS(b[static_cast<size_t>(i)]->pread(fd, i * 600));
      }
      if (together) assert_int_equal(ef_submit(list.data(), count), count);
      l.until_all_over(b);
      for (int i = 0; i < count; ++i)
        assert_true(b[static_cast<size_t>(i)]->bytes == all.substr(static_cast<size_t>(i) * 600, 500));
    }
    l.nothing_more();
    l.close(fd);
  });
}

// Whatever order they come in, up to the end of the file and past it, and whatever goes wrong with some of them.
void neighbours_have_their_own_bytes_and_errors(void **) {
  constexpr int count = 300;
  constexpr size_t piece = 4096, size = (count - 20) * piece + 1234;
  const std::string all = core::pattern(size);
  core::put(dir + "/side", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/side", O_RDONLY);
    int failed = 0;
    for (bool shuffled : {false, true})
      for (unsigned cut : {0u, 300u, always})
        for (int error : {0, EIO})
          for (unsigned passing : {0u, 300u}) {
            faulty::now.nowait_miss = always;
            faulty::now.short_read = cut;
            faulty::now.read_errno = error;
            faulty::now.errno_chance = 300;
            faulty::now.uring_passing = passing;
            batch b = make(count, piece);
            std::vector<ef_request *> list;
            for (int i : in_order(count, shuffled))
              list.push_back(b[static_cast<size_t>(i)]->to_do(EF_PREAD, fd, i * static_cast<off_t>(piece)));
            assert_int_equal(ef_submit(list.data(), count), count);
            l.until_all_over(b);
            for (size_t i = 0; i < count; ++i) {
              const one &r = *b[i];
              const size_t wanted = i * piece < size ? std::min(piece, size - i * piece) : 0;
              if (error && r.q.result < static_cast<ssize_t>(wanted)) { // an error came behind it
                assert_true(r.q.result == -1 ? r.q.error == EIO : r.q.error == 0);
                ++failed;
              } else if (!(error && r.q.result == -1 && r.q.error == EIO)) {
                assert_int_equal(r.q.result, wanted);
              }
              const auto got = static_cast<size_t>(std::max<ssize_t>(r.q.result, 0));
              if (got) assert_true(r.bytes.substr(0, got) == all.substr(i * piece, got));
            }
          }
    assert_true(failed > 0);
    l.nothing_more();
    l.close(fd);
  });
}

// From threads that are not the owner: their events come to the owner's descriptor, too.
void other_threads_begin_requests(void **) {
  const std::string all = core::pattern(1 << 20);
  core::put(dir + "/r", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    std::vector<batch> batches;
    for (int t = 0; t < 4; ++t) batches.push_back(make(200, 3000));
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) {
          one &r = *batches[static_cast<size_t>(t)][static_cast<size_t>(i)];
          if (r.pread(fd, i * 5000) != -1 || errno != EINPROGRESS) ++wrong;
        }
      });
    for (int i = 0; i < 200; ++i) IN_PROGRESS(batches[3][static_cast<size_t>(i)]->pread(fd, i * 5000));
    for (auto &b : batches) l.until_all_over(b);
    for (auto &t : threads) t.join();
    assert_int_equal(wrong, 0);
    for (auto &b : batches)
      for (size_t i = 0; i < 200; ++i) assert_true(b[i]->bytes == all.substr(i * 5000, 3000));
    l.nothing_more();
    l.close(fd);
  });
}

// Short of memory, the kernel takes nothing for a moment.
void what_the_kernel_does_not_take_now_is_handed_over_later(void **) {
  const std::string all = core::pattern(1 << 20);
  core::put(dir + "/r", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    for (unsigned chance : {always, 700u}) {
      batch b = make(300, 3000);
      faulty::now.uring_full = chance;
      for (size_t i = 0; i < b.size(); ++i) IN_PROGRESS(b[i]->pread(fd, static_cast<off_t>(i) * 3100));
      if (chance == always) faulty::now.uring_full = 0;
      l.until_all_over(b);
      for (size_t i = 0; i < b.size(); ++i) assert_true(b[i]->bytes == all.substr(i * 3100, 3000));
    }
    // Each has a list of buffers, which the kernel reads when it takes it.
    batch b = make(100, 3000);
    iovec parts[100][2];
    faulty::now.uring_full = always;
    for (size_t i = 0; i < b.size(); ++i) {
      parts[i][0] = {b[i]->bytes.data(), 1000};
      parts[i][1] = {b[i]->bytes.data() + 1000, 2000};
      IN_PROGRESS(ef_preadv(fd, parts[i], 2, static_cast<off_t>(i) * 3100, &b[i]->q));
      if (i % 10 == 0) assert_true(ef_port_submit(l.port) >= 0);
    }
    faulty::now.uring_full = 0;
    l.until_all_over(b);
    for (size_t i = 0; i < b.size(); ++i) assert_true(b[i]->bytes == all.substr(i * 3100, 3000));
    l.nothing_more();
    l.close(fd);
  });
}

// What is taken one by one costs no signal each.
void one_signal_is_enough_for_many_events(void **) {
  constexpr int count = 200;
  core::put(dir + "/r", core::pattern(1 << 20));
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    batch b = make(count, 3000);
    for (size_t i = 0; i < b.size(); ++i) IN_PROGRESS(b[i]->pread(fd, static_cast<off_t>(i) * 5000));
    ef_port_submit(l.port);
    ef_port_counters c{};
    c.size = sizeof c;
    assert_int_equal(ef_port_stats(l.port, &c), 0);
    const auto before = c.wakes;
    for (int taken = 0, pauses = 0; taken < count;) {
      ef_event e;
      const int n = ef_port_next(l.port, &e, 1);
      assert_in_range(n, 0, 1);
      taken += n;
      if (n == 0) {
        assert_true(++pauses < 10'000);
        ::usleep(20'000); // they come together
      }
    }
    assert_int_equal(ef_port_stats(l.port, &c), 0);
    std::printf("    %d signals\n", static_cast<int>(c.wakes - before));
    assert_true(c.wakes - before < count / 4);
    for (auto &r : b) ++r->events;
    l.close(fd);
  });
}

void spin(unsigned us) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(us);
  while (std::chrono::steady_clock::now() < end) {}
}

// Reads that really go to the disk end at any moment of a turn; looking at the port for nothing, or for another's
// event, loses none of them.
void an_end_in_the_middle_of_a_turn_is_not_lost(void **) {
  constexpr size_t piece = 4096, pieces = 256;
  const std::string all = core::pattern(piece * pieces);
  core::put(dir + "/direct", all);
  void *memory;
  assert_int_equal(::posix_memalign(&memory, piece, piece), 0);
  requests::on_each_engine([&](loop &l) {
    ef_file_options o{};
    o.cache = EF_CACHE_DIRECT;
    const int fd = l.open(dir + "/direct", O_RDONLY, o), w = l.open(dir + "/w", O_WRONLY | O_CREAT);
    for (int i = 0; i < 4000; ++i) {
      const size_t at = faulty::random32() % pieces * piece;
      one r, other(10);
      IN_PROGRESS(ef_pread(fd, memory, piece, static_cast<off_t>(at), &r.q));
      if (i % 2) IN_PROGRESS(other.pwrite(w, 0));
      spin(faulty::random32() % 120);
      l.drain(); // nobody said so
      l.until_over(r);
      assert_int_equal(std::memcmp(memory, all.data() + at, piece), 0);
      if (i % 2) l.until_over(other);
    }
    l.close(fd);
    l.close(w);
  });
  std::free(memory);
}

} // namespace

int main() {
  faulty::install_for_requests();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(more_than_a_ring_holds_are_served),
      cmocka_unit_test(neighbours_have_their_own_bytes_and_errors),
      cmocka_unit_test(other_threads_begin_requests),
      cmocka_unit_test(what_the_kernel_does_not_take_now_is_handed_over_later),
      cmocka_unit_test(one_signal_is_enough_for_many_events),
      cmocka_unit_test(an_end_in_the_middle_of_a_turn_is_not_lost),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
