// SPDX-License-Identifier: BSD-2-Clause
// Ten thousand files at once, each written and read; afterwards memory, descriptors and threads are what they were.
#include "core.hh"

#include <dirent.h>
#include <malloc.h>

namespace {

int files = 10000;
std::string dir;

// What the allocator keeps in its free lists is given back first: the question is what the library still holds.
long resident_kb() {
  ::malloc_trim(0);
  long pages = 0, resident = 0;
  FILE *f = std::fopen("/proc/self/statm", "r");
  assert_int_equal(std::fscanf(f, "%ld %ld", &pages, &resident), 2);
  std::fclose(f);
  return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

int entries(const char *path) {
  int n = 0;
  DIR *d = ::opendir(path);
  assert_non_null(d);
  while (::readdir(d)) ++n;
  ::closedir(d);
  return n;
}

std::string text(int i) { return "this is file number " + std::to_string(i) + "\n"; }

void open_write_read_close(int count, std::vector<int> &fd) {
  for (int i = 0; i < count; ++i) {
    fd[i] = core::open(dir + "/" + std::to_string(i), O_RDWR | O_CREAT | O_TRUNC);
    core::write(fd[i], text(i));
  }
  for (int i = 0; i < count; ++i) {
    core::wait(fd[i], EF_OPEN);
    assert_int_equal(ef_seek(fd[i], 0, SEEK_SET), 0);
    assert_true(core::read_all(fd[i], 64) == text(i));
  }
  for (int i = 0; i < count; ++i) assert_int_equal(ef_close(fd[i]), 0);
  assert_int_equal(ef_drain(nullptr, core::patience_ms * 3), 0);
}

bool settled(long kb, int fds, int threads) {
  return resident_kb() <= kb + kb / 10 && entries("/proc/self/fd") <= fds && entries("/proc/self/task") <= threads;
}

void a_crowd_of_files_leaves_nothing_behind(void **) {
  rlimit limit;
  assert_int_equal(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < static_cast<rlim_t>(files) + 100) {
    files = static_cast<int>(limit.rlim_cur) - 100;
    std::printf("  the limit of descriptors allows %d files only\n", files);
  }
  std::vector<int> fd(files);
  open_write_read_close(256, fd); // the threads, the first chunks and the first block of files of any program: it stays
  long kb = resident_kb();
  int fds = entries("/proc/self/fd"), threads = entries("/proc/self/task");
  open_write_read_close(files, fd);
  long most = resident_kb();
  for (int i = 0; i < 100 && !settled(kb, fds, threads); ++i) ::usleep(100000); // idle memory and threads go within 3 s
  std::printf("  %d files: %ld KiB before, %ld just after, %ld later; %d descriptors, then %d; %d threads, then %d\n",
              files, kb, most, resident_kb(), fds, entries("/proc/self/fd"), threads, entries("/proc/self/task"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // they keep memory of their own
  assert_true(resident_kb() <= kb + kb / 10);
#endif
  assert_true(entries("/proc/self/fd") <= fds);
  assert_true(entries("/proc/self/task") <= threads);
  for (int i = 0; i < files; i += 97) assert_true(core::contents(dir + "/" + std::to_string(i)) == text(i));
}

} // namespace

int main() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  files = 2000;
#endif
  dir = core::directory();
  const CMUnitTest tests[] = {cmocka_unit_test(a_crowd_of_files_leaves_nothing_behind)};
  int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
  core::remove(dir);
  return failed;
}
