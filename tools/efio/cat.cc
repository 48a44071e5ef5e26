// SPDX-License-Identifier: BSD-2-Clause
// efio cat: files to standard output through ef_read, waiting for the library as an event loop does.
#include "command.hh"
#include "loop.hh"

#include <efio.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace tool {
namespace {

constexpr std::size_t buffer_size = 256 << 10; // the most that ef_read gives

struct copying {
  loop events;
  int cache = EF_CACHE_NORMAL;
  bool counters = false;
  bool output_failed = false;
  struct stat output = {};
  std::vector<char> buffer = std::vector<char>(buffer_size);
};

bool tell(const char *name, int error) {
  complain("%s: %s", name, std::strerror(error));
  return false;
}

void await(int fd, short events) {
  pollfd p{fd, events, 0};
  poll(&p, 1, -1);
}

// All of it, however slow the reader is, also if somebody else has made the output non-blocking.
bool put(copying *c, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    ssize_t n = write(STDOUT_FILENO, c->buffer.data() + done, size - done);
    if (n >= 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      await(STDOUT_FILENO, POLLOUT);
    } else if (errno != EINTR) {
      c->output_failed = true;
      return tell("write error", errno);
    }
  }
  return true;
}

// A file copied to its own end would grow for ever. Told as cat(1) does.
bool is_output(const copying &c, int fd, const struct stat &input, const char *name) {
  bool same = S_ISREG(c.output.st_mode) && input.st_dev == c.output.st_dev && input.st_ino == c.output.st_ino &&
              lseek(fd, 0, SEEK_CUR) < input.st_size;
  if (same) complain("%s: input file is output file", name);
  return same;
}

// What is no file of efio: standard input, pipes, terminals.
bool copy_plainly(copying *c, int fd, const char *name) {
  for (;;) {
    ssize_t n = read(fd, c->buffer.data(), c->buffer.size());
    if (n == 0) return true;
    if (n > 0 && !put(c, static_cast<std::size_t>(n))) return false;
    if (n < 0 && errno == EAGAIN)
      await(fd, POLLIN);
    else if (n < 0 && errno != EINTR)
      return tell(name, errno);
  }
}

bool copy_bytes(copying *c, int file, const char *name) {
  for (;;) {
    ssize_t n = ef_read(file, c->buffer.data(), c->buffer.size());
    if (n == 0) return true;
    if (n > 0 && !put(c, static_cast<std::size_t>(n))) return false;
    int error = n < 0 ? errno : 0;
    if (error == EAGAIN) error = c->events.await(file, EF_READ);
    if (error) return tell(name, error);
  }
}

void show_counters(int file, const char *name) {
  ef_file_counters counters = {};
  counters.size = sizeof counters;
  if (ef_file_stats(file, &counters) != 0) return;
  complain("%s: %llu bytes; %llu reads answered from memory, %llu had to wait; %llu bytes fetched in the background",
           name, static_cast<unsigned long long>(counters.read), static_cast<unsigned long long>(counters.read_hits),
           static_cast<unsigned long long>(counters.read_misses),
           static_cast<unsigned long long>(counters.read_background));
}

// The file becomes the library's.
bool copy_adopted(copying *c, int fd, const char *name) {
  ef_file_options options = {};
  options.size = sizeof options;
  options.cache = c->cache;
  options.pattern = EF_PATTERN_SEQUENTIAL;
  int file = ef_fdopen(c->events.port(), fd, &options);
  if (file < 0) {
    int error = errno;
    close(fd);
    return tell(name, error);
  }
  bool good = copy_bytes(c, file, name);
  if (c->counters) show_counters(file, name);
  ef_close(file);
  return good;
}

// Opened once, not by ef_open: a pipe that is opened for a look and closed again loses what was written meanwhile.
bool copy_file(copying *c, const char *name) {
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return tell(name, errno);
  struct stat st;
  if (fstat(fd, &st) == 0 && !is_output(*c, fd, st, name)) {
    if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)) return copy_adopted(c, fd, name);
    bool good = copy_plainly(c, fd, name);
    close(fd);
    return good;
  }
  close(fd);
  return false;
}

bool copy_standard_input(copying *c) {
  struct stat st;
  if (fstat(STDIN_FILENO, &st) != 0) return tell("-", errno);
  return !is_output(*c, STDIN_FILENO, st, "-") && copy_plainly(c, STDIN_FILENO, "-");
}

int copy_all(copying *c, const std::vector<const char *> &names) {
  if (fstat(STDOUT_FILENO, &c->output) != 0) return tell("standard output", errno), exit_trouble;
  if (int error = c->events.open()) return complain("%s", no_port(-error).c_str()), exit_trouble;
  int status = exit_good;
  for (const char *name : names) {
    bool good = std::strcmp(name, "-") == 0 ? copy_standard_input(c) : copy_file(c, name);
    if (!good) status = exit_trouble;
    if (c->output_failed) return status;
  }
  if (close(STDOUT_FILENO) != 0) return tell("standard output", errno), exit_trouble;
  return status;
}

bool cache_of(const std::string &name, int *out) {
  const char *const names[] = {"normal", "streaming", "direct"}; // in the order of EF_CACHE_
  for (int i = 0; i < 3; ++i)
    if (name == names[i]) return *out = i, true;
  return false;
}

int run_cat(int argc, char **argv) {
  static const option options[] = {{"cache", required_argument, nullptr, 'c'},
                                   {"counters", no_argument, nullptr, 'n'},
                                   {"help", no_argument, nullptr, 'h'},
                                   {nullptr, 0, nullptr, 0}};
  copying c;
  for (int letter; (letter = getopt_long(argc, argv, "c:nuh", options, nullptr)) != -1;) switch (letter) {
    case 'c':
      if (!cache_of(optarg, &c.cache)) return wrong_argument(argv[0], "--cache", optarg, "normal, streaming or direct");
      break;
    case 'n':
      c.counters = true;
      break;
    case 'u':
      break; // of POSIX; nothing is ever held back here
    case 'h':
      std::fputs(cat.help, stdout);
      return finish_output(exit_good);
    default:
      return usage_error(argv[0]);
    }
  std::vector<const char *> names(argv + optind, argv + argc);
  if (names.empty()) names = {"-"};
  return copy_all(&c, names);
}

} // namespace

const command cat = {"cat", "files to standard output, read as an event loop would",
                     "Usage: efio cat [OPTION]... [FILE]...\n"
                     "Copies the files to standard output through libefio. Standard input, where FILE is missing or\n"
                     "'-', pipes and terminals are copied plainly.\n\n"
                     "  -c, --cache MODE  what reading leaves in the kernel's page cache: normal (default),\n"
                     "                    streaming (nothing that was not there before), direct (past the cache)\n"
                     "  -n, --counters    on standard error, how the reads of each file went\n"
                     "  -u                ignored\n"
                     "  -h, --help        this text\n\n"
                     "Exit status: 0 good, 1 a file could not be read or the output not be written, 2 wrong usage.\n",
                     run_cat};

} // namespace tool
