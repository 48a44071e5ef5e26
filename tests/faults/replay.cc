// SPDX-License-Identifier: BSD-2-Clause
// Power cuts after the fact: from an image as it was at first and the log of what its disk was told, images are built
// as the disk may have been left at some moment; each is mounted, and every acknowledged item must be there.
//   replay BASE LOG ACKS DIRECTORY TYPE CUTS PART
// CUTS times cut at a record, and so often with a random half of what was written after the last flush left out. PARTs
// choose cuts of their own.
#include "replay_acks.hh"
#include "stress.hh"
#include "write_log.hh"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace {

using faultfs::log_record;
using replay::ack;
using stress::require;

std::string contents(const std::string &path) {
  std::string s;
  FILE *f = std::fopen(path.c_str(), "r");
  if (!f) return s;
  char b[65536];
  for (std::size_t n; (n = std::fread(b, 1, sizeof b, f)) > 0;) s.append(b, n);
  std::fclose(f);
  return s;
}

// ---- The log

struct entry {
  std::uint64_t end; // in the log
  bool write;
  std::uint64_t offset, length; // an fsync: offset is the size of the log when it began
  const char *data;
};

std::vector<entry> parse(const std::string &log) {
  std::vector<entry> all;
  for (std::size_t at = 0; at + sizeof(log_record) <= log.size();) {
    log_record r;
    std::memcpy(&r, &log[at], sizeof r);
    require(r.kind == log_record::is_write || r.kind == log_record::is_fsync, "the log is not one");
    if (log.size() - at - sizeof r < r.length) break; // the last one, half
    const char *const data = &log[at] + sizeof r;
    at += sizeof r + r.length;
    all.push_back({at, r.kind == log_record::is_write, r.offset, r.length, data});
  }
  return all;
}

// ---- Images

void put(int fd, const char *data, std::uint64_t n, std::uint64_t offset) {
  require(::pwrite(fd, data, n, static_cast<off_t>(offset)) == static_cast<ssize_t>(n), "an image");
}

void copy(int from, int to) { // leaves holes where there are holes
  struct stat st;
  std::vector<char> b(1 << 20);
  require(::fstat(from, &st) == 0 && ::ftruncate(to, 0) == 0 && ::ftruncate(to, st.st_size) == 0, "an image");
  for (off_t at = 0; (at = ::lseek(from, at, SEEK_DATA)) >= 0;)
    for (const off_t end = ::lseek(from, at, SEEK_HOLE); at < end;) {
      const ssize_t n =
          ::pread(from, b.data(), std::min<std::size_t>(b.size(), static_cast<std::size_t>(end - at)), at);
      require(n > 0, "an image");
      put(to, b.data(), static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(at));
      at += n;
    }
}

