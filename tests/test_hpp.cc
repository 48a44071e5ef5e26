// SPDX-License-Identifier: BSD-2-Clause
// efio.hpp without coroutines: files, errors, requests that may not die too early, streams. Built without exceptions.
#include "hpp.hh"

#include <iomanip>
#include <sstream>

namespace {

std::string dir;

std::string read_all(const ef::file &f) {
  std::string all;
  char some[5000];
  for (;;) {
    const auto n = f.read(some);
    if (n && *n == 0) return all;
    if (n)
      all.append(some, *n);
    else {
      assert_true(n.would_block());
      GOOD(f.wait(EF_READ, core::patience_ms));
    }
  }
}

void what_is_written_is_in_the_file_and_read_back(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/plain", a = core::pattern(60000), b = core::pattern(5000, 2);
    auto f = ef::file::open(p, path.c_str(), O_RDWR | O_CREAT | O_TRUNC, {.flush_interval_ms = 50, .mode = 0600});
    assert_true(f && *f);
    assert_int_equal(*f->write(a), a.size());
    assert_int_equal(*f->write(std::as_bytes(std::span(b))), b.size());
    const iovec two[] = {{const_cast<char *>(a.data()), 10}, {const_cast<char *>(b.data()), 20}};
    assert_int_equal(*f->writev(two), 30);
    GOOD(f->flush());
    assert_int_equal(*f->wait(EF_SYNC, core::patience_ms), EF_SYNC);
    assert_int_equal(f->stats()->synced, 65030);
    assert_int_equal(f->stat()->st_size, 65030);
    assert_int_equal(f->stat()->st_mode & 0777, 0600);
    assert_int_equal(*f->seek(0, SEEK_SET), 0);
    const std::string all = a + b + a.substr(0, 10) + b.substr(0, 20);
    assert_true(read_all(*f) == all);
    assert_int_equal(*f->seek(100, SEEK_SET), 100);
    iovec seen[2];
    auto spans = f->peek(seen);
    for (; spans.would_block(); spans = f->peek(seen)) GOOD(f->wait(EF_READ, core::patience_ms));
    assert_true(spans && *spans > 0 && all.compare(100, 8, static_cast<char *>(seen[0].iov_base), 8) == 0);
    GOOD(f->consume(8));
    std::string next(7, 0);
    const iovec to[] = {{next.data(), next.size()}};
    assert_int_equal(*f->readv(to), 7);
    assert_true(next == all.substr(108, 7));
    const auto at_once = f->pread(std::span(next), 5); // where what is in memory can be had without waiting
    assert_true(at_once ? *at_once == 7 && next == all.substr(5, 7) : at_once.would_block());
    GOOD(f->close());
    GOOD(p.drain(core::patience_ms));
    assert_true(core::contents(path) == all);
  });
}

void a_file_is_closed_once_by_the_last_that_holds_it(void **) {
  ef::file f = std::move(*ef::file::open((dir + "/moved").c_str(), O_WRONLY | O_CREAT));
  const int number = f.number();
  ef::file g = std::move(f);
  assert_false(static_cast<bool>(f));
  FAILED_WITH(f.write("x"), EBADF);
  GOOD(f.close());
  assert_int_equal(*g.write("by g "), 5);
  ef::file h(std::exchange(g, ef::file()).release());
  assert_int_equal(h.number(), number);
  assert_int_equal(*h.write("by h"), 4);
  h = std::move(*ef::file::open((dir + "/other").c_str(), O_WRONLY | O_CREAT));
  assert_int_equal(ef_ready(number), -1);
  h = ef::file();
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  assert_string_equal(core::contents(dir + "/moved").c_str(), "by g by h");
}

