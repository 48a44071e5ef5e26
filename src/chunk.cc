// SPDX-License-Identifier: BSD-2-Clause
// Slabs of chunks: headers apart from data, so that data pages can go back to the system while headers stay for ever.
#include "chunk.hh"

#include "limits.hh"

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <new>

namespace ef {

struct chunk_pool::pooled {
  alignas(128) chunk c;
  alignas(16) ef_free_node node;
  slab *home;
  pooled *gathered; // trim's: the next one of its slab
};

// Chunks that came from the system together, and may go back together. Never freed itself.
struct chunk_pool::slab {
  alignas(16) ef_free_node node; // in kind::slabs
  pooled *headers;
  unsigned char *memory;
  std::uint32_t first, count;
  std::uint64_t generation; // no lower one may be used when the headers come back
  pooled *gathered;         // trim's: free ones found, how many, and the next slab with some
  std::uint32_t gathered_count;
  slab *next;
  slab *older; // made before this one
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
    k.hot_count.fetch_sub(1, std::memory_order_seq_cst);
    return &of(n)->c;
  }
  ef_free_node *n = ef_free_list_pop(&k.cold);
  if (!n) return nullptr;
  bytes_.fetch_add(stride_of(k.large), std::memory_order_relaxed);
  return &of(n)->c;
}

chunk *chunk_pool::take(kind &k) noexcept {
  for (;;) {
    if (chunk *c = pop(k)) return c;
    if (!revive_slab(k) && !add_slab(k, false)) return pop(k); // another thread may have added the last one
  }
}

chunk *chunk_pool::take_large() noexcept {
  chunk *c = take(large_);
  if (c && large_.hot_count.load(std::memory_order_relaxed) < limits::large_chunks_low && may_take_large())
    on_low_(arg_);
  return c;
}

chunk *chunk_pool::take_large_at_hand() noexcept {
  chunk *c = pop(large_);
  if (!c && may_take_large()) on_low_(arg_);
  return c;
}

chunk *chunk_pool::take_small() noexcept { return take(small_); }

void chunk_pool::give(chunk *c) noexcept {
  pooled *p = of(c);
  kind &k = p->c.bytes_max == limits::chunk_bytes ? large_ : small_;
  k.hot_count.fetch_add(1, std::memory_order_seq_cst);
  ef_free_list_push(&k.hot, &p->node);
  on_return_(arg_);
}

bool chunk_pool::may_take_large() const noexcept {
  return large_.hot_count.load(std::memory_order_seq_cst) > 0 || !at_bound() || !ef_free_list_empty(&large_.cold) ||
         !ef_free_list_empty(&large_.slabs);
}

bool chunk_pool::at_bound() const noexcept {
  return large_.taken.load(std::memory_order_relaxed) >= limits::large_chunks_max;
}

// Maps a slab and puts its chunks on the free list. False: the bound, or no memory.
bool chunk_pool::add_slab(kind &k, bool touch) noexcept {
  const std::uint32_t count = k.large ? limits::large_chunks_slab : limits::small_chunks_slab;
  const std::uint32_t most = k.large ? limits::large_chunks_max : limits::chunks_max - limits::large_chunks_max - 1;
  if (k.taken.fetch_add(count, std::memory_order_relaxed) + count > most) {
    k.taken.fetch_sub(count, std::memory_order_relaxed);
    return false;
  }
  const std::size_t stride = stride_of(k.large);
  auto *s = new (std::nothrow) slab{};
  if (s) s->headers = static_cast<pooled *>(map(count * sizeof(pooled)));
  if (s && s->headers) s->memory = static_cast<unsigned char *>(map(count * stride));
  if (!s || !s->memory) {
    if (s && s->headers) ::munmap(s->headers, count * sizeof(pooled));
    delete s;
    k.taken.fetch_sub(count, std::memory_order_relaxed);
    return false;
  }
  s->first = indices_.fetch_add(count, std::memory_order_relaxed); // `most` keeps it in the table
  s->count = count;
  s->older = newest_.load(std::memory_order_relaxed);
  while (!newest_.compare_exchange_weak(s->older, s, std::memory_order_relaxed)) {}
  // Pre-faulted in the background, so that no writer pays for a first touch. Advice: failing costs speed only.
  // A chunk at a time: page faults of other threads wait for it when a third one maps something.
  for (std::uint32_t i = 0; touch && i < count; ++i) ::madvise(s->memory + i * stride, stride, MADV_POPULATE_WRITE);
  fill(k, *s);
  return true;
}