// The disk's content that no cut takes away, as it grows, and what a cut leaves.
class disk_image {
 public:
  disk_image(const std::string &base, const std::string &directory, const std::vector<entry> &log)
      : log_(log), left_path_(directory + "/left") {
    const int from = ::open(base.c_str(), O_RDONLY | O_CLOEXEC);
    durable_ = ::open((directory + "/durable").c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    left_ = ::open(left_path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(from >= 0 && durable_ >= 0 && left_ >= 0, "an image");
    copy(from, durable_);
    ::close(from);
  }
  // Cut when the log had `size` bytes; sizes must not fall. Half: of what is not flushed, by whole writes or blocks.
  void cut(std::uint64_t size, bool half, stress::random &dice) {
    std::uint64_t flushed = 0;
    for (const entry &e : log_)
      if (e.end <= size && !e.write) flushed = std::max(flushed, e.offset);
    for (; applied_ < log_.size() && log_[applied_].end <= flushed; ++applied_)
      if (log_[applied_].write) put(durable_, log_[applied_].data, log_[applied_].length, log_[applied_].offset);
    copy(durable_, left_);
    const bool torn = half && dice.below(2);
    for (std::size_t i = applied_; i < log_.size() && log_[i].end <= size; ++i) {
      const entry &e = log_[i];
      const std::uint64_t step = torn ? 4096 : std::max<std::uint64_t>(e.length, 1);
      for (std::uint64_t at = 0; e.write && at < e.length; at += step)
        if (!half || dice.below(2)) put(left_, e.data + at, std::min(step, e.length - at), e.offset + at);
    }
  }
  int left() const { return left_; }

 private:
  const std::vector<entry> &log_;
  std::size_t applied_ = 0; // records before this one are in durable_
  int durable_, left_;
  const std::string left_path_;
};

// Mounted for as long as it lives; the loop device goes with the mount.
class mounted {
 public:
  mounted(int image, const std::string &place, const char *type) : place_(place) {
    const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int device = -1;
    std::string name;
    for (int tries = 0; tries < 100 && device < 0; ++tries) { // others take free ones, too
      name = "/dev/loop" + std::to_string(::ioctl(control, LOOP_CTL_GET_FREE));
      device = ::open(name.c_str(), O_RDWR | O_CLOEXEC);
      loop_config c{};
      c.fd = static_cast<std::uint32_t>(image);
      c.info.lo_flags = LO_FLAGS_AUTOCLEAR;
      if (device < 0 || ::ioctl(device, LOOP_CONFIGURE, &c) == 0) continue;
      ::close(device);
      device = -1;
    }
    require(device >= 0, "no loop device");
    const char *const options = std::strcmp(type, "xfs") == 0 ? "nouuid" : "";
    good_ = ::mount(name.c_str(), place.c_str(), type, MS_RDONLY, options) == 0; // the journal is replayed all the same
    if (!good_) std::printf("# mount: %s\n", std::strerror(errno));
    ::close(device);
    ::close(control);
  }
  ~mounted() {
    for (int tries = 0; good_ && ::umount2(place_.c_str(), 0) != 0; ++tries) {
      require(errno == EBUSY && tries < 1000, "umount");
      ::usleep(1000);
    }
  }
  bool good() const { return good_; }

 private:
  const std::string place_;
  bool good_;
};

// ---- What must be there

// The stream's bytes in `place`, old files first.
std::string found(const std::string &place, int of, std::uint64_t files) {
  const std::string path = place + "/" + replay::names[of];
  std::string all;
  if (of == replay::created)
    for (std::uint64_t n = 0; n < files; ++n) all += contents(place + "/" + replay::created_name(n));
  if (of == replay::reopened)
    for (std::uint64_t n = 0; n < files; ++n) all += contents(path + "." + std::to_string(n));
  if (of == replay::rotated)
    for (std::uint64_t n = files; n > 0; --n) all += contents(path + "." + std::to_string(n));
  return all + contents(path);
}

std::uint64_t items_in(const std::string &bytes, int of, std::uint64_t most) {
  std::size_t at = 0;
  for (std::uint64_t n = 0; n < most; ++n) {
    const std::string wanted = replay::item(of, n);
    if (bytes.compare(at, wanted.size(), wanted) != 0) return n;
    at += wanted.size();
  }
  return most;
}

struct promise {
  std::uint64_t due = 0, early = 0;
};
promise promised(const std::vector<ack> &acks, int of, std::uint64_t size) {
  promise p;
  for (const ack &a : acks)
    if (a.of == static_cast<std::uint32_t>(of) && a.log_size <= size)
      (a.early ? p.early : p.due) = std::max(a.early ? p.early : p.due, a.count);
  return p;
}

struct tally {
  std::uint64_t images = 0, items = 0, lost = 0, control = 0;
};

void check(const std::string &place, const std::vector<ack> &acks, std::uint64_t size, bool half, tally &t) {
  bool control = false;
  for (int of = 0; of < replay::streams; ++of) {
    const promise p = promised(acks, of, size);
    const std::uint64_t files = of == replay::created ? std::max(p.due, p.early) : 300;
    const std::uint64_t there = items_in(found(place, of, files), of, std::max(p.due, p.early));
    t.items += p.due;
    control |= there < p.early;
    if (there >= p.due) continue;
    ++t.lost;
    std::printf("LOST: %s: %llu of %llu acknowledged items are there; the log cut at %llu%s\n", replay::names[of],
                static_cast<unsigned long long>(there), static_cast<unsigned long long>(p.due),
                static_cast<unsigned long long>(size), half ? ", a half left out" : "");
  }
  ++t.images;
  t.control += control;
}

// Where to cut: right behind acknowledgements, where there is most to lose, and anywhere; in order.
std::vector<std::uint64_t> choose_cuts(const std::vector<ack> &acks, int count, stress::random &dice) {
  std::uint64_t end = 0;
  for (const ack &a : acks) end = std::max(end, a.log_size);
  std::vector<std::uint64_t> cuts;
  for (int i = 0; i < count; ++i) cuts.push_back(i % 2 ? dice.below(end + 1) : acks[dice.below(acks.size())].log_size);
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 8) return std::fprintf(stderr, "usage: replay BASE LOG ACKS DIRECTORY TYPE CUTS PART\n"), 2;
  const std::string log = contents(argv[2]), list = contents(argv[3]), directory = argv[4], place = directory + "/at";
  const std::vector<entry> entries = parse(log);
  std::vector<ack> acks(list.size() / sizeof(ack));
  std::memcpy(acks.data(), list.data(), acks.size() * sizeof(ack));
  require(!entries.empty() && !acks.empty(), "there is nothing to replay");
  ::mkdir(place.c_str(), 0755);
  stress::random dice(std::strtoull(argv[7], nullptr, 10));
  disk_image image(argv[1], directory, entries);
  tally sum[2];
  for (const std::uint64_t size : choose_cuts(acks, std::atoi(argv[6]), dice))
    for (const bool half : {false, true}) {
      image.cut(size, half, dice);
      const mounted m(image.left(), place, argv[5]);
      require(m.good(), "what is left cannot be mounted");
      check(place, acks, size, half, sum[half]);
    }
  for (const bool half : {false, true})
    std::printf("# %s, %s: %llu images, %llu acknowledged items, lost in %llu streams; control: lost in %llu images\n",
                argv[5], half ? "a half left out" : "cut", static_cast<unsigned long long>(sum[half].images),
                static_cast<unsigned long long>(sum[half].items), static_cast<unsigned long long>(sum[half].lost),
                static_cast<unsigned long long>(sum[half].control));
  require(sum[0].control > 0 && sum[1].control > 0, "acknowledgements that come too early are not found");
  require(sum[0].lost + sum[1].lost == 0, "acknowledged items are lost");
}
