// SPDX-License-Identifier: BSD-2-Clause
// A file of the library beside the plainest possible model of it, its bytes and two positions: random calls are made on
// both and must agree. What a call that answered EAGAIN has promised is kept in `waits`, for the driver to see to.
#ifndef EF_TESTS_MODELLED_FILE_HH
#define EF_TESTS_MODELLED_FILE_HH

#include "call_dice.hh"
#include "core_stress.hh"
#include "file_model.hh"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

namespace core {

class modelled_file {
 public:
  std::string path;
  int fd = -1;
  unsigned waits = 0;      // EF_ bits promised and not yet told
  std::uint64_t again = 0; // promises so far
  // The driver's, before reopen(): ways that not every driver can live with.
  bool waiting_writer = false, droppings = false;
  // The driver's: the disk may fail like this from now on: writes and syncs for good; writes for a while; reads.
  int fatal = 0, passing = 0, unread = 0;

  virtual ~modelled_file() = default;
  modelled_file(ef_port *p, std::string where, std::uint64_t number)
      : modelled_file(p, std::move(where), number, call_dice(number)) {}
  modelled_file(ef_port *p, std::string where, std::uint64_t number, const call_dice &dice)
      : path(std::move(where)), dice_(dice), port_(p), number_(number) {}

  // The data of its events: says which file, and since when.
  void *tag() const { return reinterpret_cast<void *>(number_ << 32 | life_); }
  static std::uint64_t number_of(const void *tag) { return reinterpret_cast<std::uintptr_t>(tag) >> 32; }
  std::uint64_t life() const { return life_; }

  // Any way of opening that fits what is there.
  void reopen() {
    bool there = fd >= 0;
    if (fatal) model_.become(contents(path));
    moved_ = false;
    ++life_;
    int way = static_cast<int>(dice_.below(there ? 4 : 3));
    reads_ = way != 0, writes_ = way != 3, append_ = writes_ && dice_.below(4) == 0;
    int flags = (reads_ && writes_ ? O_RDWR : reads_ ? O_RDONLY : O_WRONLY) | (append_ ? O_APPEND : 0);
    if (writes_) flags |= O_CREAT;
    named_ = !there || dice_.below(4);
    ef_file_options o = options();
    const bool empty = writes_ && (model_.size() > largest || moved_ || dice_.below(3) == 0);
    if (empty) flags |= O_TRUNC;
    model_.begin(empty);
    lanes_ = o.order == EF_ORDER_THREAD;
    drops_ = o.when_full == EF_FULL_DROP;
    read_at_ = write_at_ = 0;
    if (!named_) {
      int os = ::open(path.c_str(), flags, 0644);
      read_at_ = write_at_ = static_cast<off_t>(dice_.below(model_.size() + 1));
      check(os >= 0 && ::lseek(os, read_at_, SEEK_SET) == read_at_, "open of the kernel");
      fd = ef_fdopen(port_, os, &o);
    } else {
      fd = ef_openat(port_, AT_FDCWD, path.c_str(), flags, 0644, &o);
    }
    check(fd >= 0, "open");
    note("open: number, flags, named, lanes, drops, cache", fd, flags, named_, lanes_, drops_, o.cache);
    waits = 0;
    fatal = passing = unread = 0;
    read_ = refused_ = dropped_ = 0;
    durable_ = broken_ = told_fatal_ = false;
    seq_ = durable_seq_ = UINT64_MAX;
  }

  // Takes all promises back: no event with the old data is to be seen any more.
  void disarm() {
    ++life_;
    check(ef_watch(fd, 0, tag()) == 0, "disarming");
    note("disarmed");
    waits = 0;
  }
  void begin_close() {
    note("close; written", stats(fd).written);
    check_counters();
    ++life_;
    check(ef_watch(fd, EF_CLOSE, tag()) == 0, "EF_CLOSE is never true beforehand");
    if (fatal) model_.written(stats(fd).written);
    good(ef_close(fd), "ef_close");
    waits = EF_CLOSE;
    ++again;
  }

  // One random call among those that the promises still open allow.
  void step() {
    switch (dice_.below(16)) {
    case 0:
    case 1:
      return seek();
    case 2:
      return ask_for_sync();
    case 3:
      return look();
    case 4:
      return watch();
    case 5:
      return void(writes_ && dice_.below(4) == 0 && good(ef_flush(fd), "ef_flush"));
    default:
      return dice_.below(2) ? write() : read();
    }
  }
  bool can_step() const {
    unsigned mine = (reads_ ? EF_READ : 0) | (writes_ && model_.size() <= largest ? EF_WRITE : 0);
    return mine & ~waits;
  }
  bool too_large() const { return model_.size() > largest; }