void an_adopted_descriptor_belongs_to_the_file(void **) {
  const int os = ::open((dir + "/adopted").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  auto f = ef::file::adopt(os);
  GOOD(f);
  assert_int_equal(*f->write("adopted"), 7);
  GOOD(f->close());
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  FAILS_WITH(::fcntl(os, F_GETFD), EBADF);
  assert_string_equal(core::contents(dir + "/adopted").c_str(), "adopted");
}

void errors_are_answers(void **) {
  FAILED_WITH(ef::file::open("", O_RDONLY), ENOENT);
  assert_true(ef::file::open("", O_RDONLY).error() == std::errc::no_such_file_or_directory);
  FAILED_WITH(ef::file::adopt(-1), EBADF);
  FAILED_WITH(ef::file::open("x", O_RDONLY, {.cache = 77}), EINVAL);
  ef::port bad({.engine = 77});
  assert_false(static_cast<bool>(bad));
  assert_int_equal(bad.error().value(), EINVAL);
  FAILED_WITH(ef::file::open(bad, "x", O_RDONLY), EINVAL);
  FAILED_WITH(bad.dispatch(), EINVAL);
  FAILED_WITH(bad.submit(), EINVAL);
  FAILED_WITH(bad.fd(), EINVAL);
  FAILED_WITH(bad.stats(), EINVAL);
  auto f = ef::file::open((dir + "/none").c_str(), O_RDONLY);
  GOOD(f);
  GOOD(f->wait(EF_OPEN, core::patience_ms));
  char some[1];
  std::error_code e;
  assert_int_equal(f->read(some).value(e), 0);
  assert_true(e == std::errc::no_such_file_or_directory);
  FAILED_WITH(f->stat(), ENOENT);
  FAILED_WITH(f->write("x"), EBADF);
  FAILED_WITH(f->close(), ENOENT);
  FAILED_WITH(f->close(), 0);
  const std::vector<iovec> many(1025);
  FAILED_WITH(ef::file(-1).readv(many), EBADF);
  auto w = ef::file::open((dir + "/many").c_str(), O_WRONLY | O_CREAT);
  FAILED_WITH(w->writev(many), EINVAL);
  assert_int_equal(std::move(w->write("four")).value_or(0), 4);
}

void requests_tell_when_they_are_over(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/at", all = core::pattern(300000);
    core::put(path, all);
    auto f = ef::file::open(p, path.c_str(), O_RDWR);
    ef::request r, w;
    std::string got(1000, 0), bytes = core::pattern(777, 9);
    (void)f->pread(std::span(got), 1234, r); // the open goes on, or it is over
    hpp::until(p, [&] { return !r.in_progress(); });
    assert_int_equal(*r.outcome(), got.size());
    assert_true(got == all.substr(1234, 1000));
    FAILED_WITH(r.cancel(), ENOENT);
    assert_true(f->pwrite(bytes, 4000, w).in_progress());
    FAILED_WITH(f->pwrite(bytes, 0, w), EBUSY);
    FAILED_WITH(f->pread(std::span(got), 0, w), EBUSY);
    assert_true(w.in_progress() && w.outcome().in_progress());
    hpp::until(p, [&] { return !w.in_progress(); });
    assert_int_equal(*w.outcome(), bytes.size());
    const auto n = f->pread(std::span(got).first(777), 4000, r); // again, and at once or later
    if (n.in_progress()) hpp::until(p, [&] { return !r.in_progress(); });
    assert_int_equal(*r.outcome(), 777);
    assert_true(got.substr(0, 777) == bytes);
    FAILED_WITH(f->pread(std::span(got), -1, r), EINVAL);
    FAILED_WITH(r.outcome(), EINVAL);
    GOOD(f->close());
    FAILED_WITH(f->pwrite(bytes, 0, w), EBADF);
  });
}

// What was begun is over when the request has gone, whatever became of it; others are not lost by that. A write is
// under way in any case, a read if it misses.
void a_request_that_dies_waits(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/dies", all = core::pattern(1 << 20);
    core::put(path, all);
    for (int round = 0; round < 30; ++round) {
      auto f = ef::file::open(p, path.c_str(), O_RDWR);
      ef::request other;
      std::string kept(300000, 0);
      (void)f->pread(std::span(kept), 5000, other);
      {
        std::vector<char> goes(400000, 'w');
        ef::request read, write;
        (void)f->pread(std::span(goes), 100, read);
        assert_true(f->pwrite(std::string_view(goes.data(), goes.size()), 400000, write).in_progress());
        if (round % 2) GOOD(f->close());
      }
      hpp::until(p, [&] { return !other.in_progress(); });
      assert_int_equal(*other.outcome(), kept.size());
      assert_true(kept == all.substr(5000, kept.size()));
    }
    hpp::nothing_more(p);
  });
}

// Nobody takes the events of that port: they do not come.
void a_request_on_a_port_of_others_is_taken_back(void **) {
  const std::string path = dir + "/others", bytes = core::pattern(300000);
  for (int round = 0; round < 20; ++round) {
    auto f = ef::file::open(path.c_str(), O_RDWR | O_CREAT);
    std::vector<char> goes(bytes.begin(), bytes.end());
    ef::request write, again;
    assert_true(f->pwrite(std::string_view(goes.data(), goes.size()), 0, write).in_progress());
    assert_true(f->pwrite("more", 300000, again).in_progress());
    GOOD(write.cancel());
    if (round % 3 == 0) GOOD(f->wait(EF_OPEN, core::patience_ms));
    if (round % 3 == 1) ::usleep(500);
  }
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0); // every file was closed: no event is missing
  ef_event e;
  assert_int_equal(ef_port_next(nullptr, &e, 1), 0);
}