// A slab whose headers went back: they come again, with generations that no stale writer can have seen.
bool chunk_pool::revive_slab(kind &k) noexcept {
  ef_free_node *n = ef_free_list_pop(&k.slabs);
  if (!n) return false;
  fill(k, *reinterpret_cast<slab *>(n));
  return true;
}

void chunk_pool::fill(kind &k, slab &s) noexcept {
  const std::size_t stride = stride_of(k.large), data = k.large ? limits::chunk_bytes : limits::small_chunk_bytes;
  bytes_.fetch_add(s.count * stride, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < s.count; ++i) {
    pooled &p = s.headers[i]; // zero pages; a stale writer reads its state only, until it sees its own generation there
    p.home = &s;
    p.c.index = s.first + i;
    p.c.bytes_max = static_cast<std::uint32_t>(data);
    p.c.records_max = static_cast<std::uint32_t>(data / limits::bytes_per_record);
    p.c.data = s.memory + i * stride;
    p.c.slots = reinterpret_cast<std::atomic<std::uint64_t> *>(p.c.data + data);
    p.c.state.store(chunk_word::state(s.generation, 0, 0) | chunk_word::sealed, std::memory_order_release);
    table_[s.first + i].store(&p.c, std::memory_order_release); // pairs with at()
    k.hot_count.fetch_add(1, std::memory_order_seq_cst);
    ef_free_list_push(&k.hot, &p.node);
  }
  on_return_(arg_); // who was refused meanwhile
}

void chunk_pool::refill() noexcept {
  if (large_.hot_count.load(std::memory_order_relaxed) < limits::large_chunks_low) add_slab(large_, true);
}

// Takes the free chunks off their list, sorted by slab. Who wants a chunk meanwhile gets one of another slab.
chunk_pool::slab *chunk_pool::gather_free(kind &k) noexcept {
  slab *found = nullptr;
  while (ef_free_node *n = ef_free_list_pop(&k.hot)) {
    k.hot_count.fetch_sub(1, std::memory_order_seq_cst);
    pooled *p = of(n);
    slab &s = *p->home;
    if (s.gathered_count++ == 0) {
      s.next = found;
      found = &s;
    }
    p->gathered = s.gathered; // not node.next: a thread that lost the race for p may still look at that
    s.gathered = p;
  }
  return found;
}

// Gives memory of a slab's gathered chunks back, unless they are still to be kept; headers, too, if none is in use.
void chunk_pool::discard(kind &k, slab &s, std::uint32_t *keep) noexcept {
  const std::size_t stride = stride_of(k.large);
  const bool whole = s.gathered_count == s.count && *keep == 0;
  for (pooled *p = s.gathered, *next; p; p = next) {
    next = p->gathered;
    if (*keep > 0) {
      --*keep;
      k.hot_count.fetch_add(1, std::memory_order_seq_cst);
      ef_free_list_push(&k.hot, &p->node);
      continue;
    }
    bytes_.fetch_sub(stride, std::memory_order_relaxed);
    std::uint64_t generation = chunk_word::generation_of(p->c.state.load(std::memory_order_relaxed));
    if (generation > s.generation) s.generation = generation;
    if (whole) continue;
    // Slots read as zero afterwards: no generation is 0, so they look uncommitted.
    ::madvise(p->c.data, stride, MADV_DONTNEED);
    ef_free_list_push(&k.cold, &p->node);
  }
  s.gathered = nullptr;
  s.gathered_count = 0;
  if (!whole) return;
  ::madvise(s.memory, s.count * stride, MADV_DONTNEED);
  ::madvise(s.headers, s.count * sizeof(pooled), MADV_DONTNEED);
  ef_free_list_push(&k.slabs, &s.node);
}

void chunk_pool::trim(kind &k, std::uint32_t keep) noexcept {
  for (slab *s = gather_free(k), *next; s; s = next) {
    next = s->next;
    discard(k, *s, &keep);
  }
}

// More than twice what is kept: not worth a system call before.
bool chunk_pool::worth_trimming() const noexcept {
  return large_.hot_count.load(std::memory_order_relaxed) > 2 * limits::large_chunks_kept ||
         small_.hot_count.load(std::memory_order_relaxed) > 2 * limits::small_chunks_kept;
}

void chunk_pool::trim() noexcept {
  trim(large_, limits::large_chunks_kept);
  trim(small_, limits::small_chunks_kept);
  on_return_(arg_); // meanwhile there were none to be had
}

} // namespace ef