  // The driver was told of these bits.
  void told(unsigned bits, int error) {
    note("told, error", bits, error);
    check(bits, "an event of something");
    if (bits & EF_ERROR && unasked(error)) bits &= ~static_cast<unsigned>(EF_ERROR);
    if (!bits) return;
    if (bits & ~waits) std::printf("event %#x: ", bits);
    check(!(bits & ~waits), "an event that was promised, once");
    waits &= ~bits;
    if (error && bits & EF_SYNC) durable_ = false;
    if (error) return check(error == fatal || error == passing || error == unread, "no error");
    if (!(bits & EF_SYNC)) return;
    check(stats(fd).synced >= sync_at_, "what was accepted before ef_sync is durable");
    if (durable_seq_ != UINT64_MAX) {
      const int durable = ef_synced_up_to(fd, durable_seq_);
      check(durable == 1 || (durable < 0 && fatal && errno == fatal), "ef_synced_up_to"); // it failed after the sync
    }
    if (durable_ && !in_use(false)) check_contents("durable bytes");
  }

  void check_counters() {
    ef_file_counters c = stats(fd);
    check(c.accepted == model_.accepted(), "the counter of accepted bytes");
    check(c.read == read_ || (c.read > read_ && in_use(true)), "the counter of bytes read");
    check(c.refused_calls == refused_, "the counter of refused calls");
    check(c.dropped == dropped_, "the counter of dropped bytes");
    check(c.written <= c.accepted && c.synced <= c.written, "counters of progress");
    if (!fatal && !passing) check(c.error == 0 && c.write_trouble == 0 && c.lost == 0, "no trouble");
  }
  // Where nothing is on its way. After a failure some of what was accepted is missing, from one place on.
  // What was done last is told when something is wrong.
  template<class... Numbers> void note(const char *what, Numbers... numbers) {
    done_.emplace_back(what);
    ((done_.back() += " " + std::to_string(numbers)), ...);
    if (done_.size() > 40) done_.pop_front();
  }
  virtual void check_contents(const char *when) {
    const std::string found = contents(path);
    if (!fatal) return check(found == model_.all(), when);
    check(model_.may_be(found, 0), "a beginning of what was accepted");
  }

  void check(bool good, const char *what) const {
    if (good) return;
    for (const std::string &line : done_) std::printf("  %s\n", line.c_str());
    std::printf("%s: fd %d, errno %d, waits %#x, %s%s%s%s, read at %lld, write at %lld, size %zu, fails %d, %d\n",
                path.c_str(), fd, errno, waits, reads_ ? "r" : "", writes_ ? "w" : "", append_ ? "a" : "",
                lanes_ ? "l" : "", static_cast<long long>(read_at_), static_cast<long long>(write_at_), model_.size(),
                fatal, passing);
    stress::failed(what);
  }

 protected:
  static constexpr std::size_t largest = 400000;
  file_model model_;
  call_dice dice_;
  ef_port *port_;
  bool reads_ = false, writes_ = false, append_ = false, lanes_ = false, drops_ = false, named_ = false;
  bool broken_ = false; // an errno that sticks was seen
  off_t read_at_ = 0, write_at_ = 0;
  std::uint64_t read_ = 0; // bytes

  bool moved_ = false; // its path names another file than at the open, or will

  virtual void more_options(ef_file_options &) {}
  // Requests under way: one that writes, or, for whoever wants to write, one that reads these bytes.
  virtual bool in_use(bool, std::size_t = 0, std::size_t = SIZE_MAX) const { return false; }

  // The answer 0, or the errno that may stick.
  bool good(int r, const char *what) {
    if (r == 0) return check(!broken_, what), true;
    check(r == -1 && fatal && errno == fatal, what);
    broken_ = true;
    return false;
  }
  // A call failed: EAGAIN, and then these bits are promised; or for good.
  bool promised(unsigned bits, const char *call) {
    if (bits & EF_READ && unread && errno == unread) return false; // told once each
    if (fatal && errno == fatal) {
      broken_ = true;
      return false;
    }
    check(errno == EAGAIN && !(broken_ && bits & EF_WRITE), call);
    note(call, bits);
    waits |= bits;
    ++again;
    return true;
  }

