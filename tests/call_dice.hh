// SPDX-License-Identifier: BSD-2-Clause
// Where a random mix of calls gets its choices from: a seed, or the bytes of a fuzzer, which can learn from them.
#ifndef EF_TESTS_CALL_DICE_HH
#define EF_TESTS_CALL_DICE_HH

#include "stress.hh"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace core {

// Copies share the bytes, if there are any; after the last of them every choice is the first one.
class call_dice {
 public:
  explicit call_dice(std::uint64_t number) : random_(number) {}
  call_dice(const std::uint8_t *bytes, std::size_t n) : random_(0), from_(std::make_shared<span>(span{bytes, n})) {}

  std::uint64_t below(std::uint64_t n) {
    if (!from_) return random_.below(n);
    std::uint64_t v = 0;
    for (std::uint64_t range = 1; range < n; range <<= 8) v = v << 8 | next();
    return v % n;
  }
  bool over() const { return from_ && from_->n == 0; }

 private:
  struct span {
    const std::uint8_t *at;
    std::size_t n;
  };
  std::uint8_t next() { return from_->n ? --from_->n, *from_->at++ : std::uint8_t{0}; }

  stress::random random_;
  std::shared_ptr<span> from_;
};

} // namespace core
#endif
