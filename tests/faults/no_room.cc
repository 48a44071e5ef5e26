// SPDX-License-Identifier: BSD-2-Clause
// File systems that are really full, and a quota that is used up: no_room DIRECTORY HEALTHY-DIRECTORY ERRNO CYCLES.
// Another file takes all the room; logs of each kind are written until that is told, and must keep every byte, in
// order, until room appears, while files elsewhere go on.
#include "fault_disk.hh"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

namespace {

using disk::port, disk::written_file;

int wanted; // ENOSPC or EDQUOT
long cycles;

const char *tight, *loose; // commands

// Takes what room there is but `left` bytes or a little more: with a file, or the quota is lowered.
class filler {
 public:
  explicit filler(long left) {
    if (tight) {
      assert_int_equal(std::system(tight), 0);
      return;
    }
    fd_ = ::open((disk::at + "/filler").c_str(), O_WRONLY | O_CREAT, 0644);
    assert_true(fd_ >= 0);
    static const std::string block(1 << 20, 'f');
    off_t size = ::lseek(fd_, 0, SEEK_END);
    for (std::size_t step = block.size(); step >= 4096; step /= 4)
      for (ssize_t n; (n = ::pwrite(fd_, block.data(), step, size)) > 0;) size += n;
    assert_int_equal(errno, wanted);
    ::fsync(fd_); // what was promised is taken
    shorten(left);
  }
  ~filler() { ::close(fd_); }
  void give_way() { loose ? assert_int_equal(std::system(loose), 0) : shorten(32 << 20); }

 private:
  void shorten(off_t bytes) {
    const off_t size = ::lseek(fd_, 0, SEEK_END);
    assert_int_equal(::ftruncate(fd_, std::max<off_t>(0, size - bytes)), 0);
    ::fsync(fd_);
  }
  int fd_ = -1;
};

struct kind {
  const char *name;
  int order;
  std::uint64_t preallocate;
};
constexpr kind kinds[] = {{"as called", EF_ORDER_CALL, 0},
                          {"as threads write", EF_ORDER_THREAD, 0},
                          {"with space ahead", EF_ORDER_CALL, 1 << 20}};

// Something that the file system keeps for itself may become free: then it goes on for a while.
bool write_until_told(written_file &f, disk::news &news, stress::random &dice) {
  for (int i = 0; i < 100000 && news.count(f.fd, EF_ERROR) == 0; ++i) {
    if (f.put(1 + dice.below(20000)) < 0) {
      assert_int_equal(errno, EAGAIN);
      if (disk::eventually([&] { return news.count(f.fd, EF_ERROR | EF_WRITE) > 0; }, 2000)) continue;
    }
  }
  return news.count(f.fd, EF_ERROR) > 0;
}

int told;
void one_cycle(const kind &k, long number, stress::random &dice) {
  ef_file_options o{};
  o.write_buffer_max = 512 * 1024;
  o.order = k.order;
  o.preallocate_bytes = k.preallocate;
  written_file f(disk::at, "log" + std::to_string(number % 3), o), other(disk::healthy, "other");
  core::wait(f.fd, EF_OPEN); // a name needs room, too
  filler all(static_cast<long>(dice.below(400'000)));
  disk::news news;
  if (!write_until_told(f, news, dice)) { // void: there was more room than the filler found
    all.give_way();
    return disk::close_whole(f, disk::at), disk::close_whole(other, disk::healthy);
  }
  ++told;
  assert_int_equal(news.expect(f.fd, EF_ERROR).error, wanted);
  assert_int_equal(f.counters().error, 0);
  assert_int_equal(other.put(1000), 1000);
  core::wait(other.fd, EF_SYNC);
  while (f.put(EF_ATOMIC / 2) > 0) {}
  assert_int_equal(errno, EAGAIN);
  all.give_way();
  assert_true(disk::eventually([&] { return f.put(5000) == 5000; }));
  // What was freed may not be there at once.
  assert_true(disk::eventually([&] { return ef_wait(f.fd, EF_SYNC, core::patience_ms) == EF_SYNC; }));
  assert_int_equal(f.counters().write_trouble, 0);
  disk::close_whole(f, disk::at);
  disk::close_whole(other, disk::healthy);
}

void what_finds_no_room_is_kept_until_there_is(void **) {
  stress::random dice(1);
  for (const kind &k : kinds) {
    told = 0;
    for (long n = 0; n < cycles; ++n) one_cycle(k, n, dice);
    std::printf("# %s: %d times in %ld cycles: %s\n", k.name, told, cycles, ::strerrorname_np(wanted));
    assert_true(2 * told >= cycles);
  }
}

// A writer that drops what found no room and goes on is found by the same comparison.
void control_a_writer_that_drops(void **) {
  const int fd = ::open((disk::at + "/control").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  filler all(100'000);
  std::string accepted;
  bool dropped = false;
  for (unsigned n = 0; n < 4000; ++n) {
    const std::string piece = core::pattern(9000, n);
    accepted += piece;
    const ssize_t r = ::write(fd, piece.data(), piece.size());
    if (r != static_cast<ssize_t>(piece.size()) && !std::exchange(dropped, true)) all.give_way();
  }
  ::fsync(fd);
  ::close(fd);
  assert_true(dropped && core::contents(disk::at + "/control") != accepted);
  ::unlink((disk::at + "/control").c_str());
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  disk::at = argv[1], disk::healthy = argv[2];
  wanted = std::atoi(argv[3]), cycles = std::atol(argv[4]);
  if (argc > 6) tight = argv[5], loose = argv[6];
  stress::seed();
  const CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_finds_no_room_is_kept_until_there_is, disk::open_port, disk::close_port),
      cmocka_unit_test(control_a_writer_that_drops)};
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
