// SPDX-License-Identifier: BSD-2-Clause
// The files of efio bench: temporary ones in the user's directory, or the user's own, which is only read.
#ifndef EFIO_TOOL_BENCH_FILES_HH
#define EFIO_TOOL_BENCH_FILES_HH

#include <cstdint>
#include <string>

namespace tool {

class bench_files {
 public:
  bench_files() = default;
  bench_files(const bench_files &) = delete;
  bench_files &operator=(const bench_files &) = delete;
  ~bench_files(); // removes what it made; so do signals before they end the process

  // A directory: makes both files and fills the one to read. A file: that one. "" or what went wrong.
  std::string prepare(const std::string &path, std::uint64_t size);

  const std::string &read_name() const { return read_name_; }
  const std::string &write_name() const { return write_name_; } // "": nothing may be written
  std::uint64_t size() const { return size_; }                  // of the file to read, as far as it is used
  std::uint64_t write_max() const { return write_max_; }        // no test's file grows beyond it

  // Puts the file to read out of the kernel's memory; "" or why it stays there.
  std::string make_cold() const;

 private:
  std::string make(const std::string &directory, std::string *name);
  std::string take_existing(std::uint64_t size_max);
  std::string read_name_, write_name_;
  std::uint64_t size_ = 0, write_max_ = 0;
  bool ours_ = false;
};

} // namespace tool
#endif
