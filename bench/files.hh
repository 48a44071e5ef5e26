// SPDX-License-Identifier: BSD-2-Clause
// Files to measure with: made with known contents, warmed, made cold.
#ifndef EF_BENCH_FILES_HH
#define EF_BENCH_FILES_HH

#include <cstddef>
#include <cstdint>
#include <string>

namespace bench {

// What is known of a file's bytes: their number, the sum of their 64-bit words, and the sum of those sums, which tells
// their order.
class checksum {
 public:
  void add(const char *data, std::size_t n); // pieces of any size, in order
  bool operator==(const checksum &) const = default;
  std::uint64_t bytes = 0, sum = 0, sums = 0;

 private:
  void add_word(std::uint64_t word) {
    sum += word;
    sums += sum;
  }
  std::uint64_t partial_ = 0; // the word that is not complete
};

// Writes size bytes of pseudo-random contents, durably. Ends the program with a message if it cannot.
checksum make_file(const std::string &path, std::size_t size);

// What such a file holds at any place is known: says whether pieces of it are right without the price of looking at
// every byte of each, which would be felt in what is measured.
class piece_checker {
 public:
  bool right(const char *data, std::size_t n, std::size_t at); // its ends; now and then the whole of it

 private:
  static constexpr unsigned whole_every = 64;
  unsigned pieces_ = 0;
};

// The size wanted, or half of it as often as it takes to leave room in the directory.
std::size_t size_that_fits(const std::string &directory, std::size_t wanted, std::size_t least);

// The share of the file's pages that are in the page cache; negative: it cannot be told.
double cached_share(const std::string &path);

// Reads the whole file / throws it out of the page cache, and says whether that came true.
bool make_cached(const std::string &path);
bool make_cold(const std::string &path);

std::size_t file_size(const std::string &path); // 0 if there is none

std::string program_directory(); // where the running program is

// A directory of our own below parent; empty: it cannot be made.
std::string make_directory(const std::string &parent);
void remove_directory(const std::string &path);

} // namespace bench
#endif
