// SPDX-License-Identifier: BSD-2-Clause
// Calls that nobody should make, and what each has to answer: nothing else changes.
#ifndef EF_TESTS_MISUSE_HH
#define EF_TESTS_MISUSE_HH

#include "core.hh"

#include <climits>

namespace core {

struct wrong_call {
  const char *name;
  int error;
  long (*make)(int fd, ef_port *p); // an open file, for reading, writing or both; its port
};

inline char some_bytes[64];
inline ef_request unused_request;
inline iovec some_parts[1] = {{some_bytes, 8}};

// EAGAIN: the file is not open yet. EBADF: not for reading, or not for writing. Or the error that sticks.
inline const wrong_call wrong_calls[] = {
    {"a number below 0", EBADF, [](int, ef_port *) -> long { return ef_read(-1, some_bytes, 8); }},
    {"a number beyond all", EBADF, [](int, ef_port *) -> long { return ef_write(INT_MAX, some_bytes, 8); }},
    {"no buffer to read to", EFAULT, [](int fd, ef_port *) -> long { return ef_read(fd, nullptr, 8); }},
    {"no buffer to write", EFAULT, [](int fd, ef_port *) -> long { return ef_write(fd, nullptr, 8); }},
    {"too long", EINVAL, [](int fd, ef_port *) -> long { return ef_write(fd, some_bytes, SIZE_MAX); }},
    {"too long to read", EINVAL, [](int fd, ef_port *) -> long { return ef_read(fd, some_bytes, SIZE_MAX); }},
    {"no parts", EINVAL, [](int fd, ef_port *) -> long { return ef_writev(fd, some_parts, 0); }},
    {"too many parts", EINVAL, [](int fd, ef_port *) -> long { return ef_readv(fd, some_parts, 1025); }},
    {"parts of none", EINVAL, [](int fd, ef_port *) -> long { return ef_peek(fd, some_parts, -1); }},
    {"more than is there", EINVAL, [](int fd, ef_port *) -> long { return ef_consume(fd, SIZE_MAX / 2); }},
    {"below the start", EINVAL,
     [](int fd, ef_port *) -> long { return ef_pread(fd, some_bytes, 8, -1, &unused_request); }},
    {"beyond the end of numbers", EINVAL,
     [](int fd, ef_port *) -> long { return ef_pwrite(fd, some_bytes, 8, LLONG_MAX, &unused_request); }},
    {"a write without a request", EINVAL,
     [](int fd, ef_port *) -> long { return ef_pwrite(fd, some_bytes, 8, 0, nullptr); }},
    {"no such whence", EINVAL, [](int fd, ef_port *) -> long { return ef_seek(fd, 0, 77); }},
    {"no such events", EINVAL, [](int fd, ef_port *) -> long { return ef_watch(fd, 1 << 20, nullptr); }},
    {"nothing to wait for", EINVAL, [](int fd, ef_port *) -> long { return ef_wait(fd, 0, 0); }},
    {"durable and more", EINVAL, [](int fd, ef_port *) -> long { return ef_wait(fd, EF_SYNC | EF_WRITE, 0); }},
    {"no request", EFAULT, [](int, ef_port *) -> long { return ef_cancel(nullptr); }},
    {"not in progress", ENOENT, [](int, ef_port *) -> long { return ef_cancel(&unused_request); }},
    {"not to be taken back", ENOENT, [](int, ef_port *) -> long { return ef_cancel_wait(&unused_request); }},
    {"a port with files", EBUSY, [](int, ef_port *p) -> long { return ef_port_free(p); }},
    {"no such advice", EINVAL, [](int fd, ef_port *) -> long { return ef_advise(fd, 0, 0, 99); }},
    {"nowhere to tell it", EFAULT, [](int fd, ef_port *) -> long { return ef_fstat(fd, nullptr); }},
    {"counters of no size", EINVAL,
     [](int fd, ef_port *) -> long {
       ef_file_counters c{};
       return ef_file_stats(fd, &c);
     }},
    {"no path", EFAULT, [](int, ef_port *p) -> long { return ef_openat(p, AT_FDCWD, nullptr, O_RDONLY, 0, nullptr); }},
    {"an empty path", ENOENT, [](int, ef_port *p) -> long { return ef_openat(p, AT_FDCWD, "", O_RDONLY, 0, nullptr); }},
    {"flags of nothing", EINVAL,
     [](int, ef_port *p) -> long { return ef_openat(p, AT_FDCWD, "/dev/null", 1 << 30, 0, nullptr); }},
    {"no descriptor", EBADF, [](int, ef_port *p) -> long { return ef_fdopen(p, -1, nullptr); }},
};

} // namespace core
#endif
