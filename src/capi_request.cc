// SPDX-License-Identifier: BSD-2-Clause
// The C face of requests: checks what callers hand in and answers errnos. Nothing else.
#include "capi.hh"

#include "cache.hh"
#include "port.hh"
#include "reader.hh"
#include "requester.hh"

using namespace ef;

namespace {

ssize_t begin(int fd, const iovec *iov, int count, off_t offset, ef_request *q, bool write) noexcept {
  file_reference f(fd);
  if (f.error()) return f.error();
  std::size_t bytes;
  if (int bad = check_iov(iov, count, &bytes)) return bad;
  if (!write) return pread_file(*f, iov, count, bytes, offset, q);
  return q ? pwrite_file(*f, iov, count, bytes, offset, *q) : -EINVAL;
}

ssize_t begin_described(ef_request &q) noexcept {
  if (q.op != EF_PREAD && q.op != EF_PWRITE) return -EINVAL;
  const bool one = q.iovcnt == 0;
  const iovec buffer = q.buffer;
  return begin(q.fd, one ? &buffer : q.iov, one ? 1 : q.iovcnt, q.offset, &q, q.op == EF_PWRITE);
}

// Lets what one thread begins come together until it goes out of scope, on the ports it comes across.
class gathering {
 public:
  void join(int fd) noexcept {
    file_reference f(fd);
    if (f.error() || at_ == f->home) return;
    end();
    if (!port_gather(*f->home, true)) return;
    at_ = f->home;
    port_reference(*at_); // its last file may be closed meanwhile
  }
  ~gathering() { end(); }
  gathering() = default;
  gathering(const gathering &) = delete;
  gathering &operator=(const gathering &) = delete;

 private:
  void end() noexcept {
    if (!at_) return;
    port_gather(*at_, false);
    port_release(*at_);
    at_ = nullptr;
  }
  port *at_ = nullptr;
};

} // namespace

ssize_t ef_pread(int fd, void *buf, size_t len, off_t offset, ef_request *request) {
  iovec one{buf, len};
  return answer(begin(fd, &one, 1, offset, request, false));
}

ssize_t ef_preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset, ef_request *request) {
  return answer(begin(fd, iov, iovcnt, offset, request, false));
}

ssize_t ef_pwrite(int fd, const void *buf, size_t len, off_t offset, ef_request *request) {
  iovec one{const_cast<void *>(buf), len};
  return answer(begin(fd, &one, 1, offset, request, true));
}

ssize_t ef_pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset, ef_request *request) {
  return answer(begin(fd, iov, iovcnt, offset, request, true));
}

int ef_submit(ef_request *const *requests, int count) {
  if (count < 0) return answer(-EINVAL);
  if (!requests && count > 0) return answer(-EFAULT);
  for (int i = 0; i < count; ++i)
    if (!requests[i]) return answer(-EFAULT);
  gathering all;
  int going = 0;
  for (int i = 0; i < count; ++i) {
    ef_request &q = *requests[i];
    all.join(q.fd);
    const ssize_t r = begin_described(q);
    if (r == -EINPROGRESS) ++going;
    if (r == -EINPROGRESS || r == -EBUSY) continue;
    q.result = r < 0 ? -1 : r;
    q.error = r < 0 ? static_cast<int>(-r) : 0;
  }
  return going;
}

int ef_advise(int fd, off_t offset, off_t len, int advice) {
  file_reference f(fd);
  if (f.error()) return answer(f.error());
  if (!f->can_read) return answer(-EBADF);
  if (offset < 0 || len < 0 || advice < EF_PATTERN_ADAPTIVE || advice > EF_WILL_NEED) return answer(-EINVAL);
  if (advice == EF_WILL_NEED) return answer(will_need(*f, offset, len));
  if (len != 0) return answer(-EINVAL);
  f->pattern.store(advice, std::memory_order_seq_cst); // before the look; pairs with the opener's
  if (state_of(*f) == file_state::open && f->seekable) advise_pattern(*f);
  return 0;
}

int ef_cancel(ef_request *request) { return answer(request ? cancel_request(*request) : -EFAULT); }

int ef_cancel_wait(ef_request *request) { return answer(request ? cancel_and_wait(*request) : -EFAULT); }
