// SPDX-License-Identifier: BSD-2-Clause
// ef::file: one open file, closed with its object; and what a coroutine can await of it.
#ifndef EFIO_FILE_HPP
#define EFIO_FILE_HPP

#include "port.hpp"
#include "request.hpp"

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string_view>

namespace ef::inline v1 {

// See ef_file_options; 0 = default. mode and dirfd are those of openat(2).
struct file_options {
  std::size_t write_buffer_max = 0;
  std::size_t read_ahead_max = 0;
  unsigned flush_interval_ms = 0;
  int when_full = EF_FULL_EAGAIN;
  int cache = EF_CACHE_NORMAL;
  int pattern = EF_PATTERN_ADAPTIVE;
  int order = EF_ORDER_CALL;
  unsigned durable_interval_ms = 0;
  std::uint64_t preallocate_bytes = 0;
  std::uint64_t rotate_bytes = 0;
  unsigned rotate_seconds = 0;
  unsigned rotate_keep = 0;
  ef_rotate_fn *rotate = nullptr;
  void *rotate_arg = nullptr;
  ef_drop_mark_fn *drop_mark = nullptr;
  void *drop_mark_arg = nullptr;
  mode_t mode = 0666;
  int dirfd = AT_FDCWD;
};

namespace detail {

// Waits for an event of a file. Destroyed while it waits, nobody is resumed. The file may be moved meanwhile; when it
// is closed the answer is ECANCELED.
class file_wait : public waiter {
 public:
  file_wait(file &f, unsigned events) noexcept : file_(f) { bits = events; }
  void await_suspend(std::coroutine_handle<> w) noexcept { // await_ready found where
    who = w;
    join(watched_->waiting);
    hold(*watched_->home);
  }
  result<void> await_resume() const noexcept {
    if (error) return failure{error};
    return {};
  }

 protected:
  file &file_;
  watched *watched_ = nullptr;
};

class event_wait : public file_wait {
 public:
  using file_wait::file_wait;
  bool await_ready() noexcept;

 private:
  bool over(int e) noexcept {
    error = e;
    return true;
  }
  bool begin_sync(watched &s) noexcept;
};

class close_wait : public file_wait {
 public:
  explicit close_wait(file &f) noexcept : file_wait(f, EF_CLOSE) {}
  bool await_ready() noexcept;
};

// A read or write at an offset, begun when it is awaited.
class request_at {
 public:
  request_at(file &f, int op, void *at, std::size_t n, off_t where) noexcept
      : file_(f), buffer_(at), size_(n), offset_(where), op_(op) {}
  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> w) noexcept { wait_.await_suspend(w); }
  result<std::size_t> await_resume() const noexcept { return request_.outcome(); }

 private:
  file &file_;
  void *buffer_;
  std::size_t size_;
  off_t offset_;
  int op_;
  request request_;
  request_wait wait_{request_}; // dies first
};

} // namespace detail

// Move only. Calls answer what their C twins in efio.h do, from the threads that are said there: those that are const
// mostly from any. One that is empty answers EBADF. Awaiting belongs to the thread of the port.
class file {
 public:
  file() noexcept = default;
  // Opens in the background: what goes wrong there is answered by later calls, or by opened(). With a port, relative to
  // options.dirfd; without one, on the process's default port, where nothing but requests can be awaited.
  static result<file> open(port &p, const char *path, int flags, const file_options &options = {}) noexcept {
    if (!p) return failure{p.error().value()};
    return open_on(&p, path, flags, options);
  }
  static result<file> open(const char *path, int flags, const file_options &options = {}) noexcept {
    return open_on(nullptr, path, flags, options);
  }
  // Adopts a descriptor of the kernel, which is the library's from now on unless this fails.
  static result<file> adopt(port &p, int osfd, const file_options &options = {}) noexcept {
    if (!p) return failure{p.error().value()};
    return adopt_on(&p, osfd, options);
  }
  static result<file> adopt(int osfd, const file_options &options = {}) noexcept {
    return adopt_on(nullptr, osfd, options);
  }
  // Owns a number of efio.h, of an adapter's port for example.
  explicit file(int fd) noexcept : fd_(fd) {}
#ifdef __cpp_exceptions
  // As open; throws std::system_error.
  file(port &p, const char *path, int flags, const file_options &options = {})
      : file(open(p, path, flags, options).value()) {}
  explicit file(const char *path, int flags, const file_options &options = {})
      : file(open(path, flags, options).value()) {}
#endif
  file(file &&other) noexcept
      : fd_(std::exchange(other.fd_, -1)), home_(other.home_), watched_(std::exchange(other.watched_, nullptr)) {}
  file &operator=(file &&other) noexcept {
    if (this == &other) return *this;
    (void)close();
    fd_ = std::exchange(other.fd_, -1);
    home_ = other.home_;
    watched_ = std::exchange(other.watched_, nullptr);
    return *this;
  }
  ~file() { (void)close(); }

