// SPDX-License-Identifier: BSD-2-Clause
// Rings change hands: what one thread leaves behind must not harm the next one, nor the other rings of either.
#include "requests.hh"

#include <functional>
#include <utility>

namespace {

using requests::loop;
using requests::one;

std::string dir, all;
constexpr std::size_t piece = 4096;

std::function<void()> meanwhile; // runs once, in the next inline read

ssize_t nowait_and_more(int fd, const iovec *iov, int count, off_t offset) {
  if (auto run = std::exchange(meanwhile, nullptr)) run();
  return faulty::do_preadv_nowait(fd, iov, count, offset);
}

std::atomic<int> refused{0};

int counting_enter(io_uring *ring, bool submit, std::int64_t wait_ns) {
  const int r = faulty::do_uring_enter(ring, submit, wait_ns);
  refused += r == -EBADF;
  return r;
}

struct direct_read {
  explicit direct_read(off_t place) : at(place) { assert_int_equal(::posix_memalign(&memory, piece, piece), 0); }
  ~direct_read() { std::free(memory); }
  direct_read(const direct_read &) = delete;
  direct_read &operator=(const direct_read &) = delete;

  void begin(int fd) { IN_PROGRESS(ef_pread(fd, memory, piece, at, &r.q)); }
  void check() const {
    assert_int_equal(r.q.result, piece);
    assert_int_equal(std::memcmp(memory, all.data() + at, piece), 0);
  }

  off_t at;
  void *memory;
  one r;
};

int open_direct(ef_port *p) {
  ef_file_options o{};
  o.cache = EF_CACHE_DIRECT;
  const int fd = core::open(dir + "/r", O_RDONLY, o, p);
  core::wait(fd, EF_OPEN);
  return fd;
}

template<class Body> void in_another_thread(Body body) { std::thread(body).join(); }
void look(ef_port *p) {
  ef_event e;
  stress::require(ef_port_next(p, &e, 1) == 0, "the port is this thread's");
}

// A thread that begins several requests together loses the port to another one in the middle of it.
void who_takes_a_port_over_need_not_wait_for_more(void **) {
  loop l(EF_ENGINE_URING);
  const int cached = l.open(dir + "/r", O_RDONLY), fd = open_direct(l.port);
  in_another_thread([&] {
    look(l.port);
    one hit(100);
    meanwhile = [&] { in_another_thread([&] { look(l.port); }); };
    ef_request *list[] = {hit.to_do(EF_PREAD, cached, 0)};
    stress::require(ef_submit(list, 1) == 0 && hit.q.result == 100, "a hit");
    stress::require(!meanwhile, "in the middle of it");
  });
  l.drain();
  for (int i = 0; i < 10; ++i) {
    direct_read d(i * 8192);
    d.begin(fd);
    l.until_over(d.r);
    d.check();
  }
  l.close(cached);
  l.close(fd);
  l.end();
}

// As rings are made on kernels of all ages.
void taking_a_ring_down_leaves_this_thread_s_own_alone(void **) {
  for (unsigned unknown : {0u, 1u << 12, 1u << 12 | 1u << 8}) {
    faulty::now.uring_flags = unknown;
    loop l(EF_ENGINE_URING);
    const int fd = open_direct(l.port);
    for (int round = 0; round < 20; ++round) { // more than a thread may register
      std::atomic<bool> left{false}, taken{false};
      ef_port *other = nullptr;
      int file = -1;
      std::thread first([&] { // lives on, with a ring that it does not need any more
        loop m(EF_ENGINE_URING);
        other = m.port;
        file = open_direct(m.port);
        direct_read d(0);
        d.begin(file);
        m.until_over(d.r);
        left = true;
        stress::await([&] { return taken.load(); }, "the other one");
      });
      stress::await([&] { return left.load(); }, "the first one");
      direct_read d(round * 8192);
      d.begin(fd);
      look(other);
      taken = true;
      l.until_over(d.r);
      d.check();
      first.join();
      core::close(file, other);
      assert_int_equal(refused, 0);
      assert_int_equal(ef_port_free(other), 0);
    }
    l.close(fd);
    l.end();
    faulty::heal();
  }
}

// A thread that makes and frees ports for ever.
void ports_with_rings_come_and_go(void **) {
  for (unsigned unknown : {0u, 1u << 12})
    for (int i = 0; i < 100; ++i) {
      faulty::now.uring_flags = unknown;
      loop l(EF_ENGINE_URING);
      const int fd = open_direct(l.port);
      direct_read d(i * 4096), e(i * 8192);
      d.begin(fd);
      e.begin(fd);
      l.until_over(d.r);
      l.until_over(e.r);
      d.check();
      e.check();
      if (i % 2) {
        l.close(fd);
        l.end();
      } else {
        assert_int_equal(ef_close(fd), 0);
        assert_int_equal(ef_port_abandon(l.port), 0);
      }
    }
  faulty::heal();
}

// The kernel is asked to end a request that a thread has, and takes the question later.
void a_cancel_that_is_not_taken_holds_nothing_up(void **) {
  loop l(EF_ENGINE_URING);
  const int fd = open_direct(l.port);
  for (int i = 0; i < 20; ++i) {
    direct_read first(i * 4096), next(i * 8192);
    first.begin(fd); // makes the ring
    l.until_over(first.r);
    one large(300'000); // too much for a ring
    faulty::now.delay = 1024;
    faulty::now.delay_us = 2000;
    faulty::now.uring_full = 1024;
    IN_PROGRESS(large.pread(fd, 0));
    assert_true(ef_cancel(&large.q) == 0 || errno == ENOENT);
    l.until_over(large);
    l.nothing_more();
    faulty::heal();
    next.begin(fd);
    l.until_over(next.r);
    next.check();
  }
  l.close(fd);
  l.end();
}

// Whoever waits for an end turns the ring, too, and sees what is left to be handed over.
void what_is_left_by_who_waits_comes(void **) {
  loop l(EF_ENGINE_URING);
  const int fd = open_direct(l.port);
  for (int i = 0; i < 100; ++i) {
    direct_read first(i * 4096), behind(i * 8192);
    first.begin(fd);
    faulty::now.uring_full = 700;
    behind.begin(fd);
    if (ef_cancel_wait(&first.r.q) != 0) l.until_over(first.r);
    faulty::heal();
    l.until_over(behind.r);
    behind.check();
  }
  l.close(fd);
  l.end();
}

} // namespace

int main() {
  faulty::install_for_requests();
  faulty::install([](ef::sys_table &t) {
    t.preadv_nowait = nowait_and_more;
    t.uring_enter = counting_enter;
  });
  dir = core::directory();
  all = core::pattern(1 << 20);
  core::put(dir + "/r", all);
  const CMUnitTest tests[] = {
      cmocka_unit_test(who_takes_a_port_over_need_not_wait_for_more),
      cmocka_unit_test(taking_a_ring_down_leaves_this_thread_s_own_alone),
      cmocka_unit_test(ports_with_rings_come_and_go),
      cmocka_unit_test(a_cancel_that_is_not_taken_holds_nothing_up),
      cmocka_unit_test(what_is_left_by_who_waits_comes),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
