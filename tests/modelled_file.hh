// SPDX-License-Identifier: BSD-2-Clause
// A file of the library beside the plainest possible model of it, a string and two positions: random calls are made on
// both and must agree. What a call that answered EAGAIN has promised is kept in `waits`, for the driver to see to.
#ifndef EF_TESTS_MODELLED_FILE_HH
#define EF_TESTS_MODELLED_FILE_HH

#include "core_stress.hh"

#include <algorithm>
#include <string>

namespace core {

class modelled_file {
 public:
  std::string path;
  int fd = -1;
  unsigned waits = 0;      // EF_ bits promised and not yet told
  std::uint64_t again = 0; // promises so far
  bool waiting_writer = false;

  modelled_file(ef_port *p, std::string where, std::uint64_t number)
      : path(std::move(where)), dice_(number), port_(p), number_(number) {}

  // The data of its events: says which file, and since when.
  void *tag() const { return reinterpret_cast<void *>(number_ << 32 | life_); }
  static std::uint64_t number_of(const void *tag) { return reinterpret_cast<std::uintptr_t>(tag) >> 32; }

  // Any way of opening that fits what is there.
  void reopen() {
    bool there = fd >= 0;
    ++life_;
    int way = static_cast<int>(dice_.below(there ? 4 : 3));
    reads_ = way != 0, writes_ = way != 3, append_ = writes_ && dice_.below(4) == 0;
    int flags = (reads_ && writes_ ? O_RDWR : reads_ ? O_RDONLY : O_WRONLY) | (append_ ? O_APPEND : 0);
    if (writes_) flags |= O_CREAT;
    if (writes_ && (model_.size() > largest || dice_.below(3) == 0)) {
      flags |= O_TRUNC;
      model_.clear();
    }
    ef_file_options o = options();
    read_at_ = write_at_ = 0;
    if (there && dice_.below(4) == 0) {
      int os = ::open(path.c_str(), flags, 0644);
      read_at_ = write_at_ = static_cast<off_t>(dice_.below(model_.size() + 1));
      check(os >= 0 && ::lseek(os, read_at_, SEEK_SET) == read_at_, "open of the kernel");
      fd = ef_fdopen(port_, os, &o);
    } else {
      fd = ef_openat(port_, AT_FDCWD, path.c_str(), flags, 0644, &o);
    }
    check(fd >= 0, "open");
    waits = 0;
    accepted_ = read_ = refused_ = 0;
    durable_ = false;
  }

  // Takes all promises back: no event with the old data is to be seen any more.
  void disarm() {
    ++life_;
    check(ef_watch(fd, 0, tag()) == 0, "disarming");
    waits = 0;
  }
  void begin_close() {
    check_counters();
    ++life_;
    check(ef_watch(fd, EF_CLOSE, tag()) == 0, "EF_CLOSE is never true beforehand");
    check(ef_close(fd) == 0, "ef_close");
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
      return void(writes_ && dice_.below(4) == 0 && expect(ef_flush(fd) == 0, "ef_flush"));
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
    if (!bits || bits & ~waits) std::printf("event %#x: ", bits);
    check(bits && !(bits & ~waits), "an event that was promised, once");
    check(error == 0, "no error");
    waits &= ~bits;
    if (bits & EF_SYNC) check(stats(fd).synced >= sync_at_, "what was accepted before ef_sync is durable");
    if (bits & EF_SYNC && durable_) check_contents("durable bytes");
  }

  void check_counters() {
    ef_file_counters c = stats(fd);
    check(c.accepted == accepted_ && c.read == read_ && c.refused_calls == refused_, "counters of calls");
    check(c.written <= c.accepted && c.synced <= c.written, "counters of progress");
    check(c.error == 0 && c.write_trouble == 0 && c.lost == 0 && c.dropped == 0, "no trouble");
  }
  void check_contents(const char *when) { check(contents(path) == model_, when); }

  void check(bool good, const char *what) const {
    if (good) return;
    std::printf("%s: fd %d, errno %d, waits %#x, %s%s%s, read at %lld, write at %lld, size %zu\n", path.c_str(), fd,
                errno, waits, reads_ ? "r" : "", writes_ ? "w" : "", append_ ? "a" : "",
                static_cast<long long>(read_at_), static_cast<long long>(write_at_), model_.size());
    stress::failed(what);
  }

 private:
  static constexpr std::size_t largest = 400000;
  stress::random dice_;
  ef_port *port_;
  std::uint64_t number_, life_ = 0;
  bool reads_ = false, writes_ = false, append_ = false;
  std::string model_;
  off_t read_at_ = 0, write_at_ = 0;
  std::uint64_t accepted_ = 0, read_ = 0, refused_ = 0, sync_at_ = 0;
  bool durable_ = false; // nothing was accepted since the ef_sync under way
  std::string buffer_ = std::string(300000, 0);

  bool expect(bool good, const char *what) {
    check(good, what);
    return good;
  }
  // A call failed: EAGAIN, and then these bits are promised.
  void promised(unsigned bits, const char *call) {
    check(errno == EAGAIN, call);
    waits |= bits;
    ++again;
  }

