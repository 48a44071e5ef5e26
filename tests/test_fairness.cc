// SPDX-License-Identifier: BSD-2-Clause
// A huge reader on a port beside a thousand small ones: nothing is in memory, and each gets its turn.
#include "requests.hh"

#include <unordered_map>

namespace {

using requests::loop;

std::string dir;
constexpr int small_files = 1000;
constexpr off_t huge_bytes = off_t{1} << 34; // a hole: never at its end in the time of this test
constexpr std::size_t record = 65536;

struct huge_reader {
  int fd;
  int reads = 0, in_a_row = 0, most_in_a_row = 0;
  std::vector<char> to = std::vector<char>(record);

  // As a program would: all that is there, but no more than a piece before the others' events.
  void turn() {
    for (int i = 0; i < 8; ++i) {
      const ssize_t n = ef_read(fd, to.data(), record);
      if (n < 0) {
        assert_int_equal(errno, EAGAIN);
        return;
      }
      assert_true(n > 0);
      ++reads;
      most_in_a_row = std::max(most_in_a_row, ++in_a_row);
    }
    ef_watch(fd, EF_READ, nullptr); // there is more
  }
};

bool read_all(int fd, std::string *bytes) {
  char to[4096];
  for (;;) {
    const ssize_t n = ef_read(fd, to, sizeof to);
    if (n > 0) bytes->append(to, static_cast<std::size_t>(n));
    if (n < 0) assert_int_equal(errno, EAGAIN);
    if (n <= 0) return n == 0;
  }
}

// The small ones are served as they would be in a queue without the huge one, in which it takes its few places: what it
// reads ahead at once is bounded, and it queues up again behind those who wait.
void a_huge_reader_starves_nobody(void **) {
  const std::string all = core::pattern(9000);
  core::put(dir + "/small", all);
  core::put(dir + "/huge", "");
  assert_int_equal(::truncate((dir + "/huge").c_str(), huge_bytes), 0);
  requests::on_each_engine([&](loop &l) {
    huge_reader huge{l.open(dir + "/huge", O_RDONLY)};
    std::unordered_map<int, std::string> small;
    for (int i = 0; i < small_files; ++i) small[l.open(dir + "/small", O_RDONLY)];
    faulty::now.nowait_miss = 1024;
    faulty::now.delay = 1024;
    faulty::now.delay_us = 200;
    l.others.clear();
    huge.turn();
    std::size_t done = 0;
    for (auto &[fd, bytes] : small) done += read_all(fd, &bytes);
    assert_int_equal(done, 0);
    while (done < small.size()) {
      l.turn();
      std::vector<ef_event> events;
      events.swap(l.others);
      for (const ef_event &e : events) {
        if (e.fd == huge.fd) {
          huge.turn();
        } else if (auto of = small.find(e.fd); of != small.end() && read_all(e.fd, &of->second)) {
          ++done;
          huge.in_a_row = 0;
        }
      }
    }
    std::printf("  the huge one had %d reads of 64 KiB, %d at most between two small files' ends\n", huge.reads,
                huge.most_in_a_row);
    assert_true(huge.reads > 0 && huge.reads <= small_files / 4);
    for (auto &[fd, bytes] : small) {
      assert_true(bytes == all);
      l.close(fd);
    }
    l.close(huge.fd);
  });
}

} // namespace

int main() {
  faulty::install_for_requests();
  dir = core::directory();
  const CMUnitTest tests[] = {cmocka_unit_test(a_huge_reader_starves_nobody)};
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
