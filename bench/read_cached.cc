// SPDX-License-Identifier: BSD-2-Clause
// Sequential reads of a file that is in the page cache: 100 bytes, 4 KiB and 64 KiB a call.
#include "harness.hh"

#include "files.hh"
#include "timing.hh"

#include <efio.h>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t file_bytes = 16 << 20; // far more than the caches that belong to one core
constexpr std::size_t stdio_bytes = 65536, slice_bytes = 1 << 20;

// Reads at the current position; 0 = end. A count may be short.
using read_fn = ssize_t(void *source, char *to, std::size_t n);

class source {
 public:
  explicit source(read_fn *read) : read(read) {}
  virtual ~source() = default;
  source(const source &) = delete;
  source &operator=(const source &) = delete;
  virtual void rewind() = 0;
  virtual double misses() { return 0; } // reads that had to wait

  read_fn *const read;
};

class ef_source final : public source {
 public:
  explicit ef_source(const std::string &path) : source(get), fd_(ef_open(path.c_str(), O_RDONLY)) {
    if (fd_ < 0 || ef_wait(fd_, EF_OPEN, 10'000) != EF_OPEN) fail("ef_open: %s", std::strerror(errno));
  }
  ~ef_source() override { ef_close(fd_); }
  void rewind() override {
    if (ef_seek(fd_, 0, SEEK_SET) != 0) fail("ef_seek: %s", std::strerror(errno));
  }
  double misses() override { return static_cast<double>(misses_); }

 private:
  [[gnu::noinline]] static ssize_t get(void *me, char *to, std::size_t n) {
    auto *s = static_cast<ef_source *>(me);
    ssize_t r = ef_read(s->fd_, to, n);
    return r >= 0 ? r : s->get_later(to, n);
  }
  [[gnu::noinline]] ssize_t get_later(char *to, std::size_t n) {
    ssize_t r;
    do {
      if (errno != EAGAIN) fail("ef_read: %s", std::strerror(errno));
      ++misses_;
      if (ef_wait(fd_, EF_READ, 10'000) <= 0) fail("ef_wait: nothing to read in 10 s");
      r = ef_read(fd_, to, n);
    } while (r < 0);
    return r;
  }
  int fd_;
  std::uint64_t misses_ = 0;
};

class call_source final : public source {
 public:
  explicit call_source(const std::string &path) : source(get), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~call_source() override { close(fd_); }
  void rewind() override { lseek(fd_, 0, SEEK_SET); }

 private:
  [[gnu::noinline]] static ssize_t get(void *me, char *to, std::size_t n) {
    return ::read(static_cast<call_source *>(me)->fd_, to, n);
  }
  int fd_;
};

class nowait_source final : public source {
 public:
  explicit nowait_source(const std::string &path) : source(get), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~nowait_source() override { close(fd_); }
  void rewind() override { at_ = 0; }
  double misses() override { return static_cast<double>(misses_); }

 private:
  [[gnu::noinline]] static ssize_t get(void *me, char *to, std::size_t n) {
    auto *s = static_cast<nowait_source *>(me);
    iovec iov{to, n};
    ssize_t r = preadv2(s->fd_, &iov, 1, s->at_, RWF_NOWAIT);
    if (r < 0) r = s->get_later(to, n);
    s->at_ += r;
    return r;
  }
  [[gnu::noinline]] ssize_t get_later(char *to, std::size_t n) {
    if (errno == EOPNOTSUPP) skip("no RWF_NOWAIT on this file system");
    ++misses_;
    ssize_t r = errno == EAGAIN ? pread(fd_, to, n, at_) : -1;
    if (r < 0) fail("preadv2: %s", std::strerror(errno));
    return r;
  }
  int fd_;
  std::uint64_t misses_ = 0;
  off_t at_ = 0;
};

class stdio_source final : public source {
 public:
  explicit stdio_source(const std::string &path) : source(get), file_(std::fopen(path.c_str(), "re")) {
    if (!file_ || std::setvbuf(file_, nullptr, _IOFBF, stdio_bytes) != 0) fail("fopen: %s", std::strerror(errno));
  }
  ~stdio_source() override { std::fclose(file_); }
  void rewind() override { std::rewind(file_); }

 private:
  [[gnu::noinline]] static ssize_t get(void *me, char *to, std::size_t n) {
    return static_cast<ssize_t>(fread_unlocked(to, 1, n, static_cast<stdio_source *>(me)->file_));
  }
  std::FILE *file_;
};

// Once through the file, record by record; short counts are completed, as a program has to. Answers the number of
// records and takes the time of each slice, so that a moment in which the thread did not run can be told apart.
std::size_t pass(source *s, char *to, std::size_t record, checksum *sum, std::vector<double> *slices) {
  read_fn *read = s->read;
  std::size_t records = 0, got, of_slice = slice_bytes / record;
  s->rewind();
  std::int64_t begin = now_ns();
  do {
    got = 0;
    for (ssize_t r; got < record && (r = read(s, to + got, record - got)) != 0; got += static_cast<std::size_t>(r))
      if (r < 0) fail("read: %s", std::strerror(errno));
    keep(to[0]);
    if (sum) sum->add(to, got);
    if (got > 0) ++records;
    if (slices && records % of_slice == 0 && got == record) {
      std::int64_t now = now_ns();
      slices->push_back(static_cast<double>(now - begin) / static_cast<double>(of_slice));
      begin = now;
    }
  } while (got == record);
  return records;
}

void measure(source *s, std::size_t record, const checksum &expected, double seconds, double *values) {
  auto to = std::make_unique<char[]>(record);
  checksum sum;
  pass(s, to.get(), record, &sum, nullptr);
  if (sum != expected) fail("the bytes are not those of the file");
  double misses_before = s->misses();
  usage mine(RUSAGE_THREAD);
  std::int64_t begin = now_ns();
  std::size_t records = 0;
  std::vector<double> slices;
  do records += pass(s, to.get(), record, nullptr, &slices);
  while (static_cast<double>(now_ns() - begin) < seconds * 1e9);
  values[0] = summarize(slices).median;
  values[1] = static_cast<double>(now_ns() - begin) / static_cast<double>(records);
  values[2] = mine.voluntary();
  values[3] = mine.involuntary();
  values[4] = s->misses() - misses_before;
  if (records % ((expected.bytes + record - 1) / record) != 0) fail("records are missing");
}

template<class Source>
variant make_variant(const char *name, const std::string &path, std::size_t record, std::shared_ptr<checksum> sum) {
  return {name, [=](double seconds, double *values) {
            Source s(path);
            measure(&s, record, *sum, seconds, values);
          }};
}

row make_row(const options &o, const char *name, const char *title, std::size_t record) {
  row r{name,
        title,
        {{"ns/read", 1}, {"mean ns/read", 1}, {"voluntary switches", 0}, {"involuntary", 0, false}, {"misses", 0}},
        {},
        "preadv2(RWF_NOWAIT)"};
  const std::string path = o.directory + "/cached";
  auto sum = std::make_shared<checksum>();
  r.prepare = [=] {
    *sum = make_file(path, file_bytes);
    if (!make_cached(path)) std::fprintf(stderr, "efio-bench: %s does not stay in the page cache\n", path.c_str());
  };
  r.finish = [=] { unlink(path.c_str()); };
  r.variants = {make_variant<nowait_source>("preadv2(RWF_NOWAIT)", path, record, sum),
                make_variant<ef_source>("ef_read", path, record, sum),
                make_variant<call_source>("read(2)", path, record, sum),
                make_variant<stdio_source>("fread_unlocked, 64 KiB buffer", path, record, sum)};
  return r;
}

void add_rows(const options &o, std::vector<row> *rows) {
  rows->push_back(make_row(o, "read-100", "a cached file in records of 100 bytes", 100));
  rows->back().comparisons = {{"ef_read", "read(2)", {0}}};
  rows->push_back(make_row(o, "read-4k", "a cached file in records of 4 KiB", 4096));
  rows->back().goals = {
      {"cached 4 KiB by ef_read: times preadv2(RWF_NOWAIT)", "ef_read", "preadv2(RWF_NOWAIT)", 0, true, 1.25},
      {"cached 4 KiB by ef_read: voluntary context switches", "ef_read", "", 2, true, 0, true}};
  rows->push_back(make_row(o, "read-64k", "a cached file in records of 64 KiB", 65536));
}

const family cached_reads(30, add_rows);

} // namespace
} // namespace bench
