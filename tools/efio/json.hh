// SPDX-License-Identifier: BSD-2-Clause
// Writes JSON (RFC 8259), one member after the other.
#ifndef EFIO_TOOL_JSON_HH
#define EFIO_TOOL_JSON_HH

#include <cstdint>
#include <string>

namespace tool {

class json {
 public:
  void begin_object(const char *key = nullptr) { begin(key, '{'); }
  void end_object() { end('}'); }
  void begin_array(const char *key = nullptr) { begin(key, '['); }
  void end_array() { end(']'); }

  // Members of an object; in an array key is NULL.
  void text(const char *key, const std::string &value);
  void number(const char *key, double value); // what is not finite is null
  void integer(const char *key, std::uint64_t value);
  void truth(const char *key, bool value);
  void null(const char *key);
  void pair(std::uint64_t first, std::uint64_t second); // an array of two, on one line

  // The whole, with a newline at its end.
  const std::string &finish();

 private:
  void begin(const char *key, char bracket);
  void end(char bracket);
  void place(const char *key);
  std::string out_;
  int depth_ = 0;
  bool first_ = true;
};

} // namespace tool
#endif
