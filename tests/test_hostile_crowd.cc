// SPDX-License-Identifier: BSD-2-Clause
// Too many of everything: requests that nobody takes, a directory of files one after the other, numbers up to the last
// one, files that are never closed. EFIO_LONG=1 for the full numbers.
#include "requests.hh"

namespace {

using requests::loop;

std::string dir;

int amount(int quick, int whole) { return std::getenv("EFIO_LONG") ? whole : quick; }

// ---- Requests

struct many {
  explicit many(int n, std::size_t each) : all(static_cast<std::size_t>(n)), bytes(all.size() * each, '-') {
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i] = {};
      all[i].buffer = {bytes.data() + i * each, each};
    }
  }
  std::vector<ef_request> all;
  std::string bytes;
};

// All are begun before the first event is taken.
void a_hundred_thousand_requests_are_over_once_each(void **) {
  constexpr std::size_t each = 16, step = 24;
  const int count = amount(20000, 100000);
  const std::string text = core::pattern(count * step);
  core::put(dir + "/many", text);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/many", O_RDONLY);
    faulty::now.nowait_miss = 1024;
    many m(count, each);
    std::vector<int> over(m.all.size());
    for (int i = 0; i < count; ++i) {
      ef_request &q = m.all[static_cast<std::size_t>(i)];
      q.data = &over[static_cast<std::size_t>(i)];
      IN_PROGRESS(ef_pread(fd, q.buffer.iov_base, each, static_cast<off_t>(i * step), &q));
    }
    long left = count;
    for (ef_event e[256]; left > 0;) {
      const int n = ef_port_next(l.port, e, 256);
      for (int i = 0; i < n; ++i) {
        const auto &q = *static_cast<const ef_request *>(e[i].data);
        assert_int_equal(q.result, each);
        assert_int_equal(++*static_cast<int *>(q.data), 1);
      }
      left -= n;
      pollfd p{l.bell, POLLIN, 0};
      if (n == 0) assert_int_equal(::poll(&p, 1, core::patience_ms), 1);
    }
    for (int i = 0; i < count; ++i)
      assert_memory_equal(m.all[static_cast<std::size_t>(i)].buffer.iov_base, text.data() + i * step, each);
    l.nothing_more();
    l.close(fd);
  });
}

// Before the open is over they wait; the number that is closed meanwhile ends them all.
void as_many_are_cancelled_or_left_alone(void **) {
  const int count = amount(10000, 100000);
  core::put(dir + "/left", core::pattern(100000));
  requests::on_each_engine([&](loop &l) {
    faulty::now.delay = 1024;
    faulty::now.delay_us = 20000;
    const int fd = core::open(dir + "/left", O_RDWR, {}, l.port);
    many m(count, 8);
    int begun = 0, cancelled = 0, turn = 0;
    for (ef_request &q : m.all) {
      const ssize_t r =
          turn++ % 2 ? ef_pread(fd, q.buffer.iov_base, 8, 4096, &q) : ef_pwrite(fd, q.buffer.iov_base, 8, 8, &q);
      if (r >= 0) continue;
      assert_int_equal(errno, EINPROGRESS);
      if (++begun % 3 == 0) cancelled += ef_cancel(&q) == 0;
    }
    faulty::heal();
    assert_true(cancelled > 0);
    assert_int_equal(ef_close(fd), 0);
    int left = begun, given_up = 0;
    for (ef_event e[256]; left > 0;) {
      const int n = ef_port_next(l.port, e, 256);
      for (int i = 0; i < n; ++i) {
        if (e[i].events != EF_REQUEST) continue;
        --left;
        given_up += e[i].error == ECANCELED;
        assert_true(e[i].error == 0 || e[i].error == ECANCELED);
      }
      pollfd p{l.bell, POLLIN, 0};
      if (n == 0) assert_int_equal(::poll(&p, 1, core::patience_ms), 1);
    }
    assert_true(given_up <= cancelled);
    l.nothing_more();
  });
}

// ---- Files

void a_directory_of_files_is_opened_one_after_the_other(void **) {
  const int count = amount(2000, 100000);
  const std::string place = dir + "/files";
  assert_int_equal(::mkdir(place.c_str(), 0700), 0);
  const auto path = [&](int i) { return place + "/" + std::to_string(i); };
  for (int i = 0; i < count; ++i) core::put(path(i), "file " + std::to_string(i));
  requests::on_each_engine([&](loop &l) {
    for (int i = 0; i < count; ++i) {
      const int fd = core::open(path(i), i % 2 ? O_RDONLY : O_RDWR, {}, l.port);
      assert_true(core::read_all(fd, 64) == "file " + std::to_string(i));
      assert_int_equal(ef_close(fd), 0);
    }
    assert_int_equal(core::drain(l.port), 0);
  });
}

// Numbers have an end, and come back. Opens that fail need no descriptor.
void numbers_end_with_enfile_and_come_back(void **) {
  if (!std::getenv("EFIO_LONG")) skip();
  std::vector<int> all;
  const std::string path = dir + "/none/such";
  int fd;
  while ((fd = ef_open(path.c_str(), O_RDONLY)) >= 0) all.push_back(fd);
  assert_int_equal(errno, ENFILE);
  std::printf("  %zu numbers\n", all.size());
  assert_true(all.size() <= 1 << 20 && all.size() > (1 << 20) - 1000);
  FAILS_WITH(ef_open(path.c_str(), O_RDONLY), ENFILE);
  for (int f : all) FAILS_WITH(ef_wait(f, EF_OPEN, core::patience_ms) == EF_OPEN ? ef_close(f) : 0, ENOENT);
  assert_int_equal(ef_drain(nullptr, core::most_patience_ms), 0);
  fd = core::open(dir + "/after", O_WRONLY | O_CREAT);
  core::write(fd, "text");
  core::close(fd);
  assert_string_equal(core::contents(dir + "/after").c_str(), "text");
}

// Opened, written, forgotten: the exit writes what they have accepted.
void files_that_are_never_closed_are_written_at_the_exit(void **) {
  rlimit most;
  assert_int_equal(::getrlimit(RLIMIT_NOFILE, &most), 0);
  const int count = std::min(amount(500, 10000), static_cast<int>(most.rlim_max) - 100);
  const std::string place = dir + "/forgotten";
  assert_int_equal(::mkdir(place.c_str(), 0700), 0);
  assert_int_equal(core::in_child([&]() -> int {
                     most.rlim_cur = most.rlim_max;
                     ::setrlimit(RLIMIT_NOFILE, &most);
                     for (int i = 0; i < count; ++i) {
                       const std::string path = place + "/" + std::to_string(i);
                       const int fd = ef_open(path.c_str(), O_WRONLY | O_CREAT, 0600);
                       if (fd < 0 || ef_write(fd, "text", 4) != 4) return 1;
                     }
                     if (ef_drain(nullptr, core::most_patience_ms) != 0) return 2; // the exit waits for a second only
                     std::exit(0);
                   }),
                   0);
  for (int i = 0; i < count; ++i) assert_string_equal(core::contents(place + "/" + std::to_string(i)).c_str(), "text");
}

} // namespace

int main() {
  faulty::install_for_requests();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(files_that_are_never_closed_are_written_at_the_exit), // forks: before there are threads
      cmocka_unit_test(a_hundred_thousand_requests_are_over_once_each),
      cmocka_unit_test(as_many_are_cancelled_or_left_alone),
      cmocka_unit_test(a_directory_of_files_is_opened_one_after_the_other),
      cmocka_unit_test(numbers_end_with_enfile_and_come_back),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
