// SPDX-License-Identifier: BSD-2-Clause
// Reads and writes at an offset, on each engine: what is answered at once and what by an event, exact counts and
// bytes, errors.
#include "requests.hh"

namespace {

using requests::loop;
using requests::one;

std::string dir;
constexpr unsigned always = 1024;

void what_is_in_memory_is_read_at_once(void **) {
  const std::string all = core::pattern(100000);
  core::put(dir + "/r", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    for (off_t at : {0, 1, 4095, 4096, 50001}) {
      one r(40000);
      assert_int_equal(r.pread(fd, at), 40000);
      assert_true(r.bytes == all.substr(static_cast<std::size_t>(at), 40000));
      assert_int_equal(ef_pread(fd, r.bytes.data(), 100, at, nullptr), 100);
    }
    l.nothing_more();
    assert_int_equal(core::stats(fd).read, 5 * 40100);
    l.close(fd);
  });
}

void a_miss_has_one_event(void **) {
  const std::string all = core::pattern(100000);
  core::put(dir + "/r", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    one r(30000);
    IN_PROGRESS(r.pread(fd, 12345));
    assert_int_equal(r.q.error, EINPROGRESS); // until its event is taken
    FAILS_WITH(r.pread(fd, 0), EBUSY);
    ef_request *again = &r.q;
    assert_int_equal(ef_submit(&again, 1), 0); // left alone
    l.until_over(r);
    assert_int_equal(r.q.result, 30000);
    assert_true(r.bytes == all.substr(12345, 30000));
    FAILS_WITH(ef_pread(fd, r.bytes.data(), 10, 0, nullptr), EAGAIN);
    l.nothing_more();
    assert_int_equal(r.events, 1);
    IN_PROGRESS(r.pread(fd, 70000)); // used again
    l.until_over(r, 2);
    assert_true(r.bytes == all.substr(70000));
    FAILS_WITH(ef_cancel(&r.q), ENOENT);
    l.close(fd);
  });
}

void counts_are_short_at_the_end_of_the_file_only(void **) {
  constexpr off_t size = 300001;
  const std::string all = core::pattern(size);
  core::put(dir + "/end", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/end", O_RDONLY);
    for (unsigned miss : {0u, 500u, always})
      for (unsigned cut : {0u, 700u})
        for (std::size_t n : {std::size_t{1}, std::size_t{4096}, std::size_t{70000}, std::size_t{400000}})
          for (off_t at : {off_t{0}, size - 70000, size - 4096, size - 1, size, size + 1, size + 100000}) {
            faulty::now.nowait_miss = miss;
            faulty::now.short_read = cut;
            one r(n);
            const ssize_t got = requests::outcome(l, r, r.pread(fd, at));
            const auto left = std::max<off_t>(size - at, 0);
            assert_int_equal(got, std::min<off_t>(left, static_cast<off_t>(n)));
            assert_int_equal(r.bytes.compare(0, static_cast<std::size_t>(got), all,
                                             std::min<std::size_t>(static_cast<std::size_t>(at), size),
                                             static_cast<std::size_t>(got)),
                             0);
            assert_true(r.bytes.find_first_not_of('-', static_cast<std::size_t>(got)) == std::string::npos || cut);
          }
    l.nothing_more();
    l.close(fd);
  });
  assert_true(faulty::now.shorts > 0);
}

void errors_of_the_disk_come_with_the_event(void **) {
  core::put(dir + "/r", core::pattern(100000));
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    faulty::now.read_errno = EIO;
    const std::uint64_t before = faulty::now.errors;
    one r(5000);
    IN_PROGRESS(r.pread(fd, 0));
    l.until_over(r);
    assert_int_equal(r.q.result, -1);
    assert_int_equal(r.q.error, EIO);
    assert_true(faulty::now.errors > before);
    faulty::heal();
    assert_int_equal(r.pread(fd, 0), 5000); // no error sticks
    l.close(fd);
  });
}

void what_only_a_ring_answers_is_no_error(void **) {
  const std::string all = core::pattern(1 << 20);
  core::put(dir + "/r", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    faulty::now.uring_passing = 512;
    std::vector<std::unique_ptr<one>> many;
    for (int i = 0; i < 200; ++i) {
      many.push_back(std::make_unique<one>(5000));
      IN_PROGRESS(many.back()->pread(fd, i * 5003));
    }
    l.until_all_over(many);
    for (auto &r : many) assert_int_equal(r->q.result, 5000);
    for (int i = 0; i < 200; ++i) assert_true(many[i]->bytes == all.substr(static_cast<std::size_t>(i) * 5003, 5000));
    l.close(fd);
  });
}

void without_rings_threads_read(void **) {
  const std::string all = core::pattern(50000);
  core::put(dir + "/r", all);
  for (int e : {EPERM, ENOMEM, EMFILE, ENOSYS}) {
    loop l(EF_ENGINE_URING);
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    faulty::now.uring_errno = e;
    one r(50000);
    IN_PROGRESS(r.pread(fd, 0));
    l.until_over(r);
    assert_true(r.bytes == all);
    ef_port_counters c{};
    c.size = sizeof c;
    assert_int_equal(ef_port_stats(l.port, &c), 0);
    assert_int_equal(c.engine, EF_ENGINE_THREADS);
    faulty::heal();
    l.close(fd);
    l.end();
  }
}