void a_request_of_the_parent_dies_in_a_fork_child(void **) {
  hpp::on_each_engine([](ef::port &p) {
    auto f = ef::file::open(p, (dir + "/parent").c_str(), O_RDWR | O_CREAT);
    ef::request r;
    assert_true(f->pwrite("bytes", 0, r).in_progress());
    assert_int_equal(core::in_child([&] {
                       FAILED_WITH(r.cancel(), ECHILD);
                       r.~request();
                       return 0;
                     }),
                     0);
    hpp::until(p, [&] { return !r.in_progress(); });
    assert_int_equal(*r.outcome(), 5);
  });
}

void a_stream_formats_into_the_file(void **) {
  const std::string path = dir + "/stream";
  std::ostringstream want;
  {
    auto f = ef::file::open(path.c_str(), O_WRONLY | O_CREAT);
    ef::ostream out(*f);
    const std::string big = core::pattern(200000, 3);
    for (std::ostream *o : {static_cast<std::ostream *>(&out), static_cast<std::ostream *>(&want)}) {
      for (int i = 0; i < 3000; ++i) *o << "line " << std::setw(6) << i << ' ' << 0.5 * i << '\n';
      *o << big << 'x' << std::flush << "after" << std::endl << big.substr(0, 1023) << "ab" << big.substr(0, 1024);
    }
    assert_true(out.good());
    assert_int_equal(f->stats()->accepted, want.str().size() - 1024); // the rest is in the put area
    out.flush();
    assert_int_equal(f->stats()->accepted, want.str().size());
    out << "end";
    want << "end";
  } // the stream goes first
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  assert_true(core::contents(path) == want.str());
}

void a_stream_whose_file_is_full_fails_and_goes_on_later(void **) {
  ef::port p;
  hpp::full_pipe pipe(dir + "/full");
  ef::file f = pipe.open(p);
  ef::ostream out(f);
  const auto before = f.stats()->accepted;
  out << "kept";
  assert_true(out.good());
  out.flush();
  assert_true(out.bad());
  assert_int_equal(f.stats()->accepted, before);
  out.clear();
  out << " and more";
  while (f.stats()->accepted == before) {
    pipe.drain();
    out.clear();
    out.flush();
  }
  assert_true(out.good());
  assert_int_equal(f.stats()->accepted, before + 13);
  ef::ostream none(-1);
  none << "x" << std::flush;
  assert_true(none.bad());
}

void lines_of_many_streams_stay_whole(void **) {
  const std::string path = dir + "/lines";
  constexpr int threads = 4, lines = 2000;
  {
    auto f = ef::file::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, {.when_full = EF_FULL_WAIT});
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
      all.emplace_back([&f, t] {
        ef::ostream out(*f);
        for (int i = 0; i < lines; ++i) out << "thread " << t << " line " << i << " end" << std::endl;
      });
    for (auto &t : all) t.join();
  }
  assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  std::istringstream in(core::contents(path));
  int next[threads] = {}, t, i, seen = 0;
  for (std::string line; std::getline(in, line); ++seen) {
    assert_int_equal(std::sscanf(line.c_str(), "thread %d line %d end", &t, &i), 2);
    assert_true(t >= 0 && t < threads && i == next[t]++);
    assert_true(line == "thread " + std::to_string(t) + " line " + std::to_string(i) + " end");
  }
  assert_int_equal(seen, threads * lines);
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_request_on_a_port_of_others_is_taken_back),
      cmocka_unit_test(a_request_of_the_parent_dies_in_a_fork_child),
      cmocka_unit_test(what_is_written_is_in_the_file_and_read_back),
      cmocka_unit_test(a_file_is_closed_once_by_the_last_that_holds_it),
      cmocka_unit_test(an_adopted_descriptor_belongs_to_the_file),
      cmocka_unit_test(errors_are_answers),
      cmocka_unit_test(requests_tell_when_they_are_over),
      cmocka_unit_test(a_request_that_dies_waits),
      cmocka_unit_test(a_stream_formats_into_the_file),
      cmocka_unit_test(a_stream_whose_file_is_full_fails_and_goes_on_later),
      cmocka_unit_test(lines_of_many_streams_stay_whole),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
