// SPDX-License-Identifier: BSD-2-Clause
// Requests that wait for something: for the open, for what was written before, for their turn; and those that nobody
// wants any more.
#include "requests.hh"

#include <filesystem>
#include <iterator>

namespace {

using requests::loop;
using requests::one;
using std::size_t;

std::string dir, all;
constexpr unsigned always = 1024;

void what_is_begun_before_the_open_is_over_waits_for_it(void **) {
  requests::on_each_engine([&](loop &l) {
    for (int i = 0; i < 30; ++i) {
      faulty::now.delay = always;
      faulty::now.delay_us = 2000;
      const int fd = core::open(dir + "/new" + std::to_string(i % 2), O_RDWR | O_CREAT | O_TRUNC, {}, l.port);
      one read(500), write(1000), none(10);
      FAILS_WITH(ef_pread(fd, none.bytes.data(), 10, 0, nullptr), EAGAIN);
      core::write(fd, std::string(2000, 'a'));
      assert_int_equal(read.pread(fd, 1300), -1); // sees what was accepted before, also when the open is over meanwhile
      assert_int_equal(errno, EINPROGRESS);
      l.until_over(read);
      assert_true(read.bytes == std::string(500, 'a'));
      assert_true(requests::outcome(l, write, write.pwrite(fd, 5000)) == 1000);
      assert_true(core::contents(dir + "/new" + std::to_string(i % 2)) ==
                  std::string(2000, 'a') + std::string(3000, 0) + write.bytes);
      l.close(fd);
    }
  });
}

void a_failed_open_fails_what_waited_for_it(void **) {
  requests::on_each_engine([&](loop &l) {
    for (int i = 0; i < 30; ++i) {
      faulty::now.open_errno = EACCES;
      faulty::now.delay = i % 2 ? always : 0;
      const int fd = core::open(dir + "/r", O_RDWR, {}, l.port);
      one read(500), write(100), late(10);
      for (one *r : {&read, &write}) {
        assert_int_equal(r == &read ? read.pread(fd, 0) : write.pwrite(fd, 0), -1);
        if (errno != EINPROGRESS) { // it is over already
          assert_int_equal(errno, EACCES);
          continue;
        }
        l.until_over(*r);
        assert_int_equal(r->q.result, -1);
        assert_int_equal(r->q.error, EACCES);
      }
      core::wait(fd, EF_OPEN);
      FAILS_WITH(late.pread(fd, 0), EACCES);
      FAILS_WITH(late.pwrite(fd, 0), EACCES);
      ef_close(fd);
    }
  });
}

void reads_see_what_was_accepted_before_them(void **) {
  requests::on_each_engine([&](loop &l) {
    ef_file_options o{};
    o.flush_interval_ms = 3600000; // nothing is written by itself
    const int fd = l.open(dir + "/own", O_RDWR | O_CREAT | O_TRUNC, o);
    std::string text;
    for (unsigned miss : {0u, always})
      for (int i = 0; i < 300; ++i) {
        faulty::now.nowait_miss = miss;
        faulty::now.short_write = 300;
        const std::string more = core::pattern(1 + faulty::random32() % 3000, faulty::random32());
        core::write(fd, more);
        text += more;
        one r(more.size() + 10);
        const size_t at = text.size() - more.size();
        assert_int_equal(requests::outcome(l, r, r.pread(fd, static_cast<off_t>(at))), more.size());
        assert_true(r.bytes.substr(0, more.size()) == more);
      }
    l.close(fd);
    assert_true(core::contents(dir + "/own") == text);
  });
}

// What was read ahead of a stream is not what was written at an offset since.
void a_stream_sees_writes_at_an_offset(void **) {
  requests::on_each_engine([&](loop &l) {
    std::string text = all;
    core::put(dir + "/mixed", text);
    const int fd = l.open(dir + "/mixed", O_RDWR);
    faulty::now.nowait_miss = 512;
    for (size_t at = 0; at + 60000 < text.size();) {
      char b[5000];
      ssize_t n;
      while ((n = ef_read(fd, b, sizeof b)) < 0) core::wait(fd, EF_READ);
      assert_int_equal(text.compare(at, static_cast<size_t>(n), b, static_cast<size_t>(n)), 0);
      at += static_cast<size_t>(n);
      one w(3000);
      w.bytes = core::pattern(3000, faulty::random32());
      const size_t to = at + faulty::random32() % 50000;
      assert_int_equal(requests::outcome(l, w, w.pwrite(fd, static_cast<off_t>(to))), 3000);
      text.replace(to, 3000, w.bytes);
    }
    l.close(fd);
    assert_true(core::contents(dir + "/mixed") == text);
  });
}

void an_error_of_writing_is_told(void **) {
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/w", O_RDWR | O_CREAT | O_TRUNC);
    for (int e : {ENOSPC, EIO}) {
      faulty::now.write_errno = e;
      one w(100);
      IN_PROGRESS(w.pwrite(fd, 0));
      l.until_over(w);
      assert_int_equal(w.q.error, e);
      faulty::heal();
    }
    faulty::now.zero_write = always;
    one w(100);
    IN_PROGRESS(w.pwrite(fd, 0));
    l.until_over(w);
    assert_int_equal(w.q.error, ENOSPC);
    faulty::heal();
    IN_PROGRESS(w.pwrite(fd, 0)); // no error sticks
    l.until_over(w, 2);
    assert_int_equal(w.q.result, 100);
    l.close(fd);
  });
}

