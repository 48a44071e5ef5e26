// SPDX-License-Identifier: BSD-2-Clause
// Slabs of chunks: headers apart from data, so that data pages can go back to the system while headers stay for ever.
#include "chunk.hh"

#include "limits.hh"

#include <sys/mman.h>

#include <cerrno>
#include <new>

namespace ef {

struct chunk_pool::pooled {
  alignas(128) chunk c;
  alignas(16) ef_free_node node;
  bool large;
};

namespace {

void *map(std::size_t bytes) noexcept {
  void *p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : p;
}

constexpr std::size_t slot_bytes(std::size_t data) { return data / limits::bytes_per_record * sizeof(std::uint64_t); }
constexpr std::size_t memory_of(bool large) {
  std::size_t data = large ? limits::chunk_bytes : limits::small_chunk_bytes;
  return data + slot_bytes(data);
}
// Whole pages: madvise() must not touch the neighbour.
constexpr std::size_t stride_of(bool large) {
  return (memory_of(large) + limits::page_bytes - 1) / limits::page_bytes * limits::page_bytes;
}

} // namespace

chunk_pool::pooled *chunk_pool::of(chunk *c) noexcept {
  static_assert(offsetof(pooled, c) == 0);
  return reinterpret_cast<pooled *>(c);
}

chunk_pool::pooled *chunk_pool::of(ef_free_node *n) noexcept {
  return reinterpret_cast<pooled *>(reinterpret_cast<char *>(n) - offsetof(pooled, node));
}

int chunk_pool::init(void (*on_return)(void *), void (*low)(void *), void *arg) noexcept {
  on_return_ = on_return;
  on_low_ = low;
  arg_ = arg;
  table_ = static_cast<std::atomic<chunk *> *>(map(limits::chunks_max * sizeof(std::atomic<chunk *>)));
  return table_ ? 0 : -ENOMEM;
}

std::uint64_t chunk_pool::bytes_max() noexcept {
  return std::uint64_t{limits::large_chunks_max} * stride_of(true) +
         std::uint64_t{limits::chunks_max} * stride_of(false);
}

chunk *chunk_pool::pop(kind &k) noexcept {
  if (ef_free_node *n = ef_free_list_pop(&k.hot)) {
    k.hot_count.fetch_sub(1, std::memory_order_relaxed);
    return &of(n)->c;
  }
  ef_free_node *n = ef_free_list_pop(&k.cold);
  if (!n) return nullptr;
  bytes_.fetch_add(stride_of(of(n)->large), std::memory_order_relaxed);
  return &of(n)->c;
}

chunk *chunk_pool::take_large() noexcept {
  for (;;) {
    if (chunk *c = pop(large_)) {
      if (large_.hot_count.load(std::memory_order_relaxed) < limits::large_chunks_low && may_take_large())
        on_low_(arg_);
      return c;
    }
    if (!add_slab(large_, true, false)) return pop(large_); // another thread may have added the last one
  }
}

chunk *chunk_pool::take_small() noexcept {
  for (;;) {
    if (chunk *c = pop(small_)) return c;
    if (!add_slab(small_, false, false)) return pop(small_);
  }
}

void chunk_pool::give(chunk *c) noexcept {
  pooled *p = of(c);
  kind &k = p->large ? large_ : small_;
  k.hot_count.fetch_add(1, std::memory_order_relaxed);
  ef_free_list_push(&k.hot, &p->node);
  on_return_(arg_);
}

bool chunk_pool::may_take_large() const noexcept {
  return large_.hot_count.load(std::memory_order_relaxed) > 0 ||
         large_.taken.load(std::memory_order_relaxed) < limits::large_chunks_max;
}

// Maps a slab and puts its chunks on the free list. False: the bound, or no memory.
bool chunk_pool::add_slab(kind &k, bool large, bool touch) noexcept {
  const std::uint32_t count = large ? limits::large_chunks_slab : limits::small_chunks_slab;
  const std::uint32_t most = large ? limits::large_chunks_max : limits::chunks_max - limits::large_chunks_max;
  if (k.taken.fetch_add(count, std::memory_order_relaxed) + count > most) {
    k.taken.fetch_sub(count, std::memory_order_relaxed);
    return false;
  }
  const std::size_t stride = stride_of(large), data = large ? limits::chunk_bytes : limits::small_chunk_bytes;
  auto *headers = static_cast<pooled *>(map(count * sizeof(pooled)));
  auto *memory = static_cast<unsigned char *>(headers ? map(count * stride) : nullptr);
  std::uint32_t first = memory ? indices_.fetch_add(count, std::memory_order_relaxed) : limits::chunks_max;
  if (first + count > limits::chunks_max) {
    if (headers) ::munmap(headers, count * sizeof(pooled));
    if (memory) ::munmap(memory, count * stride);
    k.taken.fetch_sub(count, std::memory_order_relaxed);
    return false;
  }
  // Pre-faulted in the background, so that no writer pays for a first touch. Advice: failing costs speed only.
  if (touch) ::madvise(memory, count * stride, MADV_POPULATE_WRITE);
  bytes_.fetch_add(count * stride, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < count; ++i) {
    pooled *p = new (&headers[i]) pooled{};
    p->large = large;
    p->c.index = first + i;
    p->c.bytes_max = static_cast<std::uint32_t>(data);
    p->c.records_max = static_cast<std::uint32_t>(data / limits::bytes_per_record);
    p->c.data = memory + i * stride;
    p->c.slots = reinterpret_cast<std::atomic<std::uint64_t> *>(p->c.data + data);
    table_[first + i].store(&p->c, std::memory_order_release); // pairs with at()
    k.hot_count.fetch_add(1, std::memory_order_relaxed);
    ef_free_list_push(&k.hot, &p->node);
  }
  return true;
}

void chunk_pool::refill() noexcept {
  if (large_.hot_count.load(std::memory_order_relaxed) < limits::large_chunks_low) add_slab(large_, true, true);
}

void chunk_pool::trim(kind &k, std::uint32_t keep) noexcept {
  while (k.hot_count.load(std::memory_order_relaxed) > keep) {
    ef_free_node *n = ef_free_list_pop(&k.hot);
    if (!n) return;
    k.hot_count.fetch_sub(1, std::memory_order_relaxed);
    pooled *p = of(n);
    // Slots read as zero afterwards: no generation is 0, so they look uncommitted.
    ::madvise(p->c.data, stride_of(p->large), MADV_DONTNEED);
    bytes_.fetch_sub(stride_of(p->large), std::memory_order_relaxed);
    ef_free_list_push(&k.cold, n);
  }
}

void chunk_pool::trim() noexcept {
  trim(large_, limits::large_chunks_kept);
  trim(small_, limits::small_chunks_kept);
}

} // namespace ef
