// SPDX-License-Identifier: BSD-2-Clause
// Who brings a request to its end, whatever becomes of its file, its port, its owner and its process meanwhile.
#include "requests.hh"

namespace {

using requests::loop;
using requests::one;

std::string dir, all;
constexpr unsigned always = 1024;
constexpr std::size_t piece = 4096;

struct aligned {
  aligned() { assert_int_equal(::posix_memalign(&memory, piece, piece), 0); }
  ~aligned() { std::free(memory); }
  void *memory;
};

// Reads that really go to the disk, so that they are under way for a while.
int open_direct(const loop &l) {
  ef_file_options o{};
  o.cache = EF_CACHE_DIRECT;
  const int fd = core::open(dir + "/r", O_RDONLY, o, l.port);
  core::wait(fd, EF_OPEN);
  return fd;
}

struct flight { // several of them, in `count` different places
  static constexpr int count = 40;
  aligned buffers[count];
  one each[count];

  void begin(int fd) {
    for (int i = 0; i < count; ++i) IN_PROGRESS(ef_pread(fd, buffers[i].memory, piece, place(i), &each[i].q));
  }
  static off_t place(int i) { return (i * 37 % 101) * 2 * static_cast<off_t>(piece); }
  void check() const {
    for (int i = 0; i < count; ++i) {
      assert_int_equal(each[i].q.result, piece);
      assert_int_equal(std::memcmp(buffers[i].memory, all.data() + place(i), piece), 0);
    }
  }
  bool over(int i) const { return each[i].events == 1; }
  bool over() const {
    for (int i = 0; i < count; ++i)
      if (!over(i)) return false;
    return true;
  }
};

int descriptors_of(const std::string &path) {
  int n = 0;
  for (int fd = 0; fd < 256; ++fd) {
    char to[PATH_MAX];
    const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), to, sizeof to);
    n += length > 0 && path == std::string(to, static_cast<std::size_t>(length));
  }
  return n;
}

// ---- Forms of news

void a_port_with_a_wake_is_woken(void **) {
  for (bool with_descriptor : {false, true})
    for (int e : requests::engines) {
      std::atomic<int> woken{0};
      loop l(
          e, [](void *w) { ++*static_cast<std::atomic<int> *>(w); }, nullptr, &woken);
      if (with_descriptor) assert_true(ef_port_fd(l.port) >= 0); // somebody looks at it, too
      l.drain();
      const int fd = open_direct(l);
      for (int round = 0; round < 20; ++round) {
        flight f;
        f.begin(fd);
        while (!f.over()) {
          stress::await([&] { return woken.load() > 0; }, "a wake");
          woken = 0;
          l.drain();
        }
        f.check();
      }
      assert_int_equal(ef_close(fd), 0);
      l.end();
    }
}

void a_notify_function_has_the_ends(void **) {
  for (int e : requests::engines) {
    std::atomic<int> over{0};
    auto note = [](void *n, const ef_event *events, int count) {
      for (int i = 0; i < count; ++i)
        if (events[i].events == EF_REQUEST) ++*static_cast<std::atomic<int> *>(n);
    };
    loop l(e, nullptr, note, &over);
    const int fd = open_direct(l);
    flight f;
    f.begin(fd);
    stress::await([&] { return over.load() == flight::count; }, "every end is told");
    f.check();
    core::close(fd, l.port);
    assert_int_equal(over, flight::count);
    assert_int_equal(ef_port_free(l.port), 0);
  }
}

// A notify function may begin the next one with the request that is over.
struct chain {
  one r{5000};
  std::atomic<int> over{0};
  int fd = -1;
};
void a_notify_function_begins_the_next_one(void **) {
  for (int e : requests::engines) {
    faulty::now.nowait_miss = always;
    chain c;
    auto next = [](void *arg, const ef_event *event, int) {
      if (event->events != EF_REQUEST) return;
      auto &c = *static_cast<chain *>(arg);
      const int number = c.over++;
      stress::require(c.r.bytes == all.substr(static_cast<std::size_t>(number) * 100, 5000), "the bytes");
      if (number + 1 < 300)
        stress::require(c.r.pread(c.fd, (number + 1) * 100) == -1 && errno == EINPROGRESS, "the next one");
    };
    loop l(e, nullptr, next, &c);
    c.fd = core::open(dir + "/r", O_RDONLY, {}, l.port);
    core::wait(c.fd, EF_OPEN);
    IN_PROGRESS(c.r.pread(c.fd, 0));
    stress::await([&] { return c.over.load() == 300; }, "the last one");
    core::close(c.fd, l.port);
    assert_int_equal(ef_port_free(l.port), 0);
    faulty::heal();
  }
}

