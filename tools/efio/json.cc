// SPDX-License-Identifier: BSD-2-Clause
// JSON: commas, indentation, and strings that are valid whatever bytes a file's name has.
#include "json.hh"

#include "utf8.hh"

#include <cmath>
#include <cstdio>

namespace tool {
namespace {

void quote(std::string *out, const std::string &text) {
  *out += '"';
  for (char c : valid_utf8(text)) {
    char escaped[8];
    if (c == '"' || c == '\\')
      *out += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20)
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c), *out += escaped;
    else
      *out += c;
  }
  *out += '"';
}

} // namespace

void json::place(const char *key) {
  if (!first_) out_ += ',';
  if (depth_ > 0) out_ += '\n' + std::string(static_cast<std::size_t>(depth_) * 2, ' ');
  first_ = false;
  if (!key) return;
  quote(&out_, key);
  out_ += ": ";
}

void json::begin(const char *key, char bracket) {
  place(key);
  out_ += bracket;
  ++depth_;
  first_ = true;
}

void json::end(char bracket) {
  --depth_;
  if (!first_) out_ += '\n' + std::string(static_cast<std::size_t>(depth_) * 2, ' ');
  out_ += bracket;
  first_ = false;
}

void json::text(const char *key, const std::string &value) {
  place(key);
  quote(&out_, value);
}

void json::number(const char *key, double value) {
  if (!std::isfinite(value)) return null(key);
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  place(key);
  out_ += digits;
}

void json::integer(const char *key, std::uint64_t value) {
  place(key);
  out_ += std::to_string(value);
}

void json::truth(const char *key, bool value) {
  place(key);
  out_ += value ? "true" : "false";
}

void json::null(const char *key) {
  place(key);
  out_ += "null";
}

void json::pair(std::uint64_t first, std::uint64_t second) {
  place(nullptr);
  out_ += '[' + std::to_string(first) + ", " + std::to_string(second) + ']';
}

const std::string &json::finish() {
  out_ += '\n';
  return out_;
}

} // namespace tool
