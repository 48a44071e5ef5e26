// SPDX-License-Identifier: BSD-2-Clause
// Somebody who reads and writes at random, at an offset and in a stream, and knows what has to come of it: each request
// is over once, with its own bytes, and nothing is written to a buffer after that.
#ifndef EF_TESTS_REQUEST_ACTOR_HH
#define EF_TESTS_REQUEST_ACTOR_HH

#include "core_stress.hh"

#include <array>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace requests {

using std::size_t;
using stress::require;

inline std::string dir;
constexpr size_t file_bytes = (2 << 20) + 777, bytes_most = 40000, slots_most = 48;

// Each byte tells its place.
inline unsigned char byte_at(size_t offset) {
  return static_cast<unsigned char>((offset * 2654435761u) >> 11 ^ offset);
}
inline bool is_text(const char *b, size_t n, size_t offset) {
  for (size_t i = 0; i < n; ++i)
    if (static_cast<unsigned char>(b[i]) != byte_at(offset + i)) return false;
  return true;
}

enum class life : int { idle, going, over };

struct slot {
  ef_request q{};
  std::atomic<life> state{life::idle};
  std::atomic<bool> cancelled{false};
  std::atomic<bool> begun{false}; // the call that began it is over
  char *memory = nullptr, *buffer = nullptr;
  size_t bytes = 0, offset = 0;
  unsigned char filled = 0; // what the buffer holds while idle
  std::vector<iovec> iov;

  slot() { require(::posix_memalign(reinterpret_cast<void **>(&memory), 4096, bytes_most + 4096) == 0, "memory"); }
  ~slot() { std::free(memory); }
  void fill(unsigned char with) { std::memset(memory, filled = with, bytes_most + 4096); }
  void check_untouched() const {
    for (size_t i = 0; i < bytes_most + 4096; ++i)
      require(static_cast<unsigned char>(memory[i]) == filled, "nobody writes to a buffer that is the caller's");
  }
};

inline void over(const ef_event &e) {
  if (!(e.events & EF_REQUEST)) return;
  auto *s = static_cast<slot *>(static_cast<ef_request *>(e.data)->data);
  require(s->state.exchange(life::over, std::memory_order_acq_rel) == life::going, "over once");
}

struct place { // a port and who may take its events
  ef_port *port = nullptr;
  int bell = -1;
  std::shared_mutex taking; // who cancels holds it shared: no event is taken meanwhile
  bool notified = false;    // under `taking`
  std::atomic<long> events{0};

  void open(int engine) {
    port = core::port_with(engine);
    require(port && (bell = ef_port_fd(port)) >= 0, "a port");
  }
  bool readable(int ms) {
    pollfd p{bell, POLLIN, 0};
    return ::poll(&p, 1, ms) == 1;
  }
  void drain() {
    std::unique_lock<std::shared_mutex> hold(taking);
    ef_event e[256];
    int n;
    do {
      n = ef_port_next(port, e, 256);
      require(n >= 0 || (notified && errno == ENOTSUP), "ef_port_next");
      for (int i = 0; i < n; ++i) over(e[i]);
      if (n > 0) events += n;
    } while (n == 256);
  }
  void swap(bool on) {
    auto note = [](void *, const ef_event *e, int count) {
      for (int i = 0; i < count; ++i) over(e[i]);
    };
    std::unique_lock<std::shared_mutex> hold(taking);
    const int r = ef_port_notify(port, on ? +note : nullptr, nullptr);
    require(r == 0 || errno == EBUSY, "ef_port_notify");
    if (r == 0) notified = on;
  }
  bool cancel(slot &s) {
    std::shared_lock<std::shared_mutex> hold(taking);
    if (notified || s.state.load(std::memory_order_acquire) != life::going || !s.begun) return false;
    s.cancelled = true;
    require(ef_cancel(&s.q) == 0, "ef_cancel");
    return true;
  }
};

struct counts {
  std::atomic<long> operations{0}, begun{0}, hits{0}, cancelled{0}, taken_back{0}, closed{0}, owners{0}, forks{0},
      streamed{0};
};
inline counts seen;

