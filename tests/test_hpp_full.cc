// SPDX-License-Identifier: BSD-2-Clause
// What coroutines hear of a disk that is full, or fails, while they want room.
#include "faulty.hh"
#include "hpp.hh"

namespace {

std::string dir;

struct answer {
  int times = 0, error = 0;
};

ef::job room(ef::file &f, answer &a) {
  const auto r = co_await f.writable();
  ++a.times;
  a.error = r.error().value();
}
ef::job room_or_error(ef::file &f, answer &a) {
  const auto r = co_await f.writable_or_error();
  ++a.times;
  a.error = r.error().value();
}

// Until there is no room, and no news of room that there was meanwhile.
void fill(ef::port &p, const ef::file &f) {
  for (int idle = 0; idle < 5; ++idle, ::usleep(3000)) {
    GOOD(p.dispatch());
    while (f.write(std::string(4096, 'x'))) idle = 0;
  }
}

// A file without room: its first write hangs until `then_fail` lets it go on, into that error.
ef::file without_room(ef::port &p) {
  faulty::now.hung = faulty::every_file;
  auto f = ef::file::open(p, (dir + "/file").c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                          {.write_buffer_max = 128 << 10, .flush_interval_ms = 5});
  GOOD(f->wait(EF_OPEN, core::patience_ms));
  fill(p, *f);
  return std::move(*f);
}
void then_fail(int error) {
  faulty::now.write_errno = error;
  faulty::now.hung = -1;
}

// Waits, and the disk is full then: told, to the one who asked for it. Who asks later is answered at once. When there
// is space, both have room.
void a_disk_that_becomes_full_is_told(void **) {
  hpp::on_each_engine([](ef::port &p) {
    for (const int full : {ENOSPC, EDQUOT, EFBIG}) {
      ef::file f = without_room(p);
      answer patient, told, at_once, last;
      const ef::job a = room(f, patient), b = room_or_error(f, told);
      hpp::nothing_more(p);
      assert_int_equal(told.times, 0);
      then_fail(full);
      hpp::until(p, [&] { return told.times > 0; });
      assert_int_equal(told.error, full);
      assert_int_equal(f.stats()->write_trouble, full);
      const ef::job c = room_or_error(f, at_once);
      assert_true(c.done());
      assert_int_equal(at_once.error, full);
      assert_int_equal(patient.times, 0);
      faulty::heal();
      hpp::until(p, [&] { return patient.times > 0; });
      assert_int_equal(patient.error, 0);
      const ef::job d = room_or_error(f, last);
      assert_true(d.done());
      assert_int_equal(last.error, 0);
      assert_true(told.times == 1 && patient.times == 1);
      GOOD(f.close());
    }
  });
}

// The disk is full before anybody awaits its file, so that no event tells of it.
void a_disk_that_is_full_is_told_at_once(void **) {
  hpp::on_each_engine([](ef::port &p) {
    faulty::now.write_errno = ENOSPC;
    auto f = ef::file::open(p, (dir + "/full").c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                            {.write_buffer_max = 128 << 10, .flush_interval_ms = 5});
    GOOD(f->write("a line\n"));
    GOOD(f->flush());
    hpp::until(p, [&] { return f->stats()->write_trouble != 0; });
    answer early, full, later;
    const ef::job a = room_or_error(*f, early); // there is room yet
    assert_true(a.done());
    assert_int_equal(early.error, 0);
    fill(p, *f);
    const ef::job b = room_or_error(*f, full);
    assert_true(b.done());
    assert_int_equal(full.error, ENOSPC);
    const ef::job c = room(*f, later);
    assert_false(c.done());
    faulty::heal();
    hpp::until(p, [&] { return c.done(); });
    assert_int_equal(later.error, 0);
    GOOD(f->close());
  });
}

void an_error_that_sticks_is_told(void **) {
  hpp::on_each_engine([](ef::port &p) {
    ef::file f = without_room(p);
    answer waits, at_once, closed;
    const ef::job a = room_or_error(f, waits);
    then_fail(EIO);
    hpp::until(p, [&] { return a.done(); });
    assert_int_equal(waits.error, EIO);
    const ef::job b = room_or_error(f, at_once);
    assert_int_equal(at_once.error, EIO);
    faulty::heal();
    FAILED_WITH(f.close(), EIO);
    const ef::job c = room_or_error(f, closed);
    assert_int_equal(closed.error, EBADF);
    auto none = ef::file::open(p, (dir + "/none/none").c_str(), O_WRONLY);
    GOOD(none->wait(EF_OPEN, core::patience_ms));
    answer unopened;
    const ef::job d = room_or_error(*none, unopened);
    assert_true(d.done());
    assert_int_equal(unopened.error, ENOENT);
  });
}

// A log that cannot be renamed has an EF_ERROR, too: it is no error of writing, nor an answer.
void other_trouble_is_no_answer(void **) {
  hpp::on_each_engine([](ef::port &p) {
    const auto refuse = [](void *, const char *, unsigned long, char *, std::size_t) { return EXDEV; };
    auto f = ef::file::open(p, (dir + "/log").c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                            {.write_buffer_max = 128 << 10, .rotate_bytes = 1000, .rotate = refuse});
    GOOD(f->wait(EF_OPEN, core::patience_ms));
    GOOD(f->write(std::string(900, 'x')));
    GOOD(f->wait(EF_SYNC, core::patience_ms));
    faulty::now.hung = faulty::every_file;
    fill(p, *f);
    answer a;
    const ef::job j = room_or_error(*f, a);
    for (int i = 0; i < 5; ++i) GOOD(p.wait(20));
    assert_false(j.done());
    faulty::heal();
    hpp::until(p, [&] { return j.done(); });
    assert_int_equal(a.error, 0);
    GOOD(f->close());
  });
}

void a_sync_is_begun_without_waiting(void **) {
  hpp::on_each_engine([](ef::port &p) {
    auto f = ef::file::open(p, (dir + "/synced").c_str(), O_WRONLY | O_CREAT | O_TRUNC, {.flush_interval_ms = 3600000});
    GOOD(f->write("a line\n"));
    GOOD(f->sync());
    hpp::until(p, [&] { return f->stats()->synced == 7; });
    GOOD(f->close());
    FAILED_WITH(f->sync(), EBADF);
  });
}

} // namespace

int main() {
  faulty::install();
  dir = core::directory();
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_disk_that_becomes_full_is_told), cmocka_unit_test(a_disk_that_is_full_is_told_at_once),
      cmocka_unit_test(an_error_that_sticks_is_told),     cmocka_unit_test(other_trouble_is_no_answer),
      cmocka_unit_test(a_sync_is_begun_without_waiting),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
