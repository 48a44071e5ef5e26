// SPDX-License-Identifier: BSD-2-Clause
// ef::ostream: formatted output into a file by ef_write, through a small put area of its own.
#ifndef EFIO_OSTREAM_HPP
#define EFIO_OSTREAM_HPP

#include "file.hpp"

#include <cstring>
#include <ostream>
#include <streambuf>

namespace ef::inline v1 {

// Never waits by itself: where the budget of the file is full the stream fails (badbit), errno is EAGAIN, and the put
// area keeps what it has; after clear() it may be tried again. A file with EF_FULL_WAIT waits, one with EF_FULL_DROP
// drops and counts. The file stays open as long as the buffer lives. One thread at a time; several may each have a
// stream of their own on one file.
//
// What is in the put area was not accepted yet. It is given to ef_write, in one piece, when the next character would
// not fit, by flush and std::endl, and by the destructor, which keeps it from nobody but cannot say that it failed:
// flush before. A piece that was flushed stays together in the file, so a line of at most put_area bytes that begins
// after a flush does. What is longer than the put area goes past it, in pieces of at most EF_ATOMIC.
//
// flush also asks for the bytes to be written soon (ef_flush), and does not wait for that. It says nothing about stable
// storage: that is ef_sync.
class filebuf : public std::streambuf {
 public:
  static constexpr std::size_t put_area = 1024;

  explicit filebuf(const file &f) noexcept : filebuf(f.number()) {}
  explicit filebuf(int fd) noexcept : fd_(fd) { setp(area_, area_ + put_area); }
  filebuf(const filebuf &) = delete;
  filebuf &operator=(const filebuf &) = delete;
  ~filebuf() override { hand_over(); }

 protected:
  int_type overflow(int_type c) override {
    if (!hand_over()) return traits_type::eof();
    if (traits_type::eq_int_type(c, traits_type::eof())) return traits_type::not_eof(c);
    *pptr() = traits_type::to_char_type(c);
    pbump(1);
    return c;
  }

  std::streamsize xsputn(const char *from, std::streamsize n) override {
    const auto len = static_cast<std::size_t>(n);
    if (len > static_cast<std::size_t>(epptr() - pptr()) && !hand_over()) return 0;
    if (len > put_area) return static_cast<std::streamsize>(give(from, len));
    std::memcpy(pptr(), from, len);
    pbump(static_cast<int>(n));
    return n;
  }

  int sync() override { return hand_over() && ef_flush(fd_) == 0 ? 0 : -1; }

 private:
  bool hand_over() noexcept {
    const auto len = static_cast<std::size_t>(pptr() - pbase());
    if (len > 0 && give(pbase(), len) < len) return false; // of so little all or nothing is taken
    setp(area_, area_ + put_area);
    return true;
  }
  std::size_t give(const char *from, std::size_t len) noexcept {
    for (std::size_t given = 0; given < len;) {
      const std::size_t left = len - given;
      const ssize_t n = ef_write(fd_, from + given, left < EF_ATOMIC ? left : EF_ATOMIC);
      if (n < 0) return given;
      given += static_cast<std::size_t>(n);
    }
    return len;
  }

  int fd_;
  char area_[put_area];
};

// A std::ostream with such a buffer.
class ostream : private filebuf, public std::ostream {
 public:
  explicit ostream(const file &f) : filebuf(f), std::ostream(static_cast<filebuf *>(this)) {}
  explicit ostream(int fd) : filebuf(fd), std::ostream(static_cast<filebuf *>(this)) {}
};

} // namespace ef::inline v1
#endif