// Files and requests of one thread, or of the threads that follow each other as owner.
class actor {
 public:
  actor(place &at, std::uint64_t number) : at_(at), dice_(number), name_(dir + "/own" + std::to_string(number)) {
    for (auto &s : slots) s.fill(static_cast<unsigned char>(dice_()));
    raw_ = ::open(name_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    own_ = open(name_, O_RDWR);
  }

  void step() {
    slot &s = slots[dice_.below(slots_most)];
    const auto what = dice_.below(100);
    if (fd_ < 0) return reopen();
    if (what < 60) return look_after(s);
    if (what < 75) return stream();
    if (what < 78) return submit_several();
    if (what < 79) return close_read();
    if (what < 80) return (void)ef_advise(fd_, static_cast<off_t>(dice_.below(file_bytes)), 100000, EF_WILL_NEED);
    if (what < 82) return core::write(own_, std::string(dice_.below(100), 'x')); // at its front; reads wait for it
    if (what < 89) return (void)(seen.cancelled += at_.cancel(s));
    if (what < 91) take_back(s);
  }
  // All that is under way is over. True: it is.
  bool settle() {
    bool all = true;
    for (auto &s : slots) {
      if (s.state.load(std::memory_order_acquire) == life::over) check(s);
      all &= s.state.load(std::memory_order_acquire) == life::idle;
    }
    return all;
  }
  void finish() {
    for (auto &s : slots) s.check_untouched();
    close_read();
    require(ef_close(own_) == 0 && ::close(raw_) == 0, "ef_close");
  }
  void cancel_one(stress::random &dice) { seen.cancelled += at_.cancel(slots[dice.below(slots_most)]); }
  stress::random &dice() { return dice_; }
  place &at() { return at_; }

 private:
  int open(const std::string &path, int flags) {
    ef_file_options o{};
    o.size = sizeof o;
    o.cache = static_cast<int>(dice_.below(3));
    o.pattern = static_cast<int>(dice_.below(3));
    const int fd = ef_openat(at_.port, AT_FDCWD, path.c_str(), flags, 0600, &o);
    require(fd >= 0, "ef_openat");
    return fd;
  }
  void reopen() {
    fd_ = open(dir + "/text", O_RDONLY);
    position_ = 0;
  }
  void close_read() {
    if (fd_ < 0) return;
    require(ef_close(fd_) == 0, "ef_close");
    fd_ = -1;
    ++seen.closed;
    ++seen.operations;
  }

  void check(slot &s) {
    const bool write = s.q.op == EF_PWRITE;
    const bool given_up = s.q.result == -1 && s.q.error == ECANCELED && s.cancelled;
    const size_t whole = write ? s.bytes : std::min(s.bytes, file_bytes - std::min(s.offset, file_bytes));
    const auto n = static_cast<size_t>(std::max<ssize_t>(s.q.result, 0));
    require(given_up || n == whole || (s.cancelled && s.q.result > 0 && n < whole), "the count");
    if (write && n > 0) {
      std::vector<char> there(n);
      require(::pread(raw_, there.data(), n, s.q.offset) == static_cast<ssize_t>(n), "what was written");
      require(std::memcmp(there.data(), s.buffer, n) == 0, "in the file when it is over");
    }
    if (write)
      require(s.iov.empty() && static_cast<unsigned char>(s.buffer[0]) == s.filled, "a write only reads");
    else
      require(is_text(s.buffer, n, s.offset), "the bytes of the file");
    s.fill(static_cast<unsigned char>(dice_()));
    s.state.store(life::idle, std::memory_order_release);
  }

  void prepare(slot &s) {
    s.check_untouched();
    s.cancelled = s.begun = false;
    const bool tidy = dice_.below(3) == 0;
    s.bytes = 1 + dice_.below(bytes_most);
    s.offset = dice_.below(file_bytes + 3000);
    s.buffer = s.memory + (tidy ? 0 : dice_.below(4096));
    if (tidy) s.bytes = (s.bytes / 4096 + 1) * 4096, s.offset -= s.offset % 4096;
    s.iov.clear();
    s.q.data = &s;
    s.state.store(life::going, std::memory_order_release);
  }
  // Behind what is written as a stream, each slot's apart.
  off_t own_place(const slot &s) const { return (1 << 26) + (&s - slots.data()) * static_cast<off_t>(2 * bytes_most); }
  void split(slot &s) {
    for (size_t done = 0; done < s.bytes;) {
      const size_t left = s.bytes - done, n = s.iov.size() > 80 ? left : std::min(left, dice_.below(1000));
      s.iov.push_back({s.buffer + done, n});
      done += n;
    }
  }
  void begun(slot &s, ssize_t r) {
    ++seen.operations;
    if (r < 0 && errno == EINPROGRESS) {
      s.begun = true;
      ++seen.begun;
      return;
    }
    require(r >= 0, "a request");
    ++seen.hits;
    s.q.result = r;
    s.q.error = 0;
    check(s);
  }
  // Its event is taken at the same time, or there is none.
  void take_back(slot &s) {
    if (s.state.load(std::memory_order_acquire) != life::going || !s.begun) return;
    s.cancelled = true;
    if (ef_cancel_wait(&s.q) != 0) return require(errno == ENOENT, "ef_cancel_wait");
    require(s.state.exchange(life::over, std::memory_order_acq_rel) == life::going, "taken back, not told");
    ++seen.taken_back;
    check(s);
  }
  void look_after(slot &s) {
    const life l = s.state.load(std::memory_order_acquire);
    if (l == life::over) return check(s);
    if (l == life::going) return;
    prepare(s);
    const auto at = static_cast<off_t>(s.offset);
    s.q.op = EF_PREAD;
    if (dice_.below(6) == 0) {
      s.q.op = EF_PWRITE;
      return begun(s, ef_pwrite(own_, s.buffer, s.bytes, own_place(s), &s.q));
    }
    if (dice_.below(4)) return begun(s, ef_pread(fd_, s.buffer, s.bytes, at, &s.q));
    split(s);
    begun(s, ef_preadv(fd_, s.iov.data(), static_cast<int>(s.iov.size()), at, &s.q));
  }
  // Neighbours, in any order.
  void submit_several() {
    std::vector<slot *> some;
    std::vector<ef_request *> list;
    const size_t from = dice_.below(file_bytes), each = 1 + dice_.below(9000);
    for (auto &s : slots) {
      if (s.state.load(std::memory_order_acquire) != life::idle || dice_.below(2)) continue;
      prepare(s);
      s.bytes = each;
      s.offset = from + some.size() * each;
      s.q.op = EF_PREAD;
      s.q.fd = fd_;
      s.q.iovcnt = 0;
      s.q.buffer = {s.buffer, s.bytes};
      s.q.offset = static_cast<off_t>(s.offset);
      some.push_back(&s);
      list.push_back(&s.q);
    }
    if (dice_.below(4) == 0) std::reverse(list.begin(), list.end());
    // Who holds this lock sees which of them are in progress: no event is taken meanwhile.
    std::shared_lock<std::shared_mutex> hold(at_.taking);
    if (at_.notified) return give_back(some);
    const int going = ef_submit(list.data(), static_cast<int>(list.size()));
    seen.begun += going;
    seen.operations += static_cast<long>(list.size());
    std::erase_if(some, [](slot *s) { return s->begun = s->q.error == EINPROGRESS; });
    require(going == static_cast<int>(list.size() - some.size()), "each is begun or answered");
    for (slot *s : some) require(s->q.error == 0, "answered well"), check(*s);
  }
  void give_back(const std::vector<slot *> &some) {
    for (slot *s : some) s->state.store(life::idle, std::memory_order_release);
  }

  void stream() {
    ++seen.operations;
    if (dice_.below(8) == 0) {
      const auto to = static_cast<off_t>(dice_.below(file_bytes));
      const off_t r = ef_seek(fd_, to, SEEK_SET);
      require(r == to || errno == EAGAIN, "ef_seek");
      if (r == to) position_ = static_cast<size_t>(to);
    }
    const size_t wanted = 1 + dice_.below(sizeof text_);
    const ssize_t n = ef_read(fd_, text_, wanted);
    if (n < 0) return require(errno == EAGAIN, "ef_read");
    require(n > 0 || position_ >= file_bytes, "the end of the file is at its end");
    require(is_text(text_, static_cast<size_t>(n), position_), "the bytes of the stream");
    position_ += static_cast<size_t>(n);
    seen.streamed += n;
  }

 public:
  std::array<slot, slots_most> slots;

 private:
  place &at_;
  stress::random dice_;
  std::string name_;
  int fd_ = -1, own_, raw_;
  size_t position_ = 0;
  char text_[30000];
};

} // namespace requests
#endif