// ---- Ends of the file and of the port

void a_closed_file_ends_after_its_requests(void **) {
  requests::on_each_engine([&](loop &l) {
    for (int round = 0; round < 20; ++round) {
      const int fd = open_direct(l), w = l.open(dir + "/w", O_RDWR | O_CREAT | O_TRUNC);
      one write(3000);
      flight f;
      f.begin(fd);
      IN_PROGRESS(write.pwrite(w, 5));
      l.closed = {fd, w};
      for (int file : l.closed) {
        assert_int_equal(ef_watch(file, EF_CLOSE, nullptr), 0);
        assert_int_equal(ef_close(file), 0);
      }
      FAILS_WITH(ef_pread(fd, f.buffers[0].memory, 1, 0, nullptr), EBADF);
      l.until([&] {
        const bool here = std::count(l.closed.begin(), l.closed.end(), fd),
                   there = std::count(l.closed.begin(), l.closed.end(), w);
        assert_true(here || f.over());
        assert_true(there || write.events == 1);
        return l.closed.empty();
      });
      f.check();
      assert_true(core::contents(dir + "/w").substr(5) == write.bytes);
    }
    l.nothing_more();
  });
}

// Also where the file was on the queue before them.
void the_end_of_a_file_does_not_overtake_its_requests(void **) {
  requests::on_each_engine([&](loop &l) {
    const int fd = l.open(dir + "/early", O_RDWR | O_CREAT | O_TRUNC);
    assert_int_equal(ef_sync(fd), 0);
    pollfd bell{l.bell, POLLIN, 0};
    assert_int_equal(::poll(&bell, 1, core::patience_ms), 1); // it is there, and nobody takes it
    one write(3000);
    IN_PROGRESS(write.pwrite(fd, 5));
    assert_int_equal(ef_drain(l.port, core::patience_ms), 0);
    l.closed = {fd};
    assert_int_equal(ef_watch(fd, EF_CLOSE, nullptr), 0);
    assert_int_equal(ef_close(fd), 0);
    assert_int_equal(ef_drain(l.port, core::patience_ms), 0);
    ef_event e{};
    assert_int_equal(ef_port_next(l.port, &e, 1), 1);
    assert_int_equal(e.events, EF_REQUEST);
    l.until([&] { return l.closed.empty(); });
  });
}

void requests_of_an_abandoned_port_end_unheard(void **) {
  for (int e : requests::engines) {
    for (int round = 0; round < 20; ++round) {
      loop l(e);
      const int fd = open_direct(l), w = l.open(dir + "/w", O_RDWR | O_CREAT | O_TRUNC);
      flight f, later;
      one write(100);
      f.begin(fd);
      IN_PROGRESS(write.pwrite(w, 0));
      assert_int_equal(ef_port_abandon(l.port), 0);
      later.begin(fd); // nobody takes their turns, and they come to an end all the same
      char text[100];
      assert_true(ef_read(fd, text, sizeof text) > 0 || errno == EAGAIN);
      assert_int_equal(ef_close(fd), 0);
      assert_int_equal(ef_close(w), 0);
      stress::await([&] { return descriptors_of(dir + "/r") == 0; }, "closed, behind the last of them");
      for (flight *some : {&f, &later})
        for (one &r : some->each) FAILS_WITH(ef_cancel(&r.q), ENOENT);
      f.check();
      later.check();
    }
    assert_int_equal(ef_drain(nullptr, core::patience_ms), 0);
  }
}

// ---- The thread that drains the port

