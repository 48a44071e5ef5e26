// SPDX-License-Identifier: BSD-2-Clause
// When to rotate, and how: under a lock of the file, so that of several processes that append to it one renames it and
// the others follow.
#include "rotator.hh"

#include "clock.hh"
#include "limits.hh"
#include "reopener.hh"
#include "sys.hh"

#include <fcntl.h>
#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace ef {
namespace {

// path.N, or a negated errno.
int numbered(const file &f, unsigned n, char *out) noexcept {
  const int length = std::snprintf(out, PATH_MAX, "%s.%u", f.path, n);
  return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

// path.1 .. path.N-1 each a place on, as far as there is no free one; the last one goes.
int shift(file &f) noexcept {
  char from[PATH_MAX], to[PATH_MAX];
  if (int r = numbered(f, f.turns.keep, to)) return r; // the longest name
  struct stat st;
  unsigned n = 1;
  for (; n < f.turns.keep; ++n) {
    numbered(f, n, to);
    if (sys->stat_at(f.dirfd, to, &st) == -ENOENT) break;
  }
  for (; n > 1; --n) {
    numbered(f, n - 1, from);
    numbered(f, n, to);
    if (int r = sys->rename(f.dirfd, from, to, true)) return r;
  }
  numbered(f, 1, to);
  return sys->rename(f.dirfd, f.path, to, true);
}

int rename_as_told(file &f) noexcept {
  char to[PATH_MAX] = "";
  const int r = f.turns.name(f.turns.arg, f.path, f.turns.count + 1, to, sizeof to);
  if (r) return r > 0 ? -r : -EINVAL;
  to[sizeof to - 1] = 0;
  return sys->rename(f.dirfd, f.path, to, false);
}

bool still_there(file &f) noexcept {
  struct stat named, ours;
  return sys->stat_at(f.dirfd, f.path, &named) == 0 && sys->stat_now(f.osfd, &ours) == 0 &&
         named.st_dev == ours.st_dev && named.st_ino == ours.st_ino;
}

int rename_away(file &f) noexcept {
  // Where there are no locks there is nobody to be kept out.
  const int locked = sys->lock(f.osfd, true);
  if (locked == -EWOULDBLOCK) return -EWOULDBLOCK;
  int r = 0;
  if (still_there(f)) { // or another process has rotated it
    r = f.turns.name ? rename_as_told(f) : shift(f);
    if (r == 0) ++f.turns.count;
  }
  if (locked == 0) sys->lock(f.osfd, false);
  return r;
}

int next_file(file &f) noexcept {
  const unsigned before = f.reopened.load(std::memory_order_relaxed); // the lane's own count
  struct stat st;
  int r = sys->stat_now(f.osfd, &st);
  if (r == 0) r = rename_away(f);
  if (r == 0) r = open_path_again(f, O_CREAT, f.flags & O_CREAT ? f.mode : st.st_mode & 0777);
  if (r == 0 && f.reopened.load(std::memory_order_relaxed) == before) r = -EWOULDBLOCK; // it came back
  return r;
}

} // namespace

int check_rotation(const ef_file_options &o, int flags) noexcept {
  if (o.rotate_keep > limits::rotate_keep_most || o.rotate_seconds > limits::rotate_seconds_most) return -EINVAL;
  if (!o.rotate_bytes && !o.rotate_seconds) return 0;
  return (flags & O_ACCMODE) != O_WRONLY || (flags & O_TMPFILE) == O_TMPFILE ? -EINVAL : 0;
}

void init_rotation(file &f, const ef_file_options &o) noexcept {
  f.turns = {o.rotate_bytes,
             std::int64_t{o.rotate_seconds} * 1'000'000'000,
             o.rotate_keep ? o.rotate_keep : limits::rotate_keep_default,
             o.rotate,
             o.rotate_arg,
             0,
             now_ns(),
             0,
             0};
}

namespace {

// *empty: nothing is in it, so that a call that is longer than a file may be goes to it all the same.
std::uint64_t room_before_rotation(file &f, bool *empty) noexcept {
  const rotation &t = f.turns;
  *empty = false;
  if (!rotates(t)) return UINT64_MAX;
  const std::int64_t now = now_ns();
  struct stat st; // asked each time: others may append, too
  if (now < t.not_before || sys->stat_now(f.osfd, &st) != 0 || !S_ISREG(st.st_mode)) return UINT64_MAX;
  const auto size = static_cast<std::uint64_t>(st.st_size);
  *empty = size == 0;
  if (t.age_most && size > 0 && now - t.since >= t.age_most) return 0;
  return !t.bytes_most ? UINT64_MAX : t.bytes_most > size ? t.bytes_most - size : 0;
}

} // namespace

std::size_t bytes_before_rotation(file &f, const piece *pieces, int count) noexcept {
  std::size_t all = 0;
  for (int i = 0; i < count; ++i) all += pieces[i].bytes;
  bool empty;
  const std::uint64_t room = room_before_rotation(f, &empty);
  if (all <= room) return all;
  write_stream &first = *pieces[0].of; // only the first one can have a call that is begun
  const std::size_t begun = first.begun_call();
  if (begun >= room) return begun;
  std::size_t whole = 0;
  for (int i = 0; i < count; ++i) {
    const piece &p = pieces[i];
    const std::size_t left = room - whole;
    whole += p.bytes <= left ? p.bytes : p.of->whole_calls(left);
    if (p.bytes > left) break;
  }
  return whole || !empty ? whole : first.first_call();
}

void rotate(file &f) noexcept {
  const int error = -next_file(f);
  if (error == 0) {
    f.make_durable_parent = true; // the names changed
    f.turns.trouble = 0;
    return;
  }
  f.turns.not_before = now_ns() + (error == EWOULDBLOCK ? limits::rotate_locked_ns : limits::rotate_retry_ns);
  if (error == EWOULDBLOCK || error == f.turns.trouble) return;
  f.turns.trouble = error;
  tell_trouble(f, error);
}

} // namespace ef