  explicit operator bool() const noexcept { return fd_ >= 0; }
  int number() const noexcept { return fd_; }
  // The number is the caller's again. Who awaits the file is told ECANCELED.
  int release() noexcept {
    if (watched_) ef_watch(fd_, 0, nullptr);
    cancel_waits();
    delete std::exchange(watched_, nullptr);
    return std::exchange(fd_, -1);
  }
  // ef_close: gives the number back at once; what was accepted is written in the background. Who awaits the file is
  // told ECANCELED. The error that sticks, if there is one.
  result<void> close() noexcept {
    const int n = fd_ < 0 ? 0 : ef_close(fd_);
    const auto answer = detail::done(n);
    cancel_waits();
    delete std::exchange(watched_, nullptr);
    fd_ = -1;
    return answer;
  }

  // A count, 0 at the end of the file; would_block(): the bytes are being fetched.
  result<std::size_t> read(std::span<std::byte> to) const noexcept { return count(ef_read(fd_, to.data(), to.size())); }
  result<std::size_t> read(std::span<char> to) const noexcept { return read(std::as_writable_bytes(to)); }
  result<std::size_t> readv(std::span<const iovec> to) const noexcept {
    return count(ef_readv(fd_, to.data(), many(to)));
  }
  // Looks at what comes next; the answer is the number of spans that were filled in. consume() moves on.
  result<std::size_t> peek(std::span<iovec> out) const noexcept { return count(ef_peek(fd_, out.data(), many(out))); }
  result<void> consume(std::size_t n) const noexcept { return detail::done(ef_consume(fd_, n)); }

  // At most EF_ATOMIC bytes: all or nothing. would_block(): the budget is full.
  result<std::size_t> write(std::span<const std::byte> from) const noexcept {
    return count(ef_write(fd_, from.data(), from.size()));
  }
  result<std::size_t> write(std::string_view from) const noexcept {
    return count(ef_write(fd_, from.data(), from.size()));
  }
  result<std::size_t> writev(std::span<const iovec> from) const noexcept {
    return count(ef_writev(fd_, from.data(), many(from)));
  }
  // With a number for synced_up_to, in `seq` unless it fails: ef_write_seq.
  result<std::size_t> write(std::span<const std::byte> from, std::uint64_t &seq) const noexcept {
    return count(ef_write_seq(fd_, from.data(), from.size(), &seq));
  }
  result<std::size_t> write(std::string_view from, std::uint64_t &seq) const noexcept {
    return count(ef_write_seq(fd_, from.data(), from.size(), &seq));
  }
  // Is what was written up to this number on stable storage? Look whether there is an answer before you take it.
  result<bool> synced_up_to(std::uint64_t seq) const noexcept {
    return detail::answered<bool>(ef_synced_up_to(fd_, seq));
  }

  // What is in memory at the offset, or would_block().
  result<std::size_t> pread(std::span<std::byte> to, off_t offset) const noexcept {
    return count(ef_pread(fd_, to.data(), to.size(), offset, nullptr));
  }
  result<std::size_t> pread(std::span<char> to, off_t offset) const noexcept {
    return pread(std::as_writable_bytes(to), offset);
  }
  // The count now, or in_progress(): then the request tells when it is over. EBUSY it is under way already, ENOMEM.
  result<std::size_t> pread(std::span<std::byte> to, off_t offset, request &r) const noexcept {
    ef_request *q = r.idle();
    if (!q) return last_failure();
    return r.begun(ef_pread(fd_, to.data(), to.size(), offset, q), home_);
  }
  result<std::size_t> pread(std::span<char> to, off_t offset, request &r) const noexcept {
    return pread(std::as_writable_bytes(to), offset, r);
  }
  result<std::size_t> pwrite(std::span<const std::byte> from, off_t offset, request &r) const noexcept {
    ef_request *q = r.idle();
    if (!q) return last_failure();
    return r.begun(ef_pwrite(fd_, from.data(), from.size(), offset, q), home_);
  }
  result<std::size_t> pwrite(std::string_view from, off_t offset, request &r) const noexcept {
    return pwrite(std::as_bytes(std::span(from)), offset, r);
  }

