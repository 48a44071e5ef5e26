// SPDX-License-Identifier: BSD-2-Clause
// A table of objects behind small numbers that go stale: handles as file descriptors, with reference counts, that any
// thread looks up while any other closes.
#ifndef EF_LOCKFREE_SLOT_TABLE_HH
#define EF_LOCKFREE_SLOT_TABLE_HH

#include "index_fifo.hh"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <sys/mman.h>

namespace ef {

// The bounds of a table, and the memory its objects lie in.
struct slot_table_limits {
  static constexpr std::uint32_t slots_max = 1u << 20; // what 20 bits of a handle can name
  static constexpr std::uint32_t block_slots = 256;    // memory comes, and is given back, by so many objects
  static constexpr std::uint32_t reuse_after = 64;     // so many slots wait before one is used again
  static constexpr std::uint32_t discard_after = 32;   // a block gives memory back after so many lives, not each time

  static void *obtain(std::size_t bytes) noexcept { // all zero; NULL: there is none
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : memory;
  }
  static void drop(void *memory, std::size_t bytes) noexcept { munmap(memory, bytes); }
  static void discard(void *memory, std::size_t bytes) noexcept { madvise(memory, bytes, MADV_DONTNEED); }
};

// Contract.
//   A table of static storage is ready before any code runs.
//   handle = generation (11 bits) << 20 | index (20 bits), never negative. A life of a slot:
//     allocate -> publish -> get, put, ... -> close -> the last put answers true -> release.
//   Lock-free, any thread, all of it, except that allocate() asks the system for memory now and then and release() may
//   give some back. get() is one compare-and-swap on the slot's own word.
//   A stale handle answers -EBADF, never another object, until its slot went round 2048 times; slots are used again in
//   the order of their release and only while reuse_after of them wait, so that takes 131,072 lives at least.
//   Words never move or shrink. T: all-zero memory must be a valid inert T; no constructor or destructor runs;
//   allocate() hands out what is there, zero or left by the last life. When no slot of a block is in use, and so many
//   have been that it is worth a system call, its objects' memory goes back to the system; that of the first block
//   never. Of the last slots of a full table some may be refused with -ENFILE while a thread is about that.
template<class T, template<class> class Atom = std::atomic, class Limits = slot_table_limits> class slot_table {
 public:
  slot_table() noexcept = default;
  slot_table(const slot_table &) = delete;
  slot_table &operator=(const slot_table &) = delete;
  ~slot_table() {
    for (std::uint32_t k = 0; k < blocks_max; ++k)
      drop(blocks_[k].load(std::memory_order_relaxed)); // the last thread here
  }

  // A handle that get() does not know yet, and its object; -ENFILE, -ENOMEM. Then publish() it, or release() its index.
  [[nodiscard]] int allocate(T **object) noexcept {
    for (int attempt = 0; attempt < 64; ++attempt) {
      std::int32_t index = pick(attempt > 3);
      if (index < 0) return index;
      block &b = *block_of(index);
      if (!enter(b)) { // its memory is being given back right now
        free_.put(*this, index);
        continue;
      }
      Atom<std::uint64_t> &word = b.words[place(index)];
      std::uint64_t w = word.load(std::memory_order_relaxed); // ours alone, by the queue of free ones
      word.store(w | closed | 1, std::memory_order_relaxed);
      *object = b.objects.load(std::memory_order_relaxed) + index % block_slots;
      return handle(w, index);
    }
    return -ENFILE;
  }

  // The object is ready. It has one reference, which belongs to its being open: the one who closes must put() it.
  void publish(int handle) noexcept {
    std::uint32_t index = index_of(handle);
    Atom<std::uint64_t> &word = word_of(index);
    // release: pairs with the acquire in get(), peek(), close().
    word.store(word.load(std::memory_order_relaxed) & ~closed, std::memory_order_release);
  }

  // 0, the object, and a reference to put(); -EBADF; -ECHILD: of the parent process.
  [[nodiscard]] int get(int handle, T **object) noexcept {
    block *b = block_of(index_of(handle));
    if (!b) return -EBADF;
    Atom<std::uint64_t> &word = b->words[place(handle)];
    std::uint64_t w = word.load(std::memory_order_relaxed);
    do {
      if (int error = refusal(w, handle)) return error;
      // acquire: pairs with publish().
    } while (!word.compare_exchange_weak(w, w + 1, std::memory_order_acquire, std::memory_order_relaxed));
    *object = b->objects.load(std::memory_order_relaxed) + handle % block_slots;
    return 0;
  }

  // The object while it was open at the time of the call, without a reference: NULL if not. For fields that are atomic
  // and that a stale reader may misread.
  T *peek(int handle) noexcept {
    block *b = block_of(index_of(handle));
    if (!b) return nullptr;
    std::uint64_t w = b->words[place(handle)].load(std::memory_order_acquire); // pairs with publish()
    return refusal(w, handle) ? nullptr : b->objects.load(std::memory_order_relaxed) + handle % block_slots;
  }

  bool valid(int handle) const noexcept {
    block *b = block_of(index_of(handle));
    return b && !refusal(b->words[place(handle)].load(std::memory_order_relaxed), handle);
  }

  // One more reference for somebody who has one.
  void add_reference(std::uint32_t index) noexcept { word_of(index).fetch_add(1, std::memory_order_relaxed); }

  // True: that was the last one of a closed slot. The caller ends the object's life and then calls release().
  [[nodiscard]] bool put(std::uint32_t index) noexcept {
    // release, acquire: what was done under a reference is done before the last one sees that it is the last.
    return (word_of(index).fetch_sub(1, std::memory_order_acq_rel) & low) == (closed | 1);
  }

  // 0: closed now, by this call and no other; get() refuses from now on; put() the open reference when done.
  // -EBADF, -ECHILD.
  [[nodiscard]] int close(int handle) noexcept {
    block *b = block_of(index_of(handle));
    if (!b) return -EBADF;
    Atom<std::uint64_t> &word = b->words[place(handle)];
    std::uint64_t w = word.load(std::memory_order_relaxed);
    do {
      if (int error = refusal(w, handle)) return error;
      // acquire: pairs with publish().
    } while (!word.compare_exchange_weak(w, w | closed, std::memory_order_acquire, std::memory_order_relaxed));
    return 0;
  }

  // The slot's life is over, also that of one never published. Its handle is stale from now on.
  void release(std::uint32_t index) noexcept {
    block &b = *block_of(index);
    Atom<std::uint64_t> &word = b.words[place(index)];
    std::uint64_t w = word.load(std::memory_order_relaxed); // ours alone: closed, no references
    word.store((w & ~low) + generation, std::memory_order_relaxed);
    leave(b, index / block_slots);
    free_.put(*this, index);
  }

  // NULL, 0: no slot there, yet.
  T *at(std::uint32_t index) noexcept {
    block *b = block_of(index);
    return b ? b->objects.load(std::memory_order_relaxed) + index % block_slots : nullptr;
  }

  // All indices ever used are below. acquire: pairs with the release in fresh_index(): their blocks are there.
  std::uint32_t high_water() const noexcept { return fresh_.load(std::memory_order_acquire); }

  // The handle of the slot's present life, for walks over the table: get() tells whether it is open.
  int handle_of(std::uint32_t index) const noexcept {
    return handle(block_of(index)->words[place(index)].load(std::memory_order_relaxed), index);
  }

  // In a fork child, before it has a second thread: every slot in use answers -ECHILD from now on and is never given
  // out again. Slots that a thread of the parent was about to free at that moment are lost to the child.
  void mark_inherited() noexcept {
    for (std::uint32_t first = 0; first < high_water(); first += block_slots) {
      block &b = *block_of(first);
      std::uint32_t used = 0;
      for (Atom<std::uint64_t> &word : b.words) {
        std::uint64_t w = word.load(std::memory_order_relaxed);
        if (!(w & low)) continue;
        word.store(w | inherited, std::memory_order_relaxed);
        ++used;
      }
      b.use.store(used, std::memory_order_relaxed); // whoever was at it is not in this process
    }
  }

  // For index_fifo.
  Atom<std::uint64_t> &link(std::uint32_t index) noexcept { return block_of(index)->links[index % block_slots]; }

 private:
  static constexpr std::uint32_t block_slots = Limits::block_slots, blocks_max = Limits::slots_max / block_slots;
  static constexpr std::size_t page = 4096;
  static constexpr std::size_t block_bytes = (block_slots * sizeof(T) + page - 1) / page * page;

  // A word: {generation:32, inherited:1, closed:1, refs:30}. Free: the lower half is 0. Allocated and not published:
  // closed, 1 reference. Closed and on its way to release(): closed, no reference.
  static constexpr std::uint64_t generation = std::uint64_t{1} << 32, low = generation - 1, inherited = 1u << 31,
                                 closed = 1u << 30;
  // A block's use: {lives since its memory was zero, up to discard_after:16, slots in use:16}, or being_discarded.
  static constexpr std::uint32_t being_discarded = 1u << 31, in_use = 0xffff, life = 1u << 16;

  struct block {
    Atom<std::uint64_t> words[block_slots] = {};
    Atom<std::uint64_t> links[block_slots] = {};
    Atom<std::uint32_t> use{0};
    Atom<T *> objects{nullptr};
  };

  // Where in its block a slot's word is: neighbours are not on one cache line, since a few busy files are often
  // neighbours.
  static constexpr std::uint32_t place(std::uint32_t index) noexcept {
    constexpr std::uint32_t lines = block_slots < 64 ? 1 : block_slots / 8;
    return index % block_slots % lines * (block_slots / lines) + index % block_slots / lines;
  }

  static int handle(std::uint64_t w, std::uint32_t index) noexcept {
    return static_cast<int>((w >> 32 & 0x7ff) << 20 | index);
  }
  static std::uint32_t index_of(int handle) noexcept { return static_cast<std::uint32_t>(handle) & 0xfffff; }

  static int refusal(std::uint64_t w, int handle) noexcept {
    if (handle < 0 || (w >> 32 & 0x7ff) != static_cast<std::uint32_t>(handle) >> 20 || !(w & low)) return -EBADF;
    return w & inherited ? -ECHILD : w & closed ? -EBADF : 0;
  }

  // acquire: pairs with the release in grow().
  block *block_of(std::uint32_t index) const noexcept {
    return index < Limits::slots_max ? blocks_[index / block_slots].load(std::memory_order_acquire) : nullptr;
  }
  Atom<std::uint64_t> &word_of(std::uint32_t index) noexcept { return block_of(index)->words[place(index)]; }

  // An index that nobody else has, or -ENFILE, -ENOMEM.
  std::int32_t pick(bool rather_fresh) noexcept {
    std::uint32_t index = index_fifo<Atom>::none;
    if (!rather_fresh && free_.waiting() >= Limits::reuse_after) index = free_.take(*this);
    if (index != index_fifo<Atom>::none) return static_cast<std::int32_t>(index);
    std::int32_t fresh = fresh_index();
    if (fresh < 0) index = free_.take(*this);
    return index != index_fifo<Atom>::none ? static_cast<std::int32_t>(index) : fresh;
  }

  std::int32_t fresh_index() noexcept {
    std::uint32_t f = fresh_.load(std::memory_order_relaxed);
    do {
      if (f == Limits::slots_max) return -ENFILE;
      if (!grow(f / block_slots)) return -ENOMEM;
    } while (!fresh_.compare_exchange_weak(f, f + 1, std::memory_order_release, std::memory_order_relaxed));
    return static_cast<std::int32_t>(f);
  }

  // The block is there, made if need be.
  bool grow(std::uint32_t k) noexcept {
    block *there = blocks_[k].load(std::memory_order_relaxed); // only whether; who looks inside acquires
    if (there) return true;
    block *b = new (std::nothrow) block;
    if (!b) return false;
    void *memory = Limits::obtain(block_bytes);
    b->objects.store(static_cast<T *>(memory), std::memory_order_relaxed);
    // release: pairs with the acquire in block_of().
    if (memory && blocks_[k].compare_exchange_strong(there, b, std::memory_order_release, std::memory_order_relaxed))
      return true;
    drop(b);
    return there; // somebody else was faster
  }

  static void drop(block *b) noexcept {
    T *memory = b ? b->objects.load(std::memory_order_relaxed) : nullptr;
    if (memory) Limits::drop(memory, block_bytes);
    delete b;
  }

  // One more slot of the block in use; false: its memory is being given back.
  bool enter(block &b) noexcept {
    std::uint32_t n = b.use.load(std::memory_order_relaxed), to;
    do {
      if (n == being_discarded) return false;
      to = n + 1 + (n / life < Limits::discard_after ? life : 0);
      // acquire: pairs with the release after a discard.
    } while (!b.use.compare_exchange_weak(n, to, std::memory_order_acquire, std::memory_order_relaxed));
    return true;
  }

  void leave(block &b, std::uint32_t k) noexcept {
    // release: pairs with the acquire below, of another thread: this one is done with its object.
    std::uint32_t n = b.use.fetch_sub(1, std::memory_order_release) - 1;
    if ((n & in_use) || n / life < Limits::discard_after) return;
    // Not while fresh indices come from this block: they would all be refused until the memory is back.
    if (k == 0 || fresh_.load(std::memory_order_relaxed) < (k + 1) * block_slots) return;
    if (!b.use.compare_exchange_strong(n, being_discarded, std::memory_order_acquire, std::memory_order_relaxed))
      return;
    Limits::discard(b.objects.load(std::memory_order_relaxed), block_bytes);
    b.use.store(0, std::memory_order_release); // pairs with enter()
  }

  Atom<block *> blocks_[blocks_max] = {};
  alignas(64) Atom<std::uint32_t> fresh_{0};
  index_fifo<Atom> free_;
};

} // namespace ef
#endif
