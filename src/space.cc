// SPDX-License-Identifier: BSD-2-Clause
// fallocate(2) behind the end of the file, which stays where it is.
#include "space.hh"

#include "sys.hh"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace ef {

void init_space(file &f, std::uint64_t ahead) noexcept {
  f.space_ahead = static_cast<std::int64_t>(ahead);
  f.space_end = 0;
}

void reserve_space(file &f, std::size_t bytes) noexcept {
  if (!f.space_ahead) return;
  const std::int64_t counted = f.write_offset.load(std::memory_order_relaxed) + static_cast<std::int64_t>(bytes);
  if (counted <= f.space_end) return;
  struct stat st;
  if (!f.seekable || f.in_memory || sys->stat_now(f.osfd, &st) != 0 || !S_ISREG(st.st_mode)) {
    f.space_ahead = 0;
    return;
  }
  // With O_APPEND the lane counts its own bytes only: the file's end may be elsewhere.
  const std::int64_t from = f.append ? st.st_size : f.write_offset.load(std::memory_order_relaxed);
  std::int64_t length = static_cast<std::int64_t>(bytes) + f.space_ahead;
  if (f.turns.bytes_most) // it will not grow beyond that
    length = std::clamp(static_cast<std::int64_t>(f.turns.bytes_most) - from, static_cast<std::int64_t>(bytes), length);
  const int r = sys->allocate(f.osfd, from, length);
  f.space_end = counted + f.space_ahead; // after a refusal, too: a full disk is asked again by then
  if (r == -EOPNOTSUPP || r == -ENOSYS) f.space_ahead = 0;
}

void return_space(file &f) noexcept {
  struct stat st;
  const bool some = f.space_end > 0;
  f.space_end = 0;
  if (!some || f.append || sys->stat_now(f.osfd, &st) != 0) return;
  sys->release_behind(f.osfd, st.st_size);
}

} // namespace ef
