// SPDX-License-Identifier: BSD-2-Clause
// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing behind U+10FFFF.
#include "utf8.hh"

#include <cstddef>

namespace tool {
namespace {

unsigned byte(const std::string &text, std::size_t at) {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

// The length of the valid sequence at this place, or 0.
std::size_t sequence(const std::string &text, std::size_t at) {
  unsigned first = byte(text, at);
  if (first < 0x80) return 1;
  std::size_t length = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : 4;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(text, at + i) & 0xc0) != 0x80) return 0;
  unsigned second = byte(text, at + 1);
  bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  bool outside = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return overlong || outside ? 0 : length;
}

} // namespace

std::string valid_utf8(const std::string &text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = sequence(text, at);
    out += length ? text.substr(at, length) : "\xef\xbf\xbd";
    at += length ? length : 1;
  }
  return out;
}

} // namespace tool