void a_file_for_appending_is_written_where_it_is_said(void **) {
  requests::on_each_engine([&](loop &l) {
    core::put(dir + "/append", "0123456789");
    auto descriptors = [] {
      return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
    };
    const auto before = descriptors();
    const int fd = l.open(dir + "/append", O_RDWR | O_APPEND);
    one w(3), others[8];
    IN_PROGRESS(w.pwrite(fd, 2));
    for (size_t i = 0; i < 8; ++i) { // perhaps before the descriptor for it is there
      others[i].bytes = std::string(1, static_cast<char>('a' + i));
      IN_PROGRESS(others[i].pwrite(fd, 20 + static_cast<off_t>(i)));
    }
    l.until_over(w);
    assert_int_equal(w.q.result, 3);
    for (one &other : others) {
      l.until_over(other);
      assert_int_equal(other.q.result, 1);
    }
    core::write(fd, "end");
    l.close(fd);
    assert_true(core::contents(dir + "/append") == "01---56789" + std::string(10, '\0') + "abcdefghend");
    assert_true(descriptors() <= before); // of what was closed before some may still have been there
    for (int error : {EACCES, EMFILE}) {  // it cannot be had: nothing is written anywhere
      const int again = l.open(dir + "/append", O_WRONLY | O_APPEND);
      faulty::now.open_errno = error;
      one late(1);
      IN_PROGRESS(late.pwrite(again, 0));
      l.until_over(late);
      assert_int_equal(late.q.error, error == EACCES ? EOPNOTSUPP : error);
      faulty::now.open_errno = 0;
      l.close(again);
    }
    assert_int_equal(core::contents(dir + "/append").size(), 31);
  });
}

// The event comes once, with the bytes or without.
void a_cancelled_request_is_over_once(void **) {
  faulty::now.memory_shown = false; // or nothing would ever be under way
  faulty::now.nowait_given = true;
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    int cancelled = 0;
    for (int round = 0; round < 60; ++round) {
      faulty::now.nowait_miss = always;
      faulty::now.delay = round % 2 ? 500 : 0;
      faulty::now.short_read = round % 4 < 2 ? 0 : 700; // cancelled between two pieces
      std::vector<std::unique_ptr<one>> many;
      std::vector<ef_request *> list;
      for (int i = 0; i < 100; ++i) {
        many.push_back(std::make_unique<one>(2000));
        list.push_back(many.back()->to_do(EF_PREAD, fd, i * (round % 3 ? 2000 : 2500)));
      }
      assert_int_equal(ef_submit(list.data(), 100), 100);
      for (size_t i = 0; i < 100; i += 1 + faulty::random32() % 3) assert_int_equal(ef_cancel(&many[i]->q), 0);
      l.until_all_over(many);
      for (size_t i = 0; i < 100; ++i) {
        const one &r = *many[i];
        cancelled += r.q.error == ECANCELED;
        if (r.q.error == ECANCELED) continue;
        assert_int_equal(r.q.result, 2000);
        assert_true(r.bytes == all.substr(static_cast<size_t>(r.q.offset), 2000));
      }
    }
    std::printf("    %d cancelled\n", cancelled);
    l.nothing_more();
    l.close(fd);
  });
  faulty::now.memory_shown = true;
  faulty::now.nowait_given = false;
}