// Buffers of random sizes, some of them empty, runs of empty ones among them.
struct spread {
  std::vector<std::string> parts;
  std::vector<iovec> iov;
  std::size_t bytes = 0;

  spread(int count, int empty_first) : parts(static_cast<std::size_t>(count)) {
    for (int i = 0; i < count; ++i) {
      std::string &p = parts[static_cast<std::size_t>(i)];
      if (i >= empty_first && faulty::random32() % 4) p.resize(1 + faulty::random32() % 300, '-');
      if (i == count - 1) p.resize(77, '-');
      iov.push_back({p.empty() ? nullptr : p.data(), p.size()});
      bytes += p.size();
    }
  }
  std::string joined() const {
    std::string s;
    for (const std::string &p : parts) s += p;
    return s;
  }
};

void vectored_reads_fill_their_buffers_in_order(void **) {
  const std::string all = core::pattern(400000);
  core::put(dir + "/r", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    for (unsigned miss : {0u, always})
      for (unsigned cut : {0u, 500u})
        for (int count : {1, 2, 3, 63, 64, 65, 66, 128, 129, 1000, 1024})
          for (int empty : {0, count - 1, std::min(count - 1, 64), std::min(count - 1, 200)}) {
            faulty::now.nowait_miss = miss;
            faulty::now.short_read = cut;
            spread s(count, empty);
            one r;
            const ssize_t n = requests::outcome(l, r, ef_preadv(fd, s.iov.data(), count, 333, &r.q));
            assert_int_equal(n, s.bytes);
            assert_true(s.joined() == all.substr(333, s.bytes));
          }
    l.nothing_more();
    l.close(fd);
  });
}

void vectored_writes_take_their_buffers_in_order(void **) {
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/w", O_RDWR | O_CREAT | O_TRUNC);
    for (unsigned cut : {0u, 500u})
      for (int count : {1, 2, 64, 65, 129, 1024})
        for (int empty : {0, count - 1, std::min(count - 1, 100)}) {
          faulty::now.short_write = cut;
          spread s(count, empty);
          const std::string text = core::pattern(s.bytes, 7 + static_cast<unsigned>(count));
          std::size_t at = 0;
          for (std::string &p : s.parts) at += text.copy(p.data(), p.size(), at);
          one r;
          assert_int_equal(requests::outcome(l, r, ef_pwritev(fd, s.iov.data(), count, 99, &r.q)), s.bytes);
          assert_true(core::contents(dir + "/w").substr(99, s.bytes) == text);
        }
    l.nothing_more();
    l.close(fd);
  });
}

void bad_arguments_are_refused_and_nothing_begins(void **) {
  core::put(dir + "/r", "text");
  requests::on_each_engine([&](loop &l) {
    const int r = l.open(dir + "/r", O_RDONLY), w = l.open(dir + "/w", O_WRONLY | O_CREAT);
    char b[8];
    one q(8);
    iovec good{b, 3}, null{nullptr, 3}, huge[2] = {{b, SSIZE_MAX}, {b, 1}};
    FAILS_WITH(ef_pread(w, b, 1, 0, &q.q), EBADF);
    FAILS_WITH(ef_pwrite(r, b, 1, 0, &q.q), EBADF);
    FAILS_WITH(ef_pwrite(w, b, 1, 0, nullptr), EINVAL);
    for (int none : {-1, 999999, INT_MAX}) {
      FAILS_WITH(ef_pread(none, b, 1, 0, &q.q), EBADF);
      FAILS_WITH(ef_pwrite(none, b, 1, 0, &q.q), EBADF);
      FAILS_WITH(ef_advise(none, 0, 0, EF_PATTERN_RANDOM), EBADF);
    }
    FAILS_WITH(ef_pread(r, nullptr, 3, 0, &q.q), EFAULT);
    FAILS_WITH(ef_preadv(r, nullptr, 1, 0, &q.q), EFAULT);
    FAILS_WITH(ef_preadv(r, &null, 1, 0, &q.q), EFAULT);
    FAILS_WITH(ef_preadv(r, huge, 2, 0, &q.q), EINVAL);
    FAILS_WITH(ef_pread(r, b, SIZE_MAX, 0, &q.q), EINVAL);
    for (int n : {0, -1, 1025, INT_MAX, INT_MIN}) {
      FAILS_WITH(ef_preadv(r, &good, n, 0, &q.q), EINVAL);
      FAILS_WITH(ef_pwritev(w, &good, n, 0, &q.q), EINVAL);
    }
    FAILS_WITH(ef_pread(r, b, 1, -1, &q.q), EINVAL);
    FAILS_WITH(ef_pread(r, b, 1, INT64_MAX, &q.q), EINVAL);
    FAILS_WITH(ef_pwrite(w, b, 2, INT64_MAX - 1, &q.q), EINVAL);
    assert_int_equal(ef_pread(r, b, 1, INT64_MAX - 1, &q.q), 0);
    assert_int_equal(ef_pread(r, nullptr, 0, 0, &q.q), 0);
    assert_int_equal(ef_pwrite(w, nullptr, 0, 0, &q.q), 0);
    FAILS_WITH(ef_cancel(nullptr), EFAULT);
    FAILS_WITH(ef_cancel(&q.q), ENOENT);
    FAILS_WITH(ef_submit(nullptr, 1), EFAULT);
    ef_request *two[] = {q.to_do(EF_PREAD, r, 0), nullptr};
    FAILS_WITH(ef_submit(two, 2), EFAULT);
    FAILS_WITH(ef_submit(two, -1), EINVAL);
    assert_int_equal(ef_submit(nullptr, 0), 0);
    for (int a : {-1, 4, 99}) FAILS_WITH(ef_advise(r, 0, 0, a), EINVAL);
    FAILS_WITH(ef_advise(r, -1, 0, EF_WILL_NEED), EINVAL);
    FAILS_WITH(ef_advise(r, 0, -1, EF_WILL_NEED), EINVAL);
    FAILS_WITH(ef_advise(r, 0, 1, EF_PATTERN_RANDOM), EINVAL);
    FAILS_WITH(ef_advise(w, 0, 0, EF_PATTERN_RANDOM), EBADF);
    for (int a : {EF_PATTERN_RANDOM, EF_PATTERN_SEQUENTIAL, EF_PATTERN_ADAPTIVE})
      assert_int_equal(ef_advise(r, 0, 0, a), 0);
    assert_int_equal(ef_advise(r, 0, 1000, EF_WILL_NEED), 0);
    l.nothing_more();
    assert_int_equal(q.events, 0);
    l.close(r);
    l.close(w);
  });
  assert_string_equal(core::contents(dir + "/w").c_str(), "");
}