  ef_file_options options() {
    ef_file_options o{};
    o.size = sizeof o;
    o.data = tag();
    if (dice_.below(4)) o.write_buffer_max = 128 * 1024 << dice_.below(2);
    if (dice_.below(2)) o.read_ahead_max = 64 * 1024 << dice_.below(4);
    o.flush_interval_ms = 1 + static_cast<unsigned>(dice_.below(40));
    if (waiting_writer && dice_.below(4) == 0) o.when_full = EF_FULL_WAIT;
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
    check(read_at_ <= static_cast<off_t>(model_.size()) && n <= model_.size() - static_cast<std::size_t>(read_at_) &&
              std::memcmp(b, model_.data() + read_at_, n) == 0,
          "the bytes that were written");
    read_at_ += static_cast<off_t>(n);
    read_ += n;
  }
  void at_end() { check(read_at_ >= static_cast<off_t>(model_.size()), "0 at the end of file alone"); }

  void read() {
    if (!reads_ || waits & EF_READ) return;
    if (dice_.below(4) == 0) return peek();
    std::size_t n = length(), a = dice_.below(n);
    iovec v[3] = {{buffer_.data(), a}, {buffer_.data() + a, n - a}, {nullptr, 0}};
    ssize_t r = dice_.below(3) ? ef_read(fd, buffer_.data(), n) : ef_readv(fd, v, 3);
    if (r < 0) return promised(EF_READ, "reading fails with EAGAIN alone");
    check(r <= static_cast<ssize_t>(n), "not more than asked for");
    r == 0 ? at_end() : got(buffer_.data(), static_cast<std::size_t>(r));
  }
  void peek() {
    iovec v[4];
    ssize_t r = ef_peek(fd, v, 1 + static_cast<int>(dice_.below(4)));
    if (r < 0) return promised(EF_READ, "reading fails with EAGAIN alone");
    if (r == 0) return at_end();
    std::string seen;
    for (ssize_t i = 0; i < r; ++i) seen.append(static_cast<char *>(v[i].iov_base), v[i].iov_len);
    std::size_t n = dice_.below(seen.size() + 1);
    check(ef_consume(fd, n) == 0, "ef_consume");
    std::uint64_t before = read_;
    off_t at = read_at_;
    got(seen.data(), seen.size());
    read_at_ = at + static_cast<off_t>(n);
    read_ = before + n;
  }

  void write() {
    if (!writes_ || waits & EF_WRITE || too_large()) return;
    std::size_t n = length(), a = dice_.below(n);
    for (std::size_t k = 0; k < n; k += 64) buffer_[k] = static_cast<char>(dice_());
    iovec v[2] = {{buffer_.data(), a}, {buffer_.data() + a, n - a}};
    ssize_t r = dice_.below(3) ? ef_write(fd, buffer_.data(), n) : ef_writev(fd, v, 2);
    if (r < 0) {
      ++refused_;
      return promised(EF_WRITE, "writing fails with EAGAIN alone");
    }
    check(r == static_cast<ssize_t>(n) || (r > 0 && n > EF_ATOMIC), "all, or a part of more than EF_ATOMIC");
    std::size_t took = static_cast<std::size_t>(r), at = append_ ? model_.size() : static_cast<std::size_t>(write_at_);
    if (model_.size() < at + took) model_.resize(at + took);
    model_.replace(at, took, buffer_, 0, took);
    write_at_ = static_cast<off_t>(at + took);
    accepted_ += took;
    durable_ = false;
  }

  void seek() {
    if (waits & (EF_READ | EF_WRITE)) return;
    int whence = static_cast<int>(dice_.below(3));
    const bool log = append_ && !reads_; // the end moves under it, and where it writes is the kernel's business
    if (log) whence = SEEK_SET;
    off_t origin = whence == SEEK_SET   ? 0
                   : whence == SEEK_END ? static_cast<off_t>(model_.size())
                   : reads_             ? read_at_
                                        : write_at_;
    off_t to = static_cast<off_t>(dice_.below(model_.size() + (dice_.below(8) ? 1 : 3000)));
    off_t r = ef_seek(fd, to - origin, whence);
    const char *calls[] = {"SEEK_SET", "SEEK_CUR", "SEEK_END"};
    if (r < 0) return promised(reads_ ? EF_READ : EF_WRITE, calls[whence]);
    check(r == to, calls[whence]);
    read_at_ = write_at_ = to;
  }

  void ask_for_sync() {
    if (!writes_ || waits & EF_SYNC || dice_.below(8)) return;
    check(ef_sync(fd) == 0, "ef_sync");
    sync_at_ = accepted_;
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
    if (ef_fstat(fd, &st) < 0) return promised(EF_OPEN, "ef_fstat fails with EAGAIN alone");
    if (written == accepted_) check(st.st_size == static_cast<off_t>(model_.size()), "the size when all is written");
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
    waits |= bits;
    ++again;
  }
};

} // namespace core
#endif