 private:
  std::deque<std::string> done_;
  std::uint64_t number_, life_ = 0, fill_ = 0;
  std::uint64_t refused_ = 0, sync_at_ = 0, dropped_ = 0;
  std::uint64_t seq_ = UINT64_MAX, durable_seq_ = UINT64_MAX; // of the last write, and of the last before ef_sync
  bool durable_ = false;                                      // nothing was accepted since the ef_sync under way
  bool told_fatal_ = false;                                   // EF_ERROR has
  std::string buffer_ = std::string(300000, 0);

  // An error of bytes accepted before is told without being asked for; one that sticks, once.
  bool unasked(int error) {
    if (error && error == passing) return true;
    if (!fatal || error != fatal) return false;
    check(!told_fatal_, "EF_ERROR once");
    return told_fatal_ = true;
  }

  ef_file_options options() {
    ef_file_options o{};
    o.size = sizeof o;
    o.data = tag();
    if (dice_.below(4)) o.write_buffer_max = 128 * 1024 << dice_.below(2);
    if (dice_.below(2)) o.read_ahead_max = 64 * 1024 << dice_.below(4);
    o.flush_interval_ms = 1 + static_cast<unsigned>(dice_.below(40));
    if (waiting_writer && dice_.below(4) == 0) o.when_full = EF_FULL_WAIT;
    if (droppings && dice_.below(4) == 0) o.when_full = EF_FULL_DROP;
    if (!reads_ && dice_.below(3) == 0) o.order = EF_ORDER_THREAD;
    if (dice_.below(8) == 0) o.durable_interval_ms = 1 + static_cast<unsigned>(dice_.below(20));
    if (dice_.below(8) == 0) o.preallocate_bytes = 1 << 20;
    o.cache = dice_.below(3) ? EF_CACHE_NORMAL : static_cast<int>(dice_.below(3));
    o.pattern = dice_.below(3) ? EF_PATTERN_ADAPTIVE : static_cast<int>(dice_.below(3));
    more_options(o);
    return o;
  }
  std::size_t length() {
    switch (dice_.below(8)) {
    case 0:
      return 1 + dice_.below(buffer_.size());
    case 1:
    case 2:
      return 1 + dice_.below(EF_ATOMIC);
    default:
      return 1 + dice_.below(5000);
    }
  }

  void got(const char *b, std::size_t n) {
    if (!fatal) // or some of them were lost
      check(read_at_ <= static_cast<off_t>(model_.size()) && n <= model_.size() - static_cast<std::size_t>(read_at_) &&
                std::memcmp(b, model_.all().data() + read_at_, n) == 0,
            "the bytes that were written");
    read_at_ += static_cast<off_t>(n);
    read_ += n;
  }
  void at_end() { check(fatal || read_at_ >= static_cast<off_t>(model_.size()), "0 at the end of file alone"); }

  void read() {
    if (!reads_ || waits & EF_READ || in_use(false)) return;
    if (dice_.below(4) == 0) return peek();
    std::size_t n = length(), a = dice_.below(n);
    iovec v[3] = {{buffer_.data(), a}, {buffer_.data() + a, n - a}, {nullptr, 0}};
    ssize_t r = dice_.below(3) ? ef_read(fd, buffer_.data(), n) : ef_readv(fd, v, 3);
    if (r < 0) return void(promised(EF_READ, "reading fails with EAGAIN alone"));
    check(r <= static_cast<ssize_t>(n), "not more than asked for");
    note("read at, bytes, got", read_at_, n, r);
    r == 0 ? at_end() : got(buffer_.data(), static_cast<std::size_t>(r));
  }
  void peek() {
    iovec v[4];
    ssize_t r = ef_peek(fd, v, 1 + static_cast<int>(dice_.below(4)));
    if (r < 0) return void(promised(EF_READ, "reading fails with EAGAIN alone"));
    if (r == 0) return at_end();
    std::string seen;
    for (ssize_t i = 0; i < r; ++i) seen.append(static_cast<char *>(v[i].iov_base), v[i].iov_len);
    std::size_t n = dice_.below(seen.size() + 1);
    check(ef_consume(fd, n) == 0, "ef_consume");
    note("peek at, bytes, consumed", read_at_, seen.size(), n);
    std::uint64_t before = read_;
    off_t at = read_at_;
    got(seen.data(), seen.size());
    read_at_ = at + static_cast<off_t>(n);
    read_ = before + n;
  }

