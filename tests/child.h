/* SPDX-License-Identifier: BSD-2-Clause */
/* Running something in a fork child, under a watchdog. */
#ifndef EF_TESTS_CHILD_H
#define EF_TESTS_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* AddressSanitizer holds no locks of its allocator over a fork. A child that is made while another thread is in there
   waits for ever in its first malloc or free, which says nothing of the library: it is ended and made anew. */
#if defined(__SANITIZE_ADDRESS__)
#define CHILD_TRIES 5
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHILD_TRIES 5
#endif
#endif
#ifdef CHILD_TRIES
#define CHILD_SECONDS 60
#else
#define CHILD_TRIES 1
#define CHILD_SECONDS 600 /* a disk may keep it so long */
#endif

/* Its status is told when it has ended by itself. */
static inline bool child_ended(pid_t child, int *status) {
  const struct timespec pause = {0, 1000000};
  for (long ms = 0; ms < CHILD_SECONDS * 1000L; ++ms) {
    const pid_t ended = waitpid(child, status, WNOHANG);
    if (ended != 0) return ended == child;
    nanosleep(&pause, NULL);
  }
  return false;
}

#ifdef EF_COVERAGE
#ifdef __cplusplus
extern "C"
#endif
void __gcov_dump(void);
#endif

/* What waitpid tells of a child that runs body and exits with its result; -1: there is none. */
static inline int status_of_child(int (*body)(void *), void *arg) {
  int status = -1;
  for (int left = CHILD_TRIES; left > 0; --left) {
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
      const int result = body(arg);
#ifdef EF_COVERAGE
      __gcov_dump(); /* _exit leaves it undone */
#endif
      _exit(result);
    }
    if (child_ended(child, &status)) break;
    printf("# a child hung for %d s: ended%s\n", CHILD_SECONDS, left > 1 ? ", and made anew" : "");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  return status;
}

#endif
