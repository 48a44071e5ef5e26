// SPDX-License-Identifier: BSD-2-Clause
// Taking bytes out of the read-ahead chunks.
#include "read_stream.hh"

#include <algorithm>
#include <cstring>

namespace ef {

void read_stream::push(chunk *c, std::uint32_t from, std::uint32_t to) noexcept {
  spans_[(first_ + count_++) % spans_max] = {c, from, to};
  size_.store(size() + to - from, std::memory_order_relaxed);
}

std::size_t read_stream::copy(const iovec *iov, int count) noexcept {
  std::size_t total = 0;
  for (int i = 0; i < count; ++i) {
    auto *to = static_cast<unsigned char *>(iov[i].iov_base);
    std::size_t want = iov[i].iov_len;
    while (want > 0 && count_ > 0) {
      span &s = spans_[first_];
      std::size_t here = std::min<std::size_t>(want, s.to - s.from);
      std::memcpy(to, s.c->data + s.from, here);
      to += here;
      want -= here;
      total += here;
      consume(here);
    }
  }
  return total;
}

int read_stream::peek(iovec *iov, int most) const noexcept {
  int n = std::min(most, count_);
  for (int i = 0; i < n; ++i) {
    const span &s = spans_[(first_ + i) % spans_max];
    iov[i] = {s.c->data + s.from, s.to - s.from};
  }
  return n;
}

void read_stream::consume(std::size_t n) noexcept {
  size_.store(size() - static_cast<std::uint32_t>(n), std::memory_order_relaxed);
  while (n > 0) {
    span &s = spans_[first_];
    std::uint32_t here = static_cast<std::uint32_t>(std::min<std::size_t>(n, s.to - s.from));
    s.from += here;
    n -= here;
    if (s.from < s.to) return;
    pool_->give(s.c);
    first_ = (first_ + 1) % spans_max;
    --count_;
  }
}

void read_stream::clear() noexcept { consume(size()); }

} // namespace ef