void another_thread_drains_when_nothing_is_under_way(void **) {
  requests::on_each_engine([&](loop &l) {
    const int fd = open_direct(l);
    for (int i = 0; i < 10; ++i) {
      flight f;
      f.begin(fd);
      l.until([&] { return f.over(); });
      f.check();
      std::thread([&] {
        ef_event e;
        stress::require(ef_port_next(l.port, &e, 1) == 0, "the port is another thread's");
        aligned b;
        one r;
        stress::require(ef_pread(fd, b.memory, piece, 0, &r.q) == -1 && errno == EINPROGRESS, "under way");
        pollfd p{l.bell, POLLIN, 0};
        while (ef_port_next(l.port, &e, 1) == 0) ::poll(&p, 1, core::patience_ms);
        stress::require(e.data == &r.q && r.q.result == static_cast<ssize_t>(piece), "its request");
      }).join();
      l.drain();
    }
    assert_int_equal(ef_close(fd), 0);
  });
}

void the_owner_s_end_ends_its_requests(void **) {
  for (int e : requests::engines)
    for (int round = 0; round < 20; ++round) {
      std::unique_ptr<loop> l;
      flight f;
      int fd = -1;
      std::thread([&] {
        l = std::make_unique<loop>(e);
        fd = open_direct(*l);
        f.begin(fd);
      }).join();
      l->until([&] { return f.over(); });
      f.check();
      flight again; // of the new owner
      again.begin(fd);
      l->until([&] { return again.over(); });
      again.check();
      l->close(fd);
      l->end();
    }
}

void a_waiting_owner_brings_its_requests_on(void **) {
  requests::on_each_engine([&](loop &l) {
    for (bool drain : {false, true}) {
      const int fd = open_direct(l), other = l.open(dir + "/w", O_RDWR | O_CREAT | O_TRUNC);
      flight f;
      f.begin(fd);
      core::write(other, "text");
      if (drain) {
        assert_int_equal(ef_drain(l.port, core::patience_ms), 0);
        assert_int_equal(l.drain(), flight::count); // over, not yet taken
      } else {
        char b[100];
        assert_int_equal(ef_read(fd, b, sizeof b), -1);
        assert_int_equal(ef_wait(fd, EF_READ, core::patience_ms), EF_READ);
        assert_int_equal(ef_read(fd, b, sizeof b), sizeof b);
        assert_int_equal(std::memcmp(b, all.data(), sizeof b), 0);
      }
      l.until([&] { return f.over(); });
      f.check();
      l.close(fd);
      l.close(other);
    }
  });
}

void a_fork_child_has_none_of_them(void **) {
  requests::on_each_engine([&](loop &l) {
    const int fd = open_direct(l);
    for (int round = 0; round < 10; ++round) {
      flight f;
      f.begin(fd);
      assert_int_equal(core::in_child([&] {
                         char b[10];
                         ef_event e;
                         bool good = ef_pread(fd, b, 10, 0, nullptr) == -1 && errno == ECHILD;
                         good = good && ef_port_next(l.port, &e, 1) == -1 && errno == ECHILD;
#if !defined(__SANITIZE_THREAD__) // which does not let the child start threads
                         const int own = ef_open((dir + "/r").c_str(), O_RDONLY);
                         good = good && own >= 0 && ef_wait(own, EF_OPEN, core::patience_ms) == EF_OPEN;
                         one r(1000);
                         const ssize_t n = r.pread(own, 50);
                         good = good && (n == 1000 || (n == -1 && errno == EINPROGRESS));
                         while (n < 0 && ef_port_next(nullptr, &e, 1) == 0) ::usleep(100);
                         good = good && r.bytes == all.substr(50, 1000);
#endif
                         return good ? 0 : 1;
                       }),
                       0);
      l.until([&] { return f.over(); });
      f.check();
    }
    l.close(fd);
  });
}

} // namespace

int main() {
  faulty::install_for_requests();
  dir = core::directory();
  all = core::pattern(1 << 20);
  core::put(dir + "/r", all);
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_port_with_a_wake_is_woken),
      cmocka_unit_test(a_notify_function_has_the_ends),
      cmocka_unit_test(a_notify_function_begins_the_next_one),
      cmocka_unit_test(a_closed_file_ends_after_its_requests),
      cmocka_unit_test(the_end_of_a_file_does_not_overtake_its_requests),
      cmocka_unit_test(requests_of_an_abandoned_port_end_unheard),
      cmocka_unit_test(another_thread_drains_when_nothing_is_under_way),
      cmocka_unit_test(the_owner_s_end_ends_its_requests),
      cmocka_unit_test(a_waiting_owner_brings_its_requests_on),
      cmocka_unit_test(a_fork_child_has_none_of_them),
  };
  const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  if (!failed) core::remove(dir);
  return failed;
}
