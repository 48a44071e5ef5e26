// SPDX-License-Identifier: BSD-2-Clause
// A file system that is frozen, as for a snapshot, again and again: freezes DIRECTORY HEALTHY-DIRECTORY COUNT SHORT
// LONG, each of SHORT to LONG ms. The loop goes on, no more than the budget is accepted, what is opened and closed
// meanwhile comes when it thaws, and everything comes in order.
#include "fault_loop.hh"

#include <linux/fs.h>
#include <sys/ioctl.h>

namespace {

using disk::loop;
using disk::port;
using disk::written_file;

int freezes;
std::uint64_t shortest_ms, longest_ms;

// Thawed in any case: who cleans up would hang as well.
class frozen {
 public:
  frozen() : fd_(::open(disk::at.c_str(), O_RDONLY | O_DIRECTORY)) {
    stress::require(fd_ >= 0 && ::ioctl(fd_, FIFREEZE, 0) == 0, "FIFREEZE");
  }
  ~frozen() {
    stress::require(::ioctl(fd_, FITHAW, 0) == 0, "FITHAW");
    ::close(fd_);
  }

 private:
  int fd_;
};

double worst_ms, robbed_ms, worst_noise_ms;
long refused;

void freeze_once(stress::random &dice) {
  core::put(disk::at + "/read", core::pattern(300000));
  written_file hung(disk::at, "hung", disk::small_budget()), closed(disk::at, "closed");
  const int reading = core::open(disk::at + "/read", O_RDONLY, {}, port);
  core::wait(hung.fd, EF_OPEN);
  core::wait(reading, EF_OPEN);
  loop l(hung, reading);
  std::unique_ptr<written_file> opened;
  bool open_early, drained, within;
  {
    const frozen f;
    opened = std::make_unique<written_file>(disk::at, "opened");
    opened->put(10);
    closed.put(10);
    stress::require(ef_close(closed.fd) == 0, "ef_close");
    l.run(static_cast<int>(shortest_ms + dice.below(longest_ms - shortest_ms + 1)));
    open_early = ef_ready(opened->fd) & EF_OPEN, drained = ef_drain(port, 0) == 0;
    within = hung.counters().accepted - hung.counters().written <= disk::budget;
  }
  assert_false(open_early || drained);
  assert_true(within && l.refused > 0);
  worst_ms = std::max(worst_ms, l.gap_ms);
  robbed_ms = std::max(robbed_ms, l.robbed_ms);
  worst_noise_ms = std::max(worst_noise_ms, l.machine.worst_ms());
  refused += l.refused;
  if (!l.goes_on())
    std::printf("# gap %.1f ms, without sleep %.1f, machine %.1f\n", l.gap_ms, l.robbed_ms, l.machine.worst_ms());
  assert_true(l.goes_on());
  disk::close_whole(hung, disk::at);
  disk::close_whole(*opened, disk::at);
  core::close(reading, port);
  for (auto &f : l.well) disk::close_whole(*f, disk::healthy);
  assert_true(core::contents(disk::at + "/closed") == closed.accepted);
}

void a_loop_goes_on_while_its_file_system_is_frozen(void **) {
  stress::random dice(1);
  for (int i = 0; i < freezes; ++i) freeze_once(dice);
  std::printf("# %d freezes: longest turn %.1f ms, without sleep %.1f (machine %.1f), refused %ld\n", freezes, worst_ms,
              robbed_ms, worst_noise_ms, refused);
}

// A turn that writes by itself waits for the thaw, and is seen.
void control_a_loop_that_waits_is_found(void **) {
  const int fd = ::open((disk::at + "/control").c_str(), O_WRONLY | O_CREAT, 0644);
  assert_true(fd >= 0);
  auto f = std::make_unique<frozen>();
  std::thread thaw([&] {
    ::usleep(300000);
    f.reset();
  });
  const disk::noise machine;
  const auto began = disk::clock::now();
  const bool wrote = ::write(fd, "x", 1) == 1;
  const double gap_ms = disk::ms_since(began), most = disk::gap_most_ms + machine.worst_ms();
  thaw.join();
  ::close(fd);
  assert_true(wrote && gap_ms > most);
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  disk::at = argv[1], disk::healthy = argv[2];
  freezes = std::atoi(argv[3]);
  shortest_ms = std::strtoull(argv[4], nullptr, 10), longest_ms = std::strtoull(argv[5], nullptr, 10);
  stress::seed();
  const CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_loop_goes_on_while_its_file_system_is_frozen, disk::open_port,
                                      disk::close_port),
      cmocka_unit_test(control_a_loop_that_waits_is_found),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
