// SPDX-License-Identifier: BSD-2-Clause
// Names of files are bytes; JSON and SVG are UTF-8.
#ifndef EFIO_TOOL_UTF8_HH
#define EFIO_TOOL_UTF8_HH

#include <string>

namespace tool {

// The text with U+FFFD for each byte that belongs to no valid sequence.
std::string valid_utf8(const std::string &text);

} // namespace tool
#endif