  ssize_t hand_over(std::size_t n, std::uint64_t *seq) {
    const std::size_t a = dice_.below(n);
    iovec v[2] = {{buffer_.data(), a}, {buffer_.data() + a, n - a}};
    switch (dice_.below(4)) {
    case 0:
      return ef_writev(fd, v, 2);
    case 1:
      return ef_write_seq(fd, buffer_.data(), n, seq);
    default:
      return ef_write(fd, buffer_.data(), n);
    }
  }
  void write() {
    if (!writes_ || waits & EF_WRITE || too_large()) return;
    const std::size_t n = length(), at = append_ ? model_.size() : static_cast<std::size_t>(write_at_);
    if (in_use(true, at, n)) return;
    for (std::size_t k = 0; k < n; k += 64) buffer_[k] = static_cast<char>(++fill_ * 0x9e3779b97f4a7c15 >> 56);
    std::uint64_t seq = UINT64_MAX - 1;
    ssize_t r = hand_over(n, &seq);
    if (r < 0) return void(promised(EF_WRITE, "writing fails with EAGAIN alone") && ++refused_);
    check(!broken_, "no write after an error that sticks");
    check(r == static_cast<ssize_t>(n) || (r > 0 && n > EF_ATOMIC), "all, or a part of more than EF_ATOMIC");
    if (drops_ && std::exchange(dropped_, stats(fd).dropped) != dropped_) {
      if (seq != UINT64_MAX - 1) check(seq == UINT64_MAX, "what was dropped has no number");
      return;
    }
    if (seq != UINT64_MAX - 1) {
      check(seq != UINT64_MAX && (seq_ == UINT64_MAX || seq > seq_), "numbers rise");
      seq_ = seq;
    }
    std::size_t took = static_cast<std::size_t>(r);
    model_.accept(at, buffer_.data(), took);
    note("write at, bytes, took", at, n, took);
    write_at_ = static_cast<off_t>(at + took);
    durable_ = false;
  }

  void seek() {
    if (waits & (EF_READ | EF_WRITE) || moved_ || in_use(false)) return;
    if (lanes_) return seek_in_lanes();
    int whence = static_cast<int>(dice_.below(3));
    const bool log = append_ && !reads_; // the end moves under it, and where it writes is the kernel's business
    if (log || (fatal && whence == SEEK_END)) whence = SEEK_SET;
    off_t origin = whence == SEEK_SET   ? 0
                   : whence == SEEK_END ? static_cast<off_t>(model_.size())
                   : reads_             ? read_at_
                                        : write_at_;
    off_t to = static_cast<off_t>(dice_.below(model_.size() + (dice_.below(8) ? 1 : 3000)));
    off_t r = ef_seek(fd, to - origin, whence);
    const char *calls[] = {"SEEK_SET", "SEEK_CUR", "SEEK_END"};
    if (r < 0) return void(promised(reads_ ? EF_READ : EF_WRITE, calls[whence]));
    check(r == to, calls[whence]);
    note("seek to", to);
    read_at_ = write_at_ = to;
  }
  void seek_in_lanes() {
    check(ef_seek(fd, 0, SEEK_SET) == -1, "no seek among lanes");
    if (errno != ESPIPE) promised(EF_WRITE, "ESPIPE, once the file is open");
  }

  void ask_for_sync() {
    if (!writes_ || waits & EF_SYNC || dice_.below(8)) return;
    if (!good(ef_sync(fd), "ef_sync")) return;
    note("sync");
    sync_at_ = model_.accepted();
    durable_seq_ = seq_;
    durable_ = true;
    waits |= EF_SYNC;
    ++again;
  }

  void look() {
    int bits = ef_ready(fd);
    check(bits >= 0 && !(bits & ~(EF_READ | EF_WRITE)), "ef_ready");
    struct stat st;
    std::uint64_t written = stats(fd).written;
    if (waits & EF_OPEN) return;
    if (ef_fstat(fd, &st) < 0) return void(promised(EF_OPEN, "ef_fstat fails with EAGAIN alone"));
    if (written == model_.accepted() && !fatal && !moved_ && !in_use(false))
      check(st.st_size == static_cast<off_t>(model_.size()), "the size when all is written");
    if (!fatal) model_.written(written);
    check_counters();
  }

  void watch() {
    unsigned bits = (1 + static_cast<unsigned>(dice_.below(7))) & ~waits;
    if (!reads_) bits &= ~static_cast<unsigned>(EF_READ);
    if (!writes_) bits &= ~static_cast<unsigned>(EF_WRITE);
    if (!bits) return;
    int r = ef_watch(fd, bits, tag());
    check(r >= 0 && !(static_cast<unsigned>(r) & ~bits), "ef_watch");
    if (r > 0) return;
    note("watch", bits);
    waits |= bits;
    ++again;
  }
};

} // namespace core
#endif