// Behind a disk that is full for a long time.
void a_read_that_waits_for_own_writes_can_be_cancelled(void **) {
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/full", O_RDWR | O_CREAT | O_TRUNC);
    faulty::now.write_errno = ENOSPC;
    core::write(fd, "text");
    one r(4);
    IN_PROGRESS(r.pread(fd, 0));
    assert_int_equal(ef_cancel(&r.q), 0);
    l.until_over(r);
    assert_int_equal(r.q.error, ECANCELED);
    faulty::heal();
    assert_int_equal(requests::outcome(l, r, r.pread(fd, 0)), 4);
    assert_string_equal(r.bytes.c_str(), "text");
    l.close(fd);
  });
}

void misses_come_together_until_they_are_handed_over(void **) {
  if (!requests::reads_without_waiting(dir + "/r")) skip();
  loop l(EF_ENGINE_URING);
  ef_file_options o{};
  o.cache = EF_CACHE_DIRECT;
  const int fd = l.open(dir + "/r", O_RDONLY, o);
  ef_port_counters c{};
  c.size = sizeof c;
  assert_int_equal(ef_port_stats(l.port, &c), 0);
  if (c.engine != EF_ENGINE_URING || core::stats(fd).cache != EF_CACHE_DIRECT) skip();
  void *memory;
  assert_int_equal(::posix_memalign(&memory, 4096, 10 * 4096), 0);
  one r[10];
  for (int i = 0; i < 10; ++i)
    IN_PROGRESS(ef_pread(fd, static_cast<char *>(memory) + i * 4096, 4096, i * 16384, &r[i].q));
  const int waiting = ef_port_pending(l.port);
  assert_true(waiting >= 0 && waiting < 10); // the first one went at once
  std::thread([&] {
    stress::require(ef_port_submit(l.port) == -1 && errno == EBUSY, "another thread's");
    ef_event e;
    stress::require(ef_port_next(l.port, &e, 1) == -1 && errno == EBUSY, "another thread's");
    stress::require(ef_port_pending(l.port) == 0, "none of this thread's");
  }).join();
  assert_int_equal(ef_port_submit(l.port), waiting);
  assert_int_equal(ef_port_pending(l.port), 0);
  assert_int_equal(ef_port_submit(l.port), 0);
  for (one &each : r) l.until_over(each);
  for (size_t i = 0; i < 10; ++i)
    assert_int_equal(std::memcmp(static_cast<char *>(memory) + i * 4096, all.data() + i * 16384, 4096), 0);
  std::free(memory);
  l.close(fd);
  l.end();
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
  all = core::pattern(1 << 20);
  core::put(dir + "/r", all);
  const CMUnitTest tests[] = {
      cmocka_unit_test(what_is_begun_before_the_open_is_over_waits_for_it),
      cmocka_unit_test(a_failed_open_fails_what_waited_for_it),
      cmocka_unit_test(reads_see_what_was_accepted_before_them),
      cmocka_unit_test(a_stream_sees_writes_at_an_offset),
      cmocka_unit_test(an_error_of_writing_is_told),
      cmocka_unit_test(a_file_for_appending_is_written_where_it_is_said),
      cmocka_unit_test(a_cancelled_request_is_over_once),
      cmocka_unit_test(a_read_that_waits_for_own_writes_can_be_cancelled),
      cmocka_unit_test(misses_come_together_until_they_are_handed_over),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
