/* SPDX-License-Identifier: BSD-2-Clause */
/* Where httpd_ev lets a name lead: with the kernel's own answer, and with the walk that stands in for it. */
#include "../examples/httpd_root.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char scratch[256];
static int root;

static void file(const char *name) {
  int fd = openat(root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  close(fd);
}

static int make_tree(void **state) {
  (void)state;
  const char *base = getenv("TMPDIR");
  snprintf(scratch, sizeof scratch, "%s/efio-root-XXXXXX", base ? base : "/tmp");
  if (!mkdtemp(scratch)) return -1;
  root = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || mkdirat(root, "in", 0700) || mkdirat(root, "in/dir", 0700) || mkdirat(root, "out", 0700)) return -1;
  file("in/file");
  file("in/dir/file");
  file("out/secret");
  if (symlinkat("file", root, "in/near") || symlinkat("../out/secret", root, "in/far") ||
      symlinkat("../out", root, "in/away") || symlinkat("/etc", root, "in/absolute") ||
      symlinkat("dir", root, "in/here"))
    return -1;
  int in = openat(root, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  close(root);
  root = in;
  return root < 0 ? -1 : 0;
}

static int remove_tree(void **state) {
  (void)state;
  char command[sizeof scratch + 16];
  close(root);
  snprintf(command, sizeof command, "rm -rf %s", scratch);
  return system(command);
}

/* 0 and a regular file: 0; a directory: -1; else the errno. */
static int kernel_says(const char *name) {
  struct stat st;
  int error = root_lookup(root, name, &st);
  return error ? error : S_ISREG(st.st_mode) ? 0 : -1;
}

static int walk_says(const char *name) {
  struct stat st;
  int fd = root_walk(root, name);
  if (fd < 0) return errno;
  assert_int_equal(fstat(fd, &st), 0);
  close(fd);
  return S_ISREG(st.st_mode) ? 0 : -1;
}

static void both_find_what_is_there(void **state) {
  (void)state;
  char longer[300];
  memset(longer, 'n', sizeof longer - 1);
  longer[sizeof longer - 1] = 0;
  int (*const ways[])(const char *) = {kernel_says, walk_says};
  for (size_t i = 0; i < 2; ++i) {
    assert_int_equal(ways[i]("file"), 0);
    assert_int_equal(ways[i]("dir/file"), 0);
    assert_int_equal(ways[i]("dir"), -1);
    assert_int_equal(ways[i]("none"), ENOENT);
    assert_int_equal(ways[i]("dir/none"), ENOENT);
    assert_int_equal(ways[i]("file/none"), ENOTDIR);
    assert_int_equal(ways[i](longer), ENAMETOOLONG);
  }
}

static void neither_follows_a_link_out(void **state) {
  (void)state;
  static const char *const names[] = {"far", "away", "away/secret", "absolute", "absolute/passwd"};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
    assert_int_not_equal(kernel_says(names[i]), 0);
    assert_int_not_equal(walk_says(names[i]), 0);
  }
}

static void the_kernel_follows_links_inside_the_walk_none(void **state) {
  (void)state;
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
  int probe = (int)syscall(SYS_openat2, root, "near", &how, sizeof how);
  if (probe >= 0) {
    close(probe);
    assert_int_equal(kernel_says("near"), 0);
    assert_int_equal(kernel_says("here/file"), 0);
  }
  assert_int_not_equal(walk_says("near"), 0);
  assert_int_not_equal(walk_says("here/file"), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(both_find_what_is_there),
      cmocka_unit_test(neither_follows_a_link_out),
      cmocka_unit_test(the_kernel_follows_links_inside_the_walk_none),
  };
  return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
