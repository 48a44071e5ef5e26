// SPDX-License-Identifier: BSD-2-Clause
// ef_reopen: the file's path opened anew between two calls' bytes, under the same descriptor.
#ifndef EF_REOPENER_HH
#define EF_REOPENER_HH

#include "file.hh"

#include <cstddef>

namespace ef {

// The word: a stream position at which the lane is to change files, or `none`; and whether it is just doing so.
namespace reopen_word {
constexpr std::uint64_t running = std::uint64_t{1} << 63, none = running - 1;
}

// Asks for it: 0 or a negated errno. Any thread with a reference. What was accepted before goes to the old file, what
// is accepted after the return to the new one.
int reopen_file(file &f) noexcept;

// Asked for, and not over yet. seq_cst: pairs with the lane, before it tells EF_OPEN. Any thread.
inline bool reopening(file &f) noexcept { return f.reopen_at.load(std::memory_order_seq_cst) != reopen_word::none; }

// ---- The lane's
// Bytes still to be written to the old file, from the front of the stream; SIZE_MAX: no end is known. To be asked after
// the bytes were gathered.
std::size_t bytes_to_cut(file &f) noexcept;
// The front of the stream is where files change. A failure leaves the old one in use, and is told.
void open_anew(file &f) noexcept;
// The opening itself, with these flags more: 0 or a negated errno, and then the old file is still in use.
int open_path_again(file &f, int more_flags, mode_t mode) noexcept;
// An EF_ERROR that does not stick.
void tell_trouble(file &f, int error) noexcept;
// Nothing will be written any more.
void forget_reopening(file &f) noexcept;

void init_reopening(file &f) noexcept; // a new life

} // namespace ef
#endif
