// SPDX-License-Identifier: BSD-2-Clause
// A file to try things on, in the user's directory, gone afterwards.
#ifndef EFIO_TOOL_TEMPORARY_FILE_HH
#define EFIO_TOOL_TEMPORARY_FILE_HH

#include <cstdint>
#include <string>

namespace tool {

// A descriptor of a new file without a name in the directory, for reading and writing, or a negated errno.
int unnamed_file(const std::string &directory);

// A second, independent descriptor of an open file, also of one without a name, or a negated errno.
int reopen(int fd, int flags);

// Fills a file from offset on with bytes that do not compress, or a negated errno.
int fill(int fd, std::uint64_t offset, std::uint64_t size);

} // namespace tool
#endif
