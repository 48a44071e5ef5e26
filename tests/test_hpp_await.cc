// SPDX-License-Identifier: BSD-2-Clause
// What coroutines await of files: each is resumed once, with what became of it.
#include "hpp.hh"

#include <memory>

namespace {

std::string dir;

struct tally {
  int begun = 0, resumed = 0;
};

ef::job read_all(ef::file &f, std::size_t piece, std::string &all, std::error_code &end, tally &t) {
  std::vector<char> some(piece);
  for (;;) {
    const auto n = f.read(some);
    if (n && *n > 0) {
      all.append(some.data(), *n);
      continue;
    }
    if (!n.would_block()) {
      end = n.error();
      co_return;
    }
    ++t.begun;
    const auto ready = co_await f.readable();
    ++t.resumed;
    if (!ready) {
      end = ready.error();
      co_return;
    }
  }
}

void a_file_is_read_to_its_end(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/read", want = core::pattern(3000001);
    core::put(path, want);
    for (int cache : {EF_CACHE_NORMAL, EF_CACHE_DIRECT}) {
      auto f = ef::file::open(p, path.c_str(), O_RDONLY, {.cache = cache});
      std::string all;
      std::error_code end;
      tally t;
      ef::job j = read_all(*f, 7000, all, end, t);
      hpp::until(p, [&] { return j.done(); });
      assert_false(static_cast<bool>(end));
      assert_true(all == want);
      assert_int_equal(t.begun, t.resumed);
    }
  });
}

ef::job opens(ef::port &p, const std::string &path, std::error_code &end) {
  auto f = ef::file::open(p, path.c_str(), O_RDONLY);
  end = (co_await f->opened()).error();
  const auto again = co_await f->opened();
  assert_true(again.error() == end);
}

void the_error_of_an_open_is_told(void **) {
  hpp::on_each_engine([](ef::port &p) {
    std::error_code none, good;
    core::put(dir + "/there", "x");
    ef::job a = opens(p, dir + "/none", none), b = opens(p, dir + "/there", good);
    hpp::until(p, [&] { return a.done() && b.done(); });
    assert_true(none == std::errc::no_such_file_or_directory);
    assert_false(static_cast<bool>(good));
  });
}

ef::job write_all(ef::file &f, const std::string &bytes, tally &t, std::error_code &end) {
  for (std::size_t done = 0; done < bytes.size();) {
    const auto n = f.write(std::string_view(bytes).substr(done, 50000));
    if (n) {
      done += *n;
      continue;
    }
    end = n.error();
    if (!n.would_block()) co_return;
    ++t.begun;
    const auto room = co_await f.writable();
    ++t.resumed;
    end = room.error();
    if (!room) co_return;
  }
  end = (co_await f.synced()).error();
}

void room_and_sync_are_waited_for(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/written", want = core::pattern(5000000);
    auto f = ef::file::open(p, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, {.write_buffer_max = 128 << 10});
    tally t;
    std::error_code end;
    ef::job j = write_all(*f, want, t, end);
    hpp::until(p, [&] { return j.done(); });
    assert_false(static_cast<bool>(end));
    assert_int_equal(t.begun, t.resumed);
    assert_int_equal(f->stats()->synced, want.size());
    assert_true(core::contents(path) == want);
  });
}

ef::job sync_once(ef::file &f, tally &t, std::uint64_t accepted) {
  ++t.begun;
  const auto durable = co_await f.synced();
  ++t.resumed;
  assert_true(static_cast<bool>(durable));
  assert_true(f.stats()->synced >= accepted);
}

void syncs_that_overlap_are_each_told_once(void **) {
  hpp::on_each_engine([](ef::port &p) {
    auto f = ef::file::open(p, (dir + "/syncs").c_str(), O_WRONLY | O_CREAT);
    tally t;
    std::vector<ef::job> jobs;
    for (int i = 0; i < 200; ++i) {
      GOOD(f->write("another line to make durable\n"));
      jobs.push_back(sync_once(*f, t, f->stats()->accepted));
      if (i % 7 == 0) GOOD(p.wait(1));
    }
    hpp::until(p, [&] { return t.resumed == 200; });
    assert_int_equal(t.begun, 200);
    hpp::nothing_more(p);
    assert_int_equal(t.resumed, 200);
  });
}

constexpr std::size_t piece = 4096;

