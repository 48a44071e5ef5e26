// SPDX-License-Identifier: BSD-2-Clause
// Coroutines that are destroyed while they wait are not resumed; those whose file goes are told so; and what is under
// way when somebody goes does no harm.
#include "hpp.hh"

namespace {

std::string dir;

ef::job close_it(ef::file f, std::error_code &end, int &over) {
  end = (co_await f.closed()).error();
  ++over;
}

ef::job write_at(ef::file &f, const std::string &all, std::size_t at, std::size_t n, int &over) {
  const auto written = co_await f.write_at(std::string_view(all).substr(at, n), static_cast<off_t>(at));
  assert_int_equal(*written, n);
  ++over;
}

ef::job wait_for_room(ef::file &f, int &over, std::error_code &end) {
  end = (co_await f.writable()).error();
  ++over;
}
ef::job wait_for_sync(ef::file &f, int &over, std::error_code &end) {
  end = (co_await f.synced()).error();
  ++over;
}

// Each of them waits, then is destroyed; what they waited for comes, and resumes the one that was not.
void who_was_destroyed_is_not_resumed(void **) {
  hpp::on_each_engine([](ef::port &p) {
    hpp::full_pipe pipe(dir + "/cancel");
    ef::file f = pipe.open(p);
    int over = 0, stays = 0;
    std::error_code end;
    {
      const ef::job a = wait_for_room(f, over, end), b = wait_for_sync(f, over, end);
      assert_false(a.done() || b.done());
    }
    ef::job c = wait_for_room(f, stays, end), d = wait_for_room(f, stays, end), e = wait_for_room(f, over, end);
    e.cancel();
    hpp::until(p, [&] { return pipe.all_came() && stays == 2; });
    assert_int_equal(over, 0);
    assert_true(c.done() && d.done());
    pipe.fill(f);
    {
      const ef::job g = close_it(std::move(f), end, over); // the file ends all the same
    }
    hpp::until(p, [&] { return pipe.all_came() && p.stats()->files == 0; });
    hpp::nothing_more(p);
    assert_int_equal(over, 0);
    ::unlink((dir + "/cancel").c_str());
  });
}

ef::job destroys(ef::file &f, std::vector<ef::job> &others, int &over) {
  GOOD(co_await f.writable());
  ++over;
  others.clear(); // they have been told already, and are not resumed yet
}

void one_that_is_resumed_may_destroy_the_next(void **) {
  hpp::on_each_engine([](ef::port &p) {
    hpp::full_pipe pipe(dir + "/next");
    ef::file f = pipe.open(p);
    std::vector<ef::job> others;
    std::error_code end;
    int over = 0, never = 0;
    ef::job first = destroys(f, others, over);
    for (int i = 0; i < 10; ++i) others.push_back(wait_for_room(f, never, end));
    hpp::until(p, [&] { return pipe.all_came() && over == 1; });
    hpp::nothing_more(p);
    assert_int_equal(never, 0);
    ::unlink((dir + "/next").c_str());
  });
}

ef::job moves_and_goes(ef::file &f, std::string &to, const std::string &from, int &over) {
  const auto n = co_await f.read_at(std::span(to), 0);
  const auto m = co_await f.write_at(std::string_view(from), 200000);
  over += n && m ? 1 : 100;
}

// The bytes of what was under way are the caller's again when its coroutine has been destroyed; the others go on.
void a_request_whose_coroutine_is_destroyed_is_waited_for(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const std::string path = dir + "/under-way", all = core::pattern(200000);
    core::put(path, all);
    int over = 0, never = 0;
    for (int i = 0; i < 40; ++i) {
      auto f = ef::file::open(p, path.c_str(), O_RDWR);
      std::string stays(200000, 0);
      ef::job a = moves_and_goes(*f, stays, all, over);
      {
        std::string goes(200000, 0), from(300000, 'w');
        const ef::job b = moves_and_goes(*f, goes, from, never); // reads, or if that was at hand, writes
        assert_false(b.done());
      }
      hpp::until(p, [&] { return a.done(); });
      assert_true(stays == all);
    }
    assert_int_equal(over, 40);
    assert_int_equal(never, 0);
  });
}

void a_file_that_is_closed_cancels_who_waits(void **) {
  hpp::on_each_engine([](ef::port &p) {
    for (int how = 0; how < 4; ++how) {
      hpp::full_pipe pipe(dir + "/closing" + std::to_string(how));
      int over = 0, ended = 0;
      std::error_code a_end, b_end, end;
      ef::job a, b, c;
      {
        ef::file f = pipe.open(p), moved;
        a = wait_for_room(f, over, a_end);
        b = wait_for_sync(f, over, b_end);
        moved = std::move(f); // they wait for the file, not for the object
        assert_int_equal(over, 0);
        if (how == 0) GOOD(moved.close());
        if (how == 1) c = close_it(std::move(moved), end, ended);
        if (how == 2) moved = ef::file();
      }
      GOOD(p.submit()); // is enough: the loop calls it before it sleeps
      assert_int_equal(over, 2);
      assert_int_equal(a_end.value(), ECANCELED);
      assert_int_equal(b_end.value(), ECANCELED);
      pipe.leave();
      if (how == 1) hpp::until(p, [&] { return ended == 1; });
      hpp::nothing_more(p);
      assert_int_equal(over, 2);
      ::unlink((dir + "/closing" + std::to_string(how)).c_str());
    }
  });
}