  result<off_t> seek(off_t offset, int whence) const noexcept {
    return detail::answered<off_t>(ef_seek(fd_, offset, whence));
  }
  result<void> flush() const noexcept { return detail::done(ef_flush(fd_)); }
  // ef_sync: begins it. synced() also waits for it; stats().synced and synced_up_to tell how far it is.
  result<void> sync() const noexcept { return detail::done(ef_sync(fd_)); }
  // ef_reopen: the path anew, in the background, as after a rename. opened() waits for that.
  result<void> reopen() const noexcept { return detail::done(ef_reopen(fd_)); }
  result<void> advise(off_t offset, off_t len, int advice) const noexcept {
    return detail::done(ef_advise(fd_, offset, len, advice));
  }
  // Blocks: ef_wait. The bits that are true, 0 when time is up.
  result<unsigned> wait(unsigned events, int timeout_ms) const noexcept {
    return detail::answered<unsigned>(ef_wait(fd_, events, timeout_ms));
  }
  result<struct stat> stat() const noexcept {
    struct stat st {};
    if (ef_fstat(fd_, &st) < 0) return last_failure();
    return st;
  }
  result<ef_file_counters> stats() const noexcept {
    ef_file_counters c{};
    if (!detail::counters(fd_, c)) return last_failure();
    return c;
  }

  // ---- To be awaited: each answers a result. ENOTSUP the file is not on an ef::port, ENOMEM, and the errors of
  // ef_watch.

  // A read is worth a call. It may still answer would_block(): await again.
  [[nodiscard]] detail::event_wait readable() noexcept { return {*this, EF_READ}; }
  // There is room for EF_ATOMIC bytes, however long that takes: a full disk is waited for.
  [[nodiscard]] detail::event_wait writable() noexcept { return {*this, EF_WRITE}; }
  // The same, but what keeps bytes from being written is told at once: ENOSPC, EDQUOT, EFBIG while there is no room
  // either, or the error that sticks. Bytes that were accepted stay: writable() waits on, close() gives them up.
  [[nodiscard]] detail::event_wait writable_or_error() noexcept { return {*this, EF_WRITE | EF_ERROR}; }
  // The open is over, or what reopen() began: the error. What was over before the call tells of the open alone.
  [[nodiscard]] detail::event_wait opened() noexcept { return {*this, EF_OPEN}; }
  // ef_sync, when it is awaited: everything accepted before that is on stable storage, or the error.
  [[nodiscard]] detail::event_wait synced() noexcept { return {*this, EF_SYNC}; }
  // close(), when it is awaited; resumed when all is over, with the error of what could not be written. The file is
  // empty at once. Destroyed while it waits, the file is closed all the same.
  [[nodiscard]] detail::close_wait closed() noexcept { return detail::close_wait(*this); }
  // pread and pwrite with a request inside, begun when they are awaited; on every port. Destroyed while they wait they
  // do what ef::request does: the bytes have to stay until then. A count that is at hand is answered without
  // suspending.
  [[nodiscard]] detail::request_at read_at(std::span<std::byte> to, off_t offset) noexcept {
    return {*this, EF_PREAD, to.data(), to.size(), offset};
  }
  [[nodiscard]] detail::request_at read_at(std::span<char> to, off_t offset) noexcept {
    return {*this, EF_PREAD, to.data(), to.size(), offset};
  }
  [[nodiscard]] detail::request_at write_at(std::span<const std::byte> from, off_t offset) noexcept {
    return {*this, EF_PWRITE, const_cast<std::byte *>(from.data()), from.size(), offset};
  }
  [[nodiscard]] detail::request_at write_at(std::string_view from, off_t offset) noexcept {
    return {*this, EF_PWRITE, const_cast<char *>(from.data()), from.size(), offset};
  }

 private:
  friend class detail::event_wait;
  friend class detail::close_wait;

  file(int fd, port *home) noexcept : fd_(fd), home_(home) {}

  static result<std::size_t> count(ssize_t n) noexcept { return detail::answered<std::size_t>(n); }
  static int many(std::span<const iovec> v) noexcept { return v.size() <= 1024 ? static_cast<int>(v.size()) : -1; }

