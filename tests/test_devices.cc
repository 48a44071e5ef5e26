// SPDX-License-Identifier: BSD-2-Clause
// A disk that hangs under many files or requests holds up those alone: on other disks files are written, synced, read
// and closed, and when it comes back everything that waited for it is done.
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

void hang_on_one(int fd) {
  struct stat st;
  if (::fstat(fd, &st) != 0 || st.st_dev != slow_device) return;
  const int n = ++inside;
  if (n > most_inside) most_inside = n;
  while (hanging) ::usleep(500);
  --inside;
}
ssize_t write_or_hang(int fd, const iovec *iov, int count, off_t offset) {
  hang_on_one(fd);
  return faulty::do_pwritev(fd, iov, count, offset);
}
ssize_t write_at_or_hang(int fd, const iovec *iov, int count, off_t offset, int flags) {
  hang_on_one(fd);
  return faulty::do_pwritev_at(fd, iov, count, offset, flags);
}
ssize_t read_or_hang(int fd, const iovec *iov, int count, off_t offset) {
  hang_on_one(fd);
  return faulty::do_preadv(fd, iov, count, offset);
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

// Is the other disk well?
void write_and_read_elsewhere(const std::string &name) {
  const std::string path = other + "/" + name, text = core::pattern(9000);
  int fd = core::open(path, O_WRONLY | O_CREAT);
  core::write(fd, text);
  assert_int_equal(ef_wait(fd, EF_SYNC, 10000), EF_SYNC);
  assert_int_equal(ef_close(fd), 0);
  fd = core::open(path, O_RDONLY);
  assert_string_equal(core::read_all(fd).c_str(), text.c_str());
  assert_int_equal(ef_close(fd), 0);
}

// Requests of a file on the disk that hangs, on threads.
struct crowd {
  static constexpr int count = 40;
  ef_port *port;
  int fd;
  std::string bytes[count];
  ef_request all[count]{};
  int over = 0, cancelled = 0;

  crowd(int flags, const std::string &text) {
    port = core::port_with(EF_ENGINE_THREADS);
    core::put(dir + "/crowd", text);
    fd = core::open(dir + "/crowd", flags, {}, port);
    core::wait(fd, EF_OPEN);
  }
  void begin(bool write) {
    for (int i = 0; i < count; ++i) {
      bytes[i].assign(100, static_cast<char>('A' + i));
      const ssize_t r = write ? ef_pwrite(fd, bytes[i].data(), 100, 100 * i, &all[i])
                              : ef_pread(fd, bytes[i].data(), 100, 100 * i, &all[i]);
      assert_true(r == -1 && errno == EINPROGRESS);
    }
  }
  void take_until(int n) {
    while (over < n) {
      const ef_event e = core::next(port);
      assert_int_equal(e.events, EF_REQUEST);
      cancelled += static_cast<ef_request *>(e.data)->error == ECANCELED;
      ++over;
    }
  }
  void end() {
    take_until(count);
    core::close(fd, port);
    assert_int_equal(ef_port_free(port), 0);
  }
};

void requests(bool write, int most) {
  TWO_DISKS();
  faulty::now.memory_shown = false;
  faulty::now.nowait_miss = 1024;
  crowd c(write ? O_RDWR : O_RDONLY, std::string(100 * crowd::count, 'x'));
  hang();
  c.begin(write);
  stress::await([=] { return inside >= most; }, "many threads hang");
  for (int i = 0; i < 5; ++i) write_and_read_elsewhere("beside" + std::to_string(i));
  assert_int_equal(most_inside, most);
  // What is kept out of the disk can be called off all the same.
  for (int i = 0; i < crowd::count; i += 2) assert_int_equal(ef_cancel(&c.all[i]), 0);
  c.take_until(crowd::count / 2 - most);
  const int gone = c.over;
  assert_int_equal(c.cancelled, gone);
  assert_int_equal(ef_cancel_wait(&c.all[crowd::count - 1]), 0); // one of those that are kept: first come, first served
  assert_int_equal(c.all[crowd::count - 1].error, ECANCELED);
  ++c.over, ++c.cancelled;
  hanging = false;
  c.end();
  faulty::heal();
  faulty::now.memory_shown = true;
  const std::string found = core::contents(dir + "/crowd");
  for (int i = 0; i < crowd::count; ++i) {
    const bool good = c.all[i].result == 100;
    assert_true(good || c.all[i].error == ECANCELED);
    const std::string want(100, write && good ? static_cast<char>('A' + i) : 'x');
    assert_true(found.substr(100 * static_cast<std::size_t>(i), 100) == want && (write || !good || c.bytes[i] == want));
  }
}
void another_disk_is_served_while_requests_write(void **) { requests(true, ef::limits::flushers_a_device); }
void another_disk_is_served_while_requests_read(void **) { requests(false, ef::limits::readers_a_device); }

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
    t.pwritev = write_or_hang;
    t.pwritev_at = write_at_or_hang;
    t.preadv = read_or_hang;
    t.fdatasync = [](int) { return 0; }; // of that nothing is tested here
  });
  dir = core::directory();
  other = core::directory(other_disk);
  const CMUnitTest tests[] = {
      cmocka_unit_test(another_disk_is_served),
      cmocka_unit_test(another_disk_is_served_while_requests_write),
      cmocka_unit_test(another_disk_is_served_while_requests_read),
      cmocka_unit_test(what_was_closed_meanwhile_is_written),
      cmocka_unit_test(nobody_is_forgotten_at_the_gate),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(other);
  if (!failed) core::remove(dir);
  return failed;
}