ef::job read_at(ef::file &f, const std::string &all, unsigned seed, int times, tally &t) {
  void *memory = nullptr;
  assert_int_equal(::posix_memalign(&memory, piece, piece), 0);
  const std::unique_ptr<char, decltype(&std::free)> to(static_cast<char *>(memory), std::free);
  for (int i = 0; i < times; ++i) {
    seed = seed * 1664525 + 1013904223;
    const std::size_t at = (seed >> 8) % (all.size() / piece) * piece;
    ++t.begun;
    const auto n = co_await f.read_at(std::span(to.get(), piece), static_cast<off_t>(at));
    ++t.resumed;
    assert_int_equal(n.error().value(), 0);
    assert_int_equal(*n, piece);
    assert_true(all.compare(at, piece, to.get(), piece) == 0);
  }
}

void reads_at_offsets_come_each_once(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/at", all = core::pattern(1 << 20);
    core::put(path, all);
    for (int cache : {EF_CACHE_NORMAL, EF_CACHE_DIRECT}) {
      auto f = ef::file::open(p, path.c_str(), O_RDONLY, {.cache = cache});
      tally t;
      std::vector<ef::job> jobs;
      for (unsigned i = 0; i < 300; ++i) jobs.push_back(read_at(*f, all, i, 10, t));
      GOOD(p.wait(0)); // from now on the ring is this thread's
      hpp::until(p, [&] { return t.resumed == 3000; });
      assert_int_equal(t.begun, 3000);
      hpp::nothing_more(p);
      for (auto &j : jobs) assert_true(j.done());
    }
  });
}

ef::job write_at(ef::file &f, const std::string &all, std::size_t at, std::size_t n, int &over) {
  const auto written = co_await f.write_at(std::string_view(all).substr(at, n), static_cast<off_t>(at));
  assert_int_equal(*written, n);
  ++over;
}

void writes_at_offsets_are_in_the_file(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/wat", all = core::pattern(500000);
    auto f = ef::file::open(p, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC);
    std::vector<ef::job> jobs;
    int over = 0;
    for (std::size_t i = 50; i-- > 0;) jobs.push_back(write_at(*f, all, i * 10000, 10000, over));
    hpp::until(p, [&] { return over == 50; });
    assert_true(core::contents(path) == all);
  });
}

ef::job wait_for(ef::request &r, int &over, std::size_t n) {
  const auto outcome = co_await r;
  if (outcome) assert_int_equal(*outcome, n);
  over += outcome.in_progress() ? 100 : 1;
}

void a_request_is_awaited_by_one(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/one";
    auto f = ef::file::open(p, path.c_str(), O_RDWR | O_CREAT);
    ef::request r;
    int over = 0;
    assert_true(f->pwrite("twelve bytes", 0, r).in_progress());
    {
      const ef::job gone = wait_for(r, over, 12); // may die before it
    }
    ef::job j = wait_for(r, over, 12);
    ef::job second = wait_for(r, over, 12);
    assert_true(second.done() && !j.done());
    assert_int_equal(over, 100);
    hpp::until(p, [&] { return j.done(); });
    ef::job late = wait_for(r, over, 12);
    assert_true(late.done());
    assert_int_equal(over, 102);
    assert_string_equal(core::contents(path).c_str(), "twelve bytes");
  });
}

ef::job close_it(ef::file f, std::error_code &end, int &over) {
  end = (co_await f.closed()).error();
  ++over;
}

void the_end_of_a_close_is_told(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/closed", all = core::pattern(60000);
    auto f = ef::file::open(p, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC);
    GOOD(f->write(all));
    std::error_code end;
    int over = 0;
    ef::job j = close_it(std::move(*f), end, over);
    hpp::until(p, [&] { return over == 1; });
    assert_false(static_cast<bool>(end));
    assert_true(core::contents(path) == all);
    hpp::full_pipe pipe(dir + "/gone");
    ef::job k = close_it(pipe.open(p), end, over);
    assert_int_equal(over, 1);
    pipe.leave();
    hpp::until(p, [&] { return over == 2; });
    assert_true(end == std::errc::broken_pipe);
    ef::job none = close_it(ef::file(), end, over);
    assert_true(none.done());
    assert_int_equal(end.value(), EBADF);
    ::unlink((dir + "/gone").c_str());
  });
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_file_is_read_to_its_end),       cmocka_unit_test(the_error_of_an_open_is_told),
      cmocka_unit_test(room_and_sync_are_waited_for),    cmocka_unit_test(syncs_that_overlap_are_each_told_once),
      cmocka_unit_test(reads_at_offsets_come_each_once), cmocka_unit_test(writes_at_offsets_are_in_the_file),
      cmocka_unit_test(a_request_is_awaited_by_one),     cmocka_unit_test(the_end_of_a_close_is_told),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
