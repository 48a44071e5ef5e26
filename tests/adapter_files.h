/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of the adapters: files in a directory of their own, whose bytes tell their place. */
#ifndef ADAPTER_FILES_H
#define ADAPTER_FILES_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char scratch_dir[256];

static inline void scratch_remove(void) {
  DIR *d = opendir(scratch_dir);
  if (!d) return;
  for (struct dirent *e; (e = readdir(d));)
    if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
  closedir(d);
  rmdir(scratch_dir);
}

/* Before the first test; the test ends itself if it hangs. */
static inline int scratch_make(void **state) {
  (void)state;
  const char *base = getenv("TMPDIR");
  snprintf(scratch_dir, sizeof scratch_dir, "%s/efio-adapter-XXXXXX", base ? base : "/tmp");
  alarm(240);
  return mkdtemp(scratch_dir) ? 0 : -1;
}

static inline int scratch_unmake(void **state) {
  (void)state;
  scratch_remove();
  return 0;
}

/* The path of a scratch file; one of 8 buffers, used in turn by each thread. */
static inline const char *in_scratch(const char *name) {
  static __thread char paths[8][512];
  static __thread unsigned turn;
  char *path = paths[turn++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", scratch_dir, name);
  return path;
}

static inline unsigned char byte_at(uint64_t offset, unsigned seed) {
  uint64_t x = (offset / 8 + 1) * 0x9E3779B97F4A7C15u + seed * 0xD1B54A32D192ED03u;
  x ^= x >> 29;
  x *= 0xBF58476D1CE4E5B9u;
  return (unsigned char)(x >> (8 * (offset % 8)));
}

static inline void fill_bytes(void *out, size_t n, uint64_t offset, unsigned seed) {
  unsigned char *p = (unsigned char *)out;
  for (size_t i = 0; i < n; ++i) p[i] = byte_at(offset + i, seed);
}

static inline bool bytes_are(const void *in, size_t n, uint64_t offset, unsigned seed) {
  const unsigned char *p = (const unsigned char *)in;
  for (size_t i = 0; i < n; ++i)
    if (p[i] != byte_at(offset + i, seed)) return false;
  return true;
}

/* Appends bytes [from, to) to the file. */
static inline bool grow_file(const char *path, uint64_t from, uint64_t to, unsigned seed) {
  static __thread unsigned char buf[65536];
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  bool good = fd >= 0;
  for (uint64_t at = from; good && at < to;) {
    size_t n = to - at < sizeof buf ? (size_t)(to - at) : sizeof buf;
    fill_bytes(buf, n, at, seed);
    good = write(fd, buf, n) == (ssize_t)n;
    at += n;
  }
  if (fd >= 0) close(fd);
  return good;
}

static inline bool make_file(const char *path, uint64_t size, unsigned seed) {
  unlink(path);
  return grow_file(path, 0, size, seed);
}

/* The file has these bytes and no others. */
static inline bool file_is(const char *path, uint64_t size, unsigned seed) {
  static __thread unsigned char buf[65536];
  int fd = open(path, O_RDONLY);
  uint64_t at = 0;
  ssize_t n = 0;
  bool good = fd >= 0;
  while (good && (n = read(fd, buf, sizeof buf)) > 0) {
    good = bytes_are(buf, (size_t)n, at, seed);
    at += (uint64_t)n;
  }
  if (fd >= 0) close(fd);
  return good && n == 0 && at == size;
}

static inline uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Waits for what is written in the background, at most 20 s. */
static inline bool file_becomes(const char *path, uint64_t size, unsigned seed) {
  const struct timespec pause = {0, 1000000};
  uint64_t end = now_ms() + 20000;
  while (!file_is(path, size, seed)) {
    if (now_ms() > end) return false;
    nanosleep(&pause, NULL);
  }
  return true;
}

/* ThreadSanitizer knows no threads in a fork child of a program that had some. */
#if defined(__SANITIZE_THREAD__)
#define FORK_CHILD_HAS_THREADS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FORK_CHILD_HAS_THREADS 0
#endif
#endif
#ifndef FORK_CHILD_HAS_THREADS
#define FORK_CHILD_HAS_THREADS 1
#endif

#endif
