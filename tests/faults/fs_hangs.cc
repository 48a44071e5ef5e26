// SPDX-License-Identifier: BSD-2-Clause
// A disk that hangs, is slow or goes away (faultfs): the loop never waits, other files go on, everything comes in order
// when it is well again, and what cannot come is told.
#include "fault_loop.hh"

namespace {

using disk::budget;
using disk::clock;
using disk::counted;
using disk::gap_most_ms;
using disk::heal;
using disk::loop;
using disk::ms_since;
using disk::noise;
using disk::port;
using disk::rule;
using disk::small_budget;
using disk::written_file;

int file_to_read() {
  core::put(disk::back + "/read", core::pattern(300000));
  return core::open(disk::at + "/read", O_RDONLY, {}, port);
}
long hang_ms() { return std::getenv("EFIO_LONG") ? 5000 : 700; }

void the_loop_goes_on(const char *operation) {
  heal();
  written_file hung(disk::at, "hung", small_budget());
  const int reading = file_to_read();
  core::wait(hung.fd, EF_OPEN);
  core::wait(reading, EF_OPEN);
  rule(std::string(operation) + " name=hung hang");
  rule("read name=read hang");
  loop l(hung, reading);
  l.run(static_cast<int>(hang_ms()));
  assert_true(counted(operation, "hanging") == 1);
  assert_true(l.refused > 0 && hung.counters().accepted - hung.counters().written <= budget);
  l.check((std::string(operation) + " hangs").c_str());
  heal();
  disk::close_whole(hung, disk::back);
  core::close(reading, port);
  l.close_all();
}
void a_loop_goes_on_while_a_write_hangs(void **) { the_loop_goes_on("write"); }
void a_loop_goes_on_while_a_sync_hangs(void **) { the_loop_goes_on("fsync"); }

// Opens, and what they lock, hang too: nothing of the disk answers.
void a_loop_goes_on_while_the_disk_is_stopped(void **) {
  written_file hung(disk::at, "stopped", small_budget());
  const int reading = file_to_read();
  core::wait(hung.fd, EF_OPEN);
  core::wait(reading, EF_OPEN);
  loop l(hung, reading);
  assert_int_equal(::kill(disk::server, SIGSTOP), 0);
  const auto began = clock::now();
  written_file opened(disk::at, "opened-meanwhile"), closed(disk::at, "closed-meanwhile");
  opened.put(10);
  closed.put(10);
  const int closing = ef_close(closed.fd);
  const double opening_ms = ms_since(began);
  l.run(static_cast<int>(hang_ms()));
  const bool open_early = ef_ready(opened.fd) & EF_OPEN, drained = ef_drain(port, 0) == 0;
  ::kill(disk::server, SIGCONT); // before anything is asserted: a stopped one is not seen by who cleans up
  assert_int_equal(closing, 0);
  assert_false(open_early || drained);
  assert_true(opening_ms < gap_most_ms + l.machine.worst_ms());
  assert_true(l.refused > 0);
  l.check("SIGSTOP");
  disk::close_whole(hung, disk::back);
  disk::close_whole(opened, disk::back);
  core::close(reading, port);
  l.close_all();
  assert_true(core::contents(disk::back + "/closed-meanwhile") == closed.accepted);
}

// A disk has five flushers at most: whatever hangs there, others are served.
void files_that_hang_do_not_hold_up_one_that_is_well(void **) {
  std::vector<std::unique_ptr<written_file>> crowd;
  for (int i = 0; i < 12; ++i) {
    crowd.push_back(std::make_unique<written_file>(disk::at, "crowd" + std::to_string(i)));
    core::wait(crowd.back()->fd, EF_OPEN);
  }
  rule("write name=crowd* hang");
  for (auto &f : crowd) f->put(100);
  assert_true(disk::eventually([] { return counted("write", "hanging") == 5; }));
  written_file well(disk::healthy, "beside");
  well.put(100);
  const auto began = clock::now();
  const int r = ef_wait(well.fd, EF_SYNC, core::patience_ms);
  std::printf("# 12 files hang, the sync of one that is well took %.1f ms\n", ms_since(began));
  for (auto &f : crowd) f->put(100);
  well.put(100);
  const int hanging = counted("write", "hanging");
  heal();
  assert_int_equal(hanging, 5);
  assert_int_equal(r, EF_SYNC);
  for (auto &f : crowd) disk::close_whole(*f, disk::back);
  disk::close_whole(well, disk::healthy);
}

void delays_change_nothing_but_time(void **) {
  rule("write name=slow delay_ms=7");
  rule("fsync name=slow delay_ms=60");
  written_file slow(disk::at, "slow", small_budget());
  core::wait(slow.fd, EF_OPEN);
  loop l(slow, -1);
  l.run(500);
  l.check("delays");
  disk::close_whole(slow, disk::back);
  l.close_all();
}

// A turn that itself writes to the disk that hangs is seen as one.
void control_a_loop_that_waits_is_found(void **) {
  const int fd = ::open((disk::at + "/control").c_str(), O_WRONLY | O_CREAT, 0644);
  assert_true(fd >= 0);
  rule("write name=control hang");
  std::thread healer([] {
    ::usleep(300000);
    heal();
  });
  const noise machine;
  const auto began = clock::now();
  const bool wrote = ::write(fd, "x", 1) == 1;
  const double gap_ms = ms_since(began), most = gap_most_ms + machine.worst_ms();
  healer.join();
  ::close(fd);
  std::printf("# control: a turn of %.1f ms (machine %.1f ms)\n", gap_ms, machine.worst_ms());
  assert_true(wrote && gap_ms > most);
}

// ---- The last one: the file system goes away

void a_disk_that_is_gone_is_told_and_closing_ends(void **) {
  written_file idle(disk::at, "idle"), busy(disk::at, "busy", small_budget()), well(disk::healthy, "well");
  const int reading = file_to_read();
  assert_int_equal(idle.put(1000), 1000);
  core::wait(idle.fd, EF_SYNC);
  core::wait(busy.fd, EF_OPEN);
  core::wait(reading, EF_OPEN);
  rule("write name=busy skip=2 hang"); // one that is under way then
  while (busy.put(10000) > 0) {}
  assert_true(disk::eventually([] { return counted("write", "hanging") == 1; }));
  ::kill(disk::server, SIGKILL);
  disk::news news;
  const int error = news.expect(busy.fd, EF_ERROR).error; // ECONNABORTED: what was under way when it went
  std::printf("# SIGKILL: %s\n", ::strerrorname_np(error));
  assert_true(error == ENOTCONN || error == ECONNABORTED);
  FAILS_WITH(ef_write(busy.fd, "x", 1), error);
  idle.put(10);
  assert_int_equal(news.expect(idle.fd, EF_ERROR).error, ENOTCONN);
  char b[1];
  const auto gone = [&] { return ef_read(reading, b, 1) < 0 && errno != EAGAIN; };
  assert_true(disk::eventually(gone));
  assert_int_equal(errno, ENOTCONN);
  well.put(10);
  for (const int fd : {busy.fd, idle.fd, reading}) {
    ef_watch(fd, EF_CLOSE, nullptr);
    ef_close(fd);
    news.expect(fd, EF_CLOSE);
  }
  assert_int_equal(news.count(busy.fd, EF_ERROR), 1);
  disk::close_whole(well, disk::healthy);
  assert_true(core::contents(disk::back + "/idle") == idle.accepted.substr(0, 1000));
  assert_true(disk::is_prefix(core::contents(disk::back + "/busy"), busy.accepted));
}

} // namespace

int main(int argc, char **argv) {
  if (!disk::arguments(argc, argv)) return 2;
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk::start_test, disk::end_test)
  const CMUnitTest tests[] = {
      TEST(a_loop_goes_on_while_a_write_hangs),
      TEST(a_loop_goes_on_while_a_sync_hangs),
      TEST(a_loop_goes_on_while_the_disk_is_stopped),
      TEST(files_that_hang_do_not_hold_up_one_that_is_well),
      TEST(delays_change_nothing_but_time),
      TEST(control_a_loop_that_waits_is_found),
      cmocka_unit_test_setup_teardown(a_disk_that_is_gone_is_told_and_closing_ends, disk::start_test, disk::close_port),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
