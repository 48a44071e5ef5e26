// SPDX-License-Identifier: BSD-2-Clause
// A file system (FUSE) that passes everything on to a directory and fails, shortens, delays or hangs what the lines
// written into its file .ctl say; reading .ctl gives the counters. For the tests of faults.
//
//   faultfs [--direct] [--log FILE --image NAME] DIRECTORY MOUNTPOINT
//
// --direct: no page cache. --log: every write to the file called NAME and every fsync of it are recorded in FILE.
// It stays in the foreground. SIGSTOP is a disk that hangs, SIGKILL one that is gone (ENOTCONN).
#define FUSE_USE_VERSION 312
#include "fault_rules.hh"
#include "write_log.hh"

#include <fuse3/fuse.h>
#include <fuse3/fuse_lowlevel.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

namespace faultfs {
namespace {

constexpr const char *control = ".ctl";
rules what;
write_log image_log;
std::string image_name; // empty: nothing is logged
bool direct;
int back; // the directory

struct handle {
  int fd = -1;
  std::string name, text; // text: of the control file, as it was when it was opened
};
handle &of(fuse_file_info *fi) { return *reinterpret_cast<handle *>(fi->fh); }
const char *relative(const char *path) { return path[1] ? path + 1 : "."; }
bool is_control(const char *path) { return path && std::strcmp(path + 1, control) == 0; }
std::string base(const char *path) { return std::strrchr(path, '/') + 1; }
int answer(int result) { return result < 0 ? -errno : 0; }

// Waits as long as the rules want it and answers what they say; the length is cut as they say.
int suffer(operation op, const std::string &name, std::size_t *length = nullptr) {
  const verdict v = what.judge(op, name);
  if (v.delay_ms > 0) ::usleep(static_cast<useconds_t>(v.delay_ms) * 1000);
  if (v.hang) {
    fuse_session *const session = fuse_get_session(fuse_get_context()->fuse);
    what.hanging(op, 1);
    while (what.hangs(v.hang) && !fuse_session_exited(session)) ::usleep(2000);
    what.hanging(op, -1);
  }
  if (length) *length = std::min(*length, v.length_max);
  return -v.error;
}

int commands(const char *text, std::size_t size) {
  for (std::string_view rest(text, size); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    if (const int e = what.command(std::string(rest.substr(0, end)))) return -e;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return static_cast<int>(size);
}

// ---- Names

int do_getattr(const char *path, struct stat *st, fuse_file_info *fi) {
  if (is_control(path)) {
    *st = {};
    st->st_mode = S_IFREG | 0644;
    st->st_nlink = 1;
    return 0;
  }
  if (fi && of(fi).fd >= 0) return answer(::fstat(of(fi).fd, st));
  return answer(::fstatat(back, relative(path), st, AT_SYMLINK_NOFOLLOW));
}
int do_mkdir(const char *path, mode_t mode) { return answer(::mkdirat(back, relative(path), mode)); }
int do_rmdir(const char *path) { return answer(::unlinkat(back, relative(path), AT_REMOVEDIR)); }
int do_unlink(const char *path) {
  if (const int e = suffer(op_unlink, base(path))) return e;
  return answer(::unlinkat(back, relative(path), 0));
}
int do_rename(const char *from, const char *to, unsigned flags) {
  if (const int e = suffer(op_rename, base(from))) return e;
  return answer(::renameat2(back, relative(from), back, relative(to), flags));
}
int do_link(const char *from, const char *to) { return answer(::linkat(back, relative(from), back, relative(to), 0)); }
int do_chmod(const char *path, mode_t mode, fuse_file_info *) {
  return answer(::fchmodat(back, relative(path), mode, 0));
}
int do_chown(const char *path, uid_t user, gid_t group, fuse_file_info *) {
  return answer(::fchownat(back, relative(path), user, group, AT_SYMLINK_NOFOLLOW));
}
int do_utimens(const char *path, const timespec times[2], fuse_file_info *) {
  return answer(::utimensat(back, relative(path), times, AT_SYMLINK_NOFOLLOW));
}
int do_statfs(const char *, struct statvfs *out) { return answer(::fstatvfs(back, out)); }
int do_opendir(const char *path, fuse_file_info *fi) {
  const int fd = ::openat(back, relative(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  fi->fh = reinterpret_cast<std::uint64_t>(new handle{fd, {}, {}});
  return 0;
}
int do_readdir(const char *, void *buffer, fuse_fill_dir_t fill, off_t, fuse_file_info *fi, fuse_readdir_flags) {
  const int fd = ::openat(of(fi).fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); // closedir closes it
  DIR *const entries = fd < 0 ? nullptr : ::fdopendir(fd);
  if (!entries) return -errno;
  while (const dirent *d = ::readdir(entries)) fill(buffer, d->d_name, nullptr, 0, fuse_fill_dir_flags{});
  ::closedir(entries);
  return 0;
}

// ---- Files

// The kernel turns appending into offsets, and hands over memory that O_DIRECT could not take.
int open_at(const char *path, fuse_file_info *fi, int more_flags, mode_t mode) {
  handle h;
  if (is_control(path))
    h.text = what.report();
  else if ((h.fd = ::openat(back, relative(path), (fi->flags & ~(O_APPEND | O_DIRECT)) | more_flags | O_CLOEXEC,
                            mode)) < 0)
    return -errno;
  h.name = base(path);
  fi->direct_io = direct || h.fd < 0;
  fi->keep_cache = !fi->direct_io;
  fi->fh = reinterpret_cast<std::uint64_t>(new handle(h));
  return 0;
}
int do_open(const char *path, fuse_file_info *fi) {
  if (!is_control(path))
    if (const int e = suffer(op_open, base(path))) return e;
  return open_at(path, fi, 0, 0);
}
int do_create(const char *path, mode_t mode, fuse_file_info *fi) {
  if (const int e = suffer(op_create, base(path))) return e;
  return open_at(path, fi, O_CREAT, mode);
}
int do_truncate(const char *path, off_t size, fuse_file_info *fi) {
  if (is_control(path) || (fi && of(fi).fd < 0)) return 0;
  if (const int e = suffer(op_truncate, fi ? of(fi).name : base(path))) return e;
  if (fi) return answer(::ftruncate(of(fi).fd, size));
  const int fd = ::openat(back, relative(path), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  const int result = answer(::ftruncate(fd, size));
  ::close(fd);
  return result;
}
int do_read(const char *, char *buffer, std::size_t size, off_t offset, fuse_file_info *fi) {
  const handle &h = of(fi);
  if (h.fd < 0) {
    const auto from = std::min(static_cast<std::size_t>(offset), h.text.size());
    return static_cast<int>(h.text.copy(buffer, size, from));
  }
  if (const int e = suffer(op_read, h.name, &size)) return e;
  const ssize_t n = ::pread(h.fd, buffer, size, offset);
  return n < 0 ? -errno : static_cast<int>(n);
}
int do_write(const char *, const char *data, std::size_t size, off_t offset, fuse_file_info *fi) {
  const handle &h = of(fi);
  if (h.fd < 0) return commands(data, size);
  if (const int e = suffer(op_write, h.name, &size)) return e;
  const ssize_t n = ::pwrite(h.fd, data, size, offset);
  if (n < 0) return -errno;
  if (h.name == image_name) image_log.wrote(data, static_cast<std::uint64_t>(n), static_cast<std::uint64_t>(offset));
  return static_cast<int>(n);
}
int do_fsync(const char *, int, fuse_file_info *fi) { // what it asks of the disk below is not what is tested
  const handle &h = of(fi);
  if (h.fd < 0) return 0;
  const bool logged = h.name == image_name;
  const std::uint64_t began_at = logged ? image_log.size() : 0;
  if (const int e = suffer(op_fsync, h.name)) return e;
  if (logged) image_log.synced(began_at);
  return 0;
}
int do_flush(const char *, fuse_file_info *fi) { return of(fi).fd < 0 ? 0 : suffer(op_flush, of(fi).name); }
int do_release(const char *, fuse_file_info *fi) {
  if (of(fi).fd >= 0) ::close(of(fi).fd);
  delete &of(fi);
  return 0;
}
int do_fsyncdir(const char *, int, fuse_file_info *) { return 0; }

void *do_init(fuse_conn_info *connection, fuse_config *config) {
  config->nullpath_ok = 1; // who has a file open needs no path: it may be gone
  config->hard_remove = 1;
  connection->max_background = 512; // operations that hang must not use up the kernel's places for others
  connection->congestion_threshold = 512;
  return nullptr;
}

fuse_operations operations() {
  fuse_operations o{};
  o.init = do_init, o.getattr = do_getattr, o.mkdir = do_mkdir, o.rmdir = do_rmdir, o.unlink = do_unlink;
  o.rename = do_rename, o.link = do_link, o.chmod = do_chmod, o.chown = do_chown, o.utimens = do_utimens;
  o.statfs = do_statfs, o.readdir = do_readdir, o.open = do_open, o.create = do_create, o.truncate = do_truncate;
  o.read = do_read, o.write = do_write, o.fsync = do_fsync, o.flush = do_flush, o.release = do_release;
  o.opendir = do_opendir, o.releasedir = do_release, o.fsyncdir = do_fsyncdir;
  return o;
}

} // namespace
} // namespace faultfs

int main(int argc, char **argv) {
  const char *log = nullptr;
  int i = 1;
  for (; i < argc && std::strncmp(argv[i], "--", 2) == 0; ++i) {
    const std::string_view option = argv[i];
    if (option == "--direct")
      faultfs::direct = true;
    else if (option == "--log" && i + 1 < argc)
      log = argv[++i];
    else if (option == "--image" && i + 1 < argc)
      faultfs::image_name = argv[++i];
    else
      break;
  }
  if (argc - i != 2 || !log != faultfs::image_name.empty()) {
    std::fprintf(stderr, "usage: faultfs [--direct] [--log FILE --image NAME] DIRECTORY MOUNTPOINT\n");
    return 2;
  }
  faultfs::back = ::open(argv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (faultfs::back < 0 || (log && !faultfs::image_log.open(log))) return std::perror("faultfs"), 1;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that is killed leaves no mount behind
  // Many threads: what hangs must not hold up the rest, nor the control file.
  char foreground[] = "-f", option[] = "-o", options[] = "max_threads=200,max_idle_threads=16,fsname=faultfs";
  char *arguments[] = {argv[0], foreground, option, options, argv[i + 1], nullptr};
  ::umask(0);
  const fuse_operations table = faultfs::operations();
  return fuse_main(5, arguments, &table, nullptr);
}
