/* SPDX-License-Identifier: BSD-2-Clause */
/* The root directory of httpd_ev: does a name stay beneath it? Symbolic links are followed as long as they do; where
 * the kernel cannot tell (openat2, Linux 5.6), none is followed. */
#ifndef HTTPD_ROOT_H
#define HTTPD_ROOT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One component after the other, no links. A descriptor of the O_PATH kind, or -1. */
static inline int root_walk(int root, const char *name) {
  int at = root;
  for (;;) {
    char part[256];
    size_t n = strcspn(name, "/");
    int next = -1;
    errno = ENAMETOOLONG;
    if (n < sizeof part) {
      memcpy(part, name, n);
      part[n] = 0;
      next = openat(at, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    }
    int error = errno;
    if (at != root) close(at);
    errno = error;
    if (next < 0 || !name[n]) return next;
    at = next;
    name += n + 1;
  }
}

/* What a relative name without dot segments stands for. 0, or an errno: EXDEV it leads out of the root. Nothing is
 * opened but the name, so a device or a FIFO feels nothing of it. */
static inline int root_lookup(int root, const char *name, struct stat *out) {
  static int walk;
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  int fd = walk ? -1 : (int)syscall(SYS_openat2, root, name, &how, sizeof how);
  if (fd < 0 && (errno == ENOSYS || errno == EPERM)) walk = 1;
  if (walk) fd = root_walk(root, name);
  if (fd < 0) return errno;
  int error = fstat(fd, out) < 0 ? errno : 0;
  close(fd);
  return error;
}

#endif
