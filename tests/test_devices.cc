// SPDX-License-Identifier: BSD-2-Clause
// A disk that hangs under many files holds up those alone: files on other disks are written, synced and closed, and
// when it comes back everything that waited for it is done.
#include "faulty.hh"
#include "limits.hh"
#include "stress.hh"

#include "core.hh"

namespace {

constexpr const char *other_disk = "/dev/shm";
constexpr int files = 40;
std::string dir, other;
std::atomic<bool> hanging{false};
std::atomic<int> inside{0}, most_inside{0};
std::atomic<dev_t> slow_device{0};

ssize_t hang_on_one(int fd, const iovec *iov, int count, off_t offset) {
  struct stat st;
  if (::fstat(fd, &st) == 0 && st.st_dev == slow_device) {
    const int n = ++inside;
    if (n > most_inside) most_inside = n;
    while (hanging) ::usleep(500);
    --inside;
  }
  return faulty::do_pwritev(fd, iov, count, offset);
}

dev_t device_of(const std::string &path) {
  struct stat st;
  assert_int_equal(::stat(path.c_str(), &st), 0);
  return st.st_dev;
}
#define TWO_DISKS()                                                                                                    \
  if (device_of(dir) == device_of(other)) skip()

struct many {
  std::vector<int> fds;

  many() {
    for (int i = 0; i < files; ++i) fds.push_back(core::open(path(i), O_WRONLY | O_CREAT));
    for (int fd : fds) core::wait(fd, EF_OPEN);
  }
  static std::string path(int i) { return dir + "/" + std::to_string(i); }
  void write(const std::string &text) {
    for (int fd : fds) core::write(fd, text);
    for (int fd : fds) assert_int_equal(ef_flush(fd), 0);
  }
  void close() {
    for (int fd : fds) assert_int_equal(ef_close(fd), 0);
    assert_int_equal(core::drain(nullptr), 0);
  }
};

void hang() {
  slow_device = device_of(dir);
  most_inside = 0;
  hanging = true;
}

void another_disk_is_served(void **) {
  TWO_DISKS();
  many slow;
  hang();
  slow.write("kept");
  stress::await([] { return inside >= ef::limits::flushers_a_device; }, "many threads hang");
  for (int i = 0; i < 20; ++i) {
    const int fd = core::open(other + "/" + std::to_string(i), O_WRONLY | O_CREAT);
    core::write(fd, "healthy");
    assert_int_equal(ef_wait(fd, EF_SYNC, 10000), EF_SYNC);
    assert_int_equal(ef_close(fd), 0);
  }
  assert_int_equal(most_inside, ef::limits::flushers_a_device);
  hanging = false;
  slow.close();
  for (int i = 0; i < files; ++i) {
    assert_string_equal(core::contents(many::path(i)).c_str(), "kept");
    assert_int_equal(::unlink(many::path(i).c_str()), 0);
  }
}

// Closed while they are kept out: nobody asks again.
void what_was_closed_meanwhile_is_written(void **) {
  TWO_DISKS();
  for (int round = 0; round < 20; ++round) {
    many slow;
    hang();
    slow.write("one ");
    for (int fd : slow.fds) core::write(fd, "two");
    for (int fd : slow.fds) assert_int_equal(ef_close(fd), 0);
    ::usleep(static_cast<unsigned>(round) * 500);
    hanging = false;
    assert_int_equal(core::drain(nullptr), 0);
    for (int i = 0; i < files; ++i) {
      assert_string_equal(core::contents(many::path(i)).c_str(), "one two");
      assert_int_equal(::unlink(many::path(i).c_str()), 0);
    }
  }
}

// Short hangs, over and over: threads come and go at the gate all the time.
void nobody_is_forgotten_at_the_gate(void **) {
  many slow;
  slow_device = device_of(dir);
  const std::string text(3000, 't');
  for (int round = 0; round < 200; ++round) {
    hanging = round % 2;
    slow.write(text);
    hanging = false;
    for (int fd : slow.fds) assert_int_equal(core::wait_for(fd, EF_SYNC), EF_SYNC);
  }
  slow.close();
  for (int i = 0; i < files; ++i) assert_int_equal(core::contents(many::path(i)).size(), 200 * text.size());
}

} // namespace

int main() {
  faulty::install([](ef::sys_table &t) {
    t.pwritev = hang_on_one;
    t.fdatasync = [](int) { return 0; }; // of that nothing is tested here
  });
  dir = core::directory();
  other = core::directory(other_disk);
  const CMUnitTest tests[] = {
      cmocka_unit_test(another_disk_is_served),
      cmocka_unit_test(what_was_closed_meanwhile_is_written),
      cmocka_unit_test(nobody_is_forgotten_at_the_gate),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(other);
  if (!failed) core::remove(dir);
  return failed;
}