void a_port_that_goes_resumes_nobody(void **) {
  hpp::full_pipe pipe(dir + "/port-goes");
  int over = 0;
  std::error_code end;
  ef::job a, b;
  {
    ef::port p;
    ef::file f = pipe.open(p);
    a = wait_for_room(f, over, end);
    b = close_it(std::move(f), end, over); // it is told of this by submit(), which does not come
  }
  assert_int_equal(over, 0);
  assert_false(a.done() || b.done());
}

// Resumed before the sleep, it may be what the caller waits for.
void a_wait_does_not_sleep_over_what_it_resumed(void **) {
  hpp::on_each_engine([](ef::port &p) {
    hpp::full_pipe pipe(dir + "/asleep");
    int over = 0;
    std::error_code end;
    ef::file f = pipe.open(p);
    hpp::until(p, [&] { return *p.dispatch() == 0; });
    const ef::job j = wait_for_room(f, over, end);
    ::alarm(60);
    GOOD(f.close());
    assert_int_equal(*p.wait(-1), 1);
    ::alarm(0);
    assert_true(j.done() && end.value() == ECANCELED);
    ::unlink((dir + "/asleep").c_str());
  });
}

// What closes goes on where nobody takes the events, and whoever takes them later hears of it, to no harm.
void a_borrowed_port_is_given_back(void **) {
  ef_port *shared = ef_port_new(nullptr);
  hpp::full_pipe pipe(dir + "/borrowed");
  int over = 0;
  std::error_code end;
  ef::job j;
  {
    ef::port loan(shared);
    j = close_it(pipe.open(loan), end, over);
  }
  pipe.leave();
  ef::port loan(shared);
  hpp::until(loan, [&] { return loan.stats()->files == 0; });
  GOOD(loan.dispatch());
  assert_int_equal(over, 0);
  assert_false(j.done());
  j.cancel();
  assert_int_equal(ef_port_free(shared), 0);
}

void many_requests_on_a_port_of_others_are_told_in_one_turn(void **) {
  const std::string path = dir + "/others", all = core::pattern(50000);
  auto f = ef::file::open(path.c_str(), O_RDWR | O_CREAT);
  int over = 0;
  std::vector<ef::job> jobs;
  for (std::size_t i = 0; i < 50; ++i) jobs.push_back(write_at(*f, all, i * 1000, 1000, over));
  ef::port loan(ef_port_default());
  GOOD(f->wait(EF_OPEN, core::patience_ms));
  ::usleep(20000); // so that many are told together
  hpp::until(loan, [&] { return over == 50; });
  GOOD(f->close());
  GOOD(loan.drain(core::patience_ms));
  assert_true(core::contents(path) == all);
}

void without_a_port_of_ours_nothing_but_requests_is_awaited(void **) {
  auto f = ef::file::open((dir + "/default").c_str(), O_RDWR | O_CREAT);
  int over = 0;
  std::error_code end;
  ef::job a = wait_for_room(*f, over, end);
  assert_true(a.done() && end.value() == ENOTSUP);
  ef::file none;
  a = wait_for_sync(none, over, end);
  assert_true(a.done() && end.value() == EBADF);
  ef::job w = write_at(*f, "bytes", 0, 5, over);
  ef::port loan(ef_port_default()); // the events come, whoever takes them
  hpp::until(loan, [&] { return over == 3; });
  std::error_code closed;
  a = close_it(std::move(*f), closed, over);
  assert_true(a.done() && closed.value() == ENOTSUP); // but it is closed
  GOOD(loan.drain(core::patience_ms));
  assert_string_equal(core::contents(dir + "/default").c_str(), "bytes");
}

} // namespace

int main() {
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(who_was_destroyed_is_not_resumed),
      cmocka_unit_test(one_that_is_resumed_may_destroy_the_next),
      cmocka_unit_test(a_request_whose_coroutine_is_destroyed_is_waited_for),
      cmocka_unit_test(a_file_that_is_closed_cancels_who_waits),
      cmocka_unit_test(a_port_that_goes_resumes_nobody),
      cmocka_unit_test(a_wait_does_not_sleep_over_what_it_resumed),
      cmocka_unit_test(a_borrowed_port_is_given_back),
      cmocka_unit_test(many_requests_on_a_port_of_others_are_told_in_one_turn),
      cmocka_unit_test(without_a_port_of_ours_nothing_but_requests_is_awaited),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