  static ef_file_options plain(const file_options &from) noexcept {
    ef_file_options o{};
    o.size = sizeof o;
    o.write_buffer_max = from.write_buffer_max;
    o.read_ahead_max = from.read_ahead_max;
    o.flush_interval_ms = from.flush_interval_ms;
    o.when_full = from.when_full;
    o.cache = from.cache;
    o.pattern = from.pattern;
    o.order = from.order;
    o.durable_interval_ms = from.durable_interval_ms;
    o.preallocate_bytes = from.preallocate_bytes;
    o.rotate_bytes = from.rotate_bytes;
    o.rotate_seconds = from.rotate_seconds;
    o.rotate_keep = from.rotate_keep;
    o.rotate = from.rotate;
    o.rotate_arg = from.rotate_arg;
    o.drop_mark = from.drop_mark;
    o.drop_mark_arg = from.drop_mark_arg;
    return o;
  }
  static result<file> open_on(port *p, const char *path, int flags, const file_options &from) noexcept {
    const ef_file_options o = plain(from);
    const int fd = ef_openat(p ? p->get() : nullptr, from.dirfd, path, flags, from.mode, &o);
    if (fd < 0) return last_failure();
    return file(fd, p);
  }
  static result<file> adopt_on(port *p, int osfd, const file_options &from) noexcept {
    const ef_file_options o = plain(from);
    const int fd = ef_fdopen(p ? p->get() : nullptr, osfd, &o);
    if (fd < 0) return last_failure();
    return file(fd, p);
  }

  // What events lead to, made on first use. Null: errno.
  detail::watched *watch() noexcept {
    if (watched_) return watched_;
    errno = fd_ < 0 ? EBADF : !home_ ? ENOTSUP : ENOMEM;
    if (fd_ < 0 || !home_) return nullptr;
    auto *s = new (std::nothrow) detail::watched(fd_, *home_);
    if (s && ef_watch(fd_, EF_OPEN, s) < 0) { // for the sake of the pointer
      delete s;
      return nullptr;
    }
    return watched_ = s;
  }
  void cancel_waits() noexcept {
    if (!watched_) return;
    while (!watched_->waiting.alone())
      watched_->home->ready(*static_cast<detail::waiter *>(watched_->waiting.next), ECANCELED);
  }

  int fd_ = -1;
  port *home_ = nullptr;
  detail::watched *watched_ = nullptr;
};

namespace detail {

// Bytes accepted before the sync is asked for are those that it has to cover.
inline bool event_wait::begin_sync(watched &s) noexcept {
  ef_file_counters c{};
  if (!counters(s.fd, c) || ef_watch(s.fd, EF_SYNC, &s) < 0) return over(errno);
  target = c.accepted;
  had_bytes = c.synced < c.accepted;
  return ef_sync(s.fd) < 0 && over(errno);
}

inline bool event_wait::await_ready() noexcept {
  watched *s = file_.watch();
  if (!s) return over(errno);
  watched_ = s;
  if (bits == EF_SYNC) return begin_sync(*s);
  const int now = ef_watch(s->fd, bits & ~unsigned{EF_ERROR}, s);
  if (now < 0) return over(errno);
  if (bits & EF_ERROR) error = writing_error(s->fd, now); // one that begins later is told
  return now > 0 ? over(bits == EF_OPEN ? open_error(s->fd) : error) : error != 0;
}

// The file's part goes over to the port, for the event comes when the file has gone.
inline bool close_wait::await_ready() noexcept {
  watched *s = file_.watch();
  if (!s || ef_watch(s->fd, EF_CLOSE, s) < 0) {
    error = errno;
    (void)file_.close();
    return true;
  }
  watched_ = s;
  file_.cancel_waits();
  ef_close(std::exchange(file_.fd_, -1));
  file_.watched_ = nullptr;
  s->closing = true;
  s->join(s->home->closing_);
  return false;
}

inline bool request_at::await_ready() noexcept {
  auto *bytes = static_cast<std::byte *>(buffer_);
  const auto begun = op_ == EF_PREAD ? file_.pread(std::span(bytes, size_), offset_, request_)
                                     : file_.pwrite(std::span<const std::byte>(bytes, size_), offset_, request_);
  return !begun.in_progress();
}

} // namespace detail
} // namespace ef::inline v1
#endif