void what_cannot_be_sought_answers_espipe(void **) {
  const std::string fifo = dir + "/fifo";
  assert_int_equal(::mkfifo(fifo.c_str(), 0600), 0);
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  requests::on_each_engine([&](loop &l) {
    const int fd = core::open(fifo, O_WRONLY, {}, l.port);
    one early(10), late(10);
    assert_int_equal(early.pwrite(fd, 0), -1);
    if (errno == EINPROGRESS) { // the open was not over
      l.until_over(early);
      errno = early.q.error;
    }
    assert_int_equal(errno, ESPIPE);
    FAILS_WITH(late.pwrite(fd, 0), ESPIPE);
    l.close(fd);
  });
  ::close(reader);
}

// Of several begun together those that go no further have their answers at once.
void a_submit_tells_which_are_under_way(void **) {
  const std::string all = core::pattern(20000);
  core::put(dir + "/r", all);
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY), w = l.open(dir + "/w", O_RDWR | O_CREAT | O_TRUNC);
    one hit(100), bad(100), end(100), op(100), write(100), vector;
    iovec two[] = {{hit.bytes.data(), 0}, {op.bytes.data(), 50}};
    vector.to_do(EF_PREAD, fd, 7);
    vector.q.iovcnt = 2;
    vector.q.iov = two;
    ef_request *list[] = {hit.to_do(EF_PREAD, fd, 10), bad.to_do(EF_PREAD, w + 1000, 0), end.to_do(EF_PREAD, fd, 20000),
                          op.to_do(77, fd, 0),         write.to_do(EF_PWRITE, w, 5),     &vector.q};
    assert_int_equal(ef_submit(list, 6), 1);
    assert_int_equal(hit.q.result, 100);
    assert_int_equal(hit.q.error, 0);
    assert_true(hit.bytes == all.substr(10, 100));
    assert_int_equal(bad.q.result, -1);
    assert_int_equal(bad.q.error, EBADF);
    assert_int_equal(end.q.result, 0);
    assert_int_equal(end.q.error, 0);
    assert_int_equal(op.q.error, EINVAL);
    assert_int_equal(vector.q.result, 50);
    assert_true(op.bytes.substr(0, 50) == all.substr(7, 50));
    l.until_over(write);
    assert_int_equal(write.q.result, 100);
    assert_true(core::contents(dir + "/w").substr(5) == write.bytes);
    l.nothing_more();
    l.close(fd);
    l.close(w);
  });
}

} // namespace

int main() {
  faulty::install_for_requests();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(what_is_in_memory_is_read_at_once),
      cmocka_unit_test(a_miss_has_one_event),
      cmocka_unit_test(counts_are_short_at_the_end_of_the_file_only),
      cmocka_unit_test(errors_of_the_disk_come_with_the_event),
      cmocka_unit_test(what_only_a_ring_answers_is_no_error),
      cmocka_unit_test(without_rings_threads_read),
      cmocka_unit_test(vectored_reads_fill_their_buffers_in_order),
      cmocka_unit_test(vectored_writes_take_their_buffers_in_order),
      cmocka_unit_test(bad_arguments_are_refused_and_nothing_begins),
      cmocka_unit_test(what_cannot_be_sought_answers_espipe),
      cmocka_unit_test(a_submit_tells_which_are_under_way),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
