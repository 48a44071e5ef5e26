// SPDX-License-Identifier: BSD-2-Clause
// Requests that are taken back by ef_cancel_wait: the buffers are free, and nobody hears of them any more.
#include "limits.hh"
#include "requests.hh"

namespace {

using requests::loop;
using requests::one;

std::string dir, all;
constexpr unsigned always = 1024;

void takes_back(one &r) {
  assert_int_equal(ef_cancel_wait(&r.q), 0);
  assert_true(r.q.error == 0 ? r.q.result >= 0 : r.q.error == ECANCELED && r.q.result == -1);
  r.bytes.assign(r.bytes.size(), '!'); // nobody writes into it any more
}

// Whatever has become of it by then: it waits for its turn, is under way, or is over and lies in the queue.
void a_request_that_was_taken_back_has_no_event(void **) {
  requests::on_each_engine([](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY), w = l.open(dir + "/w", O_RDWR | O_CREAT);
    faulty::now.nowait_miss = always;
    faulty::now.delay = 300;
    for (int round = 0; round < 200; ++round) {
      one reads[20], writes[3], kept(5000);
      for (one &r : reads) r.bytes.resize(4096);
      for (one &r : writes) r.bytes.resize(1000);
      for (int i = 0; i < 20; ++i) IN_PROGRESS(reads[i].pread(fd, i * 8192));
      IN_PROGRESS(kept.pread(fd, 77));
      for (int i = 0; i < 3; ++i) IN_PROGRESS(writes[i].pwrite(w, i * 1000));
      if (round % 3) ::usleep(static_cast<useconds_t>(round));
      if (round % 4 == 0) ef_port_submit(l.port);
      for (one &r : reads) takes_back(r);
      for (one &r : writes) takes_back(r);
      for (const one &r : reads) assert_true(r.bytes == std::string(4096, '!'));
      l.until_over(kept);
      assert_int_equal(kept.q.result, 5000);
      assert_true(kept.bytes == all.substr(77, 5000));
      for (const one &r : reads) assert_int_equal(r.events, 0);
      for (const one &r : writes) assert_int_equal(r.events, 0);
    }
    l.nothing_more();
    l.close(fd); // EF_CLOSE does not wait for the events that do not come
    l.close(w);
  });
}

void one_that_was_taken_back_is_used_again(void **) {
  requests::on_each_engine([](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    one r(3000);
    for (int i = 0; i < 50; ++i) {
      FAILS_WITH(ef_cancel_wait(&r.q), ENOENT); // not begun, or taken
      IN_PROGRESS(r.pread(fd, i * 100));
      if (i % 5 == 0) {
        l.until_over(r, i / 5 + 1);
        assert_true(r.bytes == all.substr(static_cast<std::size_t>(i) * 100, 3000));
      } else {
        takes_back(r);
      }
    }
    FAILS_WITH(ef_cancel_wait(nullptr), EFAULT);
    l.close(fd);
  });
}

// Over, and behind others in the queue, also behind those that the loop has not yet been given.
void one_that_is_over_leaves_the_queue(void **) {
  requests::on_each_engine([](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    for (int round = 0; round < 20; ++round) {
      one each[10];
      for (int i = 0; i < 10; ++i) {
        each[i].bytes.resize(4096);
        IN_PROGRESS(each[i].pread(fd, i * 4096));
      }
      assert_int_equal(ef_drain(l.port, core::patience_ms), 0);
      if (round % 2) { // some of them are told, so that the rest was looked at
        ef_event e;
        assert_int_equal(ef_port_next(l.port, &e, 1), 1);
        ++static_cast<one *>(static_cast<ef_request *>(e.data)->data)->events;
      }
      int back = 0;
      for (int i = round % 3; i < 10; i += 3)
        if (each[i].events == 0) {
          assert_int_equal(ef_cancel_wait(&each[i].q), 0);
          assert_int_equal(each[i].q.result, 4096);
          ++back;
        }
      const int told = round % 2;
      assert_int_equal(l.drain(), 10 - back - told);
      for (int i = 0; i < 10; ++i) assert_true(each[i].bytes == all.substr(static_cast<std::size_t>(i) * 4096, 4096));
    }
    l.nothing_more();
    l.close(fd);
  });
}

// The kernel takes nothing for the moment, and more are asked for than a ring has entries: the first of those that
// wait, the last, and some between.
void one_that_the_kernel_was_not_given_is_taken_back(void **) {
  requests::on_each_engine([](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    constexpr int count = 3 * ef::limits::ring_entries;
    faulty::now.nowait_miss = always;
    for (int round = 0; round < 10; ++round) {
      faulty::now.uring_full = always;
      std::vector<one> each(count);
      std::vector<bool> back(count, false);
      for (int i = 0; i < count; ++i) {
        each[i].bytes.resize(4096);
        IN_PROGRESS(each[i].pread(fd, i * 512));
      }
      for (int i : {count - 1, 200, int{ef::limits::ring_entries} + 10, 201, count - 2, 300 + round}) {
        takes_back(each[i]);
        back[i] = true;
      }
      faulty::now.uring_full = 0;
      ef_port_submit(l.port);
      for (int i = 0; i < count; ++i) {
        if (!back[i]) l.until_over(each[i]);
        assert_int_equal(each[i].events, back[i] ? 0 : 1);
        assert_true(each[i].bytes ==
                    (back[i] ? std::string(4096, '!') : all.substr(static_cast<std::size_t>(i) * 512, 4096)));
      }
    }
    l.nothing_more();
    l.close(fd);
  });
}

