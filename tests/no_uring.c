// SPDX-License-Identifier: BSD-2-Clause
// Runs a command where io_uring answers an error, as container profiles and sandboxes do:
// no_uring EPERM|ENOSYS all|setup COMMAND... (setup: as the sysctl kernel.io_uring_disabled, rings cannot be made)
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

// The same numbers on every architecture.
enum { URING_SETUP = 425, URING_ENTER = 426, URING_REGISTER = 427 };

static int forbid(unsigned last, unsigned error) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, URING_SETUP, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const struct sock_fprog filter = {sizeof program / sizeof *program, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: no_uring EPERM|ENOSYS all|setup COMMAND...\n");
    return 2;
  }
  const unsigned last = strcmp(argv[2], "setup") == 0 ? URING_SETUP : URING_REGISTER;
  if (forbid(last, strcmp(argv[1], "ENOSYS") == 0 ? ENOSYS : EPERM) != 0) {
    perror("no_uring: seccomp");
    return 125;
  }
  execvp(argv[3], argv + 3);
  perror(argv[3]);
  return 127;
}
