// SPDX-License-Identifier: BSD-2-Clause
// ef::print: formats by {fmt} on the stack of the caller, and hands the text to ef_write in one piece.
#ifndef EFIO_PRINT_HPP
#define EFIO_PRINT_HPP

#include <efio.hpp>

#include <fmt/format.h>

#include <iterator>

namespace ef {

// The count of bytes, or would_block() where the file's budget is full: then nothing was taken. What is printed by one
// call, up to 64 KiB, is whole and in one piece in the file, whoever else prints. Longer than 512 bytes, it is
// formatted on the heap. Any thread. The format is checked when it is compiled.
template<class... Args> result<std::size_t> print(const file &to, fmt::format_string<Args...> format, Args &&...args) {
  fmt::basic_memory_buffer<char, 512> text;
  fmt::format_to(std::back_inserter(text), format, std::forward<Args>(args)...);
  return to.write(std::string_view(text.data(), text.size()));
}

} // namespace ef
#endif