// They wait for the open, or for bytes that have no room.
void one_that_waits_for_its_file_is_taken_back_at_once(void **) {
  requests::on_each_engine([](loop &l) {
    faulty::now.delay = always;
    faulty::now.delay_us = 3000;
    for (int round = 0; round < 20; ++round) {
      const int fd = core::open(dir + "/r", O_RDONLY, {}, l.port);
      one r(1000);
      if (r.pread(fd, 0) < 0) takes_back(r);
      l.close(fd);
    }
    l.nothing_more();
  });
}

void after_an_abandoned_port_they_are_taken_back(void **) {
  for (int e : requests::engines)
    for (int round = 0; round < 20; ++round) {
      loop l(e);
      const int fd = l.open(dir + "/r", O_RDONLY);
      faulty::now.nowait_miss = always;
      one before[10], later[10];
      for (one &r : before) r.bytes.resize(4096);
      for (one &r : later) r.bytes.resize(4096);
      for (one &r : before) IN_PROGRESS(r.pread(fd, 0));
      assert_int_equal(ef_port_abandon(l.port), 0);
      for (one &r : later) IN_PROGRESS(r.pread(fd, 4096));
      assert_int_equal(ef_close(fd), 0);
      if (round % 2) ::usleep(300);
      for (one &r : before) takes_back(r);
      for (one &r : later) takes_back(r);
      for (one &r : before) FAILS_WITH(ef_cancel_wait(&r.q), ENOENT);
      assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
      faulty::heal();
    }
}

// It ends by a thread of the library, which the owner's sleep does not hinder.
void another_thread_takes_one_back(void **) {
  loop l(EF_ENGINE_THREADS);
  const int fd = l.open(dir + "/r", O_RDONLY);
  faulty::now.nowait_miss = always;
  for (int round = 0; round < 50; ++round) {
    one r(4096);
    IN_PROGRESS(r.pread(fd, 0));
    std::thread([&] { stress::require(ef_cancel_wait(&r.q) == 0, "taken back"); }).join();
  }
  l.nothing_more();
  l.close(fd);
  faulty::heal();
  l.end();
}

// Either it is told, or it is taken back.
void with_a_notify_function_it_is_told_or_taken_back(void **) {
  std::atomic<int> told{0};
  auto note = [](void *n, const ef_event *events, int count) {
    for (int i = 0; i < count; ++i) *static_cast<std::atomic<int> *>(n) += events[i].events == EF_REQUEST;
  };
  loop l(EF_ENGINE_AUTO, nullptr, note, &told);
  const int fd = core::open(dir + "/r", O_RDONLY, {}, l.port);
  core::wait(fd, EF_OPEN);
  faulty::now.nowait_miss = always;
  std::vector<std::unique_ptr<one>> each; // stay, for the function may still be in its call
  int back = 0;
  for (int round = 0; round < 200; ++round) {
    each.push_back(std::make_unique<one>(4096));
    IN_PROGRESS(each.back()->pread(fd, 0));
    if (round % 2) ::usleep(static_cast<useconds_t>(round));
    const int answer = ef_cancel_wait(&each.back()->q);
    assert_true(answer == 0 || errno == ENOENT);
    back += answer == 0;
  }
  core::close(fd, l.port);
  stress::await([&] { return told.load() + back == 200; }, "each is told or taken back");
  assert_int_equal(ef_port_free(l.port), 0);
  faulty::heal();
}

// The child's first call: in it nobody uses what the parent has under way.
void in_a_fork_child_there_is_nothing_to_take_back(void **) {
  requests::on_each_engine([](loop &l) {
    const int fd = l.open(dir + "/r", O_RDONLY);
    faulty::now.nowait_miss = always;
    for (bool wait : {false, true}) {
      one r(4096);
      IN_PROGRESS(r.pread(fd, 0));
      const pid_t child = ::fork();
      if (child == 0) {
        ::alarm(10);
        const int answer = wait ? ef_cancel_wait(&r.q) : ef_cancel(&r.q);
        ::_exit(answer == -1 && errno == ECHILD ? 0 : 1);
      }
      int status;
      assert_int_equal(::waitpid(child, &status, 0), child);
      assert_int_equal(status, 0);
      takes_back(r);
    }
    l.close(fd);
  });
}

} // namespace

int main() {
  faulty::install();
  faulty::now.memory_shown = false;
  faulty::now.nowait_given = true;
  dir = core::directory();
  all = core::pattern(1 << 20);
  core::put(dir + "/r", all);
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_request_that_was_taken_back_has_no_event),
      cmocka_unit_test(one_that_was_taken_back_is_used_again),
      cmocka_unit_test(one_that_is_over_leaves_the_queue),
      cmocka_unit_test(one_that_the_kernel_was_not_given_is_taken_back),
      cmocka_unit_test(one_that_waits_for_its_file_is_taken_back_at_once),
      cmocka_unit_test(after_an_abandoned_port_they_are_taken_back),
      cmocka_unit_test(another_thread_takes_one_back),
      cmocka_unit_test(with_a_notify_function_it_is_told_or_taken_back),
      cmocka_unit_test(in_a_fork_child_there_is_nothing_to_take_back),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
