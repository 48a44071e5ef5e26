// SPDX-License-Identifier: BSD-2-Clause
// Reads and writes at an offset: at once if that cannot block, else in the background with one event.
#ifndef EF_REQUESTER_HH
#define EF_REQUESTER_HH

#include "file.hh"

#include <efio.h>

#include <cstddef>

namespace ef {

// All answer a count or a negated errno, with a reference to the file held by the caller. -EINPROGRESS: the request
// belongs to the library until its event is taken. Any thread.
ssize_t pread_file(file &f, const iovec *iov, int count, std::size_t bytes, off_t offset, ef_request *q) noexcept;
ssize_t pwrite_file(file &f, const iovec *iov, int count, std::size_t bytes, off_t offset, ef_request &q) noexcept;
bool in_progress(const ef_request &q) noexcept;
int cancel_request(ef_request &q) noexcept;
// Blocking until the buffers are not in use; then the request is the caller's, and there is no event.
int cancel_and_wait(ef_request &q) noexcept;

// Requests wait until the file is open, and reads until what was accepted before them is in the file: whoever brought
// either about, or an error instead, says so.
void tell_parked(file &f) noexcept;

// A request that is over leaves the port's queue: from here on it is the caller's again. False: there is no event, it
// was revoked.
bool take_request(file_node &n, ef_event *out) noexcept;
void drop_request(file_node &n) noexcept; // the same, and nobody is told

// The file was opened anew: its second descriptor, if there is one, follows. 0 or a negated errno.
int renew_second(file &f) noexcept;

void init_requests(file &f) noexcept; // a new life
void end_requests(file &f) noexcept;  // none is in progress

} // namespace ef
#endif
