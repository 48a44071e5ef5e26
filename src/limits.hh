// SPDX-License-Identifier: BSD-2-Clause
// Every bound of the library in one place: queues, pools, threads, times. Full is an answer, never growth.
#ifndef EF_LIMITS_HH
#define EF_LIMITS_HH

#include <cstddef>
#include <cstdint>

namespace ef::limits {

// NOLINTBEGIN(bugprone-implicit-widening-of-multiplication-result): a constant that overflows does not compile

constexpr std::size_t page_bytes = 4096;

// Chunks. Small enough to stay in the cache when recycled last-in first-out, large enough for one EF_ATOMIC record.
constexpr std::uint32_t chunk_bytes = 64 * 1024;
// The first chunk of a quiet file; every open file may have two. With its slots it fills a page.
constexpr std::uint32_t small_chunk_bytes = 3 * 1024;
constexpr std::uint32_t bytes_per_record = 32;   // a commit slot for so many bytes of a chunk
constexpr std::uint32_t chunks_max = 1u << 21;   // of both kinds: what the index table can name
constexpr std::uint32_t large_chunks_max = 4096; // 256 MiB of large chunks in the process
constexpr std::uint32_t large_chunks_kept = 4;   // kept warm when everything is idle, as small_chunks_kept
constexpr std::uint32_t small_chunks_kept = 16;
constexpr std::uint32_t large_chunks_slab = 16; // taken from the system at a time
constexpr std::uint32_t small_chunks_slab = 64;
constexpr std::uint32_t large_chunks_low = 4; // fewer free ones: take a slab more, in the background

// One call and one write.
constexpr std::size_t atomic_bytes = chunk_bytes;
// After two threads met on a file, so many of its chunks are shared before one is owned by a writer again.
constexpr int shared_chunks = 256;
constexpr int backlog_chunks = 4;                   // so many wake a flusher (or half the budget)
constexpr std::size_t write_call_max = 1024 * 1024; // one ef_write takes at most this
constexpr std::size_t read_call_max = 256 * 1024;   // one ef_read gives at most this: the loop has others to serve
constexpr std::size_t flush_unit = 64 * 1024;       // one pwritev; bigger buffered units cost more CPU per byte
constexpr std::size_t flush_align = 64 * 1024;      // where a unit ends when more follows
constexpr int flush_spans = 64;
constexpr unsigned lanes_max = 16;                  // of a file in the order of threads; more threads share them
constexpr int lane_spans = 2;                       // of a lane in one unit: the rest of a chunk and the next one
constexpr std::size_t lane_bytes_least = 32 * 1024; // a lane with less is passed over while others have more
constexpr int flush_units_a_turn = 64;              // then the file queues again behind the others
constexpr int iov_max = 1024;
constexpr std::int64_t position_max = INT64_MAX - (std::int64_t{1} << 40) + 1; // of streams: what is added to it fits

// Reads.
constexpr int fetch_chunks_max = 8;                  // chunks of one background read
constexpr int fetches_max = 4;                       // background reads of one file under way
constexpr int ahead_chunks_max = 1024;               // 64 MiB under way before they are asked for, in the process
constexpr std::int64_t quick_fetch_ns = 25'000;      // a chunk that came so soon was in memory, or nearly
constexpr std::int64_t drop_bytes = 4 << 20;         // page cache behind a reader is given up in such pieces
constexpr std::int64_t drop_align = 2 << 20;         // of a folio, at most
constexpr std::int64_t cached_look_bytes = 64 << 20; // so much of a file is looked at: was it in the cache before?
constexpr std::size_t inline_min = 4096;             // callers that ask less are served through a chunk
constexpr int hits_to_decay = 4;

// Requests at an offset, and rings.
constexpr int request_spans = 64;                   // buffers of one call of the kernel; the rest follow
constexpr std::size_t request_bytes_max = 1u << 30; // of one buffer in one call; the rest follow
constexpr unsigned ring_entries = 128;              // handed over with one system call
constexpr unsigned ring_completions = 512;          // room for all in flight and their cancels
constexpr int ring_in_flight = 256;
constexpr std::size_t ring_request_max = 256 * 1024; // larger reads are for threads
constexpr int ring_spans = 1024;
constexpr int ring_joined = 16; // neighbours read with one call
constexpr std::size_t ring_joined_bytes = 256 * 1024;
constexpr int probe_tries = 1000;                // of ring_wait_ns, for the first read of all
constexpr int misses_to_trust = 8;               // so many in a row: what is not in memory is not looked for there
constexpr int misses_a_probe = 256;              // but once in so many
constexpr int rings_waited_for = 16;             // of one thread at a time
constexpr std::int64_t ring_wait_ns = 1'000'000; // a waiting owner looks at what is not in the ring so often

// Options.
constexpr std::size_t write_buffer_default = 4u << 20, write_buffer_least = 128 * 1024, write_buffer_most = 256u << 20;
constexpr std::size_t read_ahead_default = 1u << 20, read_ahead_least = 64 * 1024, read_ahead_most = 2u << 20;
constexpr int read_spans_max = read_ahead_most / chunk_bytes + 2 * fetch_chunks_max;
constexpr unsigned flush_interval_default_ms = 200, flush_interval_most_ms = 3600000;

// Dirty pages.
constexpr std::uint64_t write_back_bytes = 8 << 20; // written since the last portion of them
// What is written faster than this is a burst, which memory takes: for a second its pages are left alone.
constexpr std::uint64_t burst_bytes_per_ms = 400'000;
constexpr std::int64_t burst_ns = 1'000'000'000;
constexpr int write_backs_most = 2; // under way in the process
constexpr std::uint64_t preallocate_most = std::uint64_t{1} << 40;

// Rotation.
constexpr unsigned rotate_keep_default = 8, rotate_keep_most = 1000, rotate_seconds_most = 10 * 366 * 86400;
constexpr std::int64_t rotate_retry_ns = 1'000'000'000; // after a rename or open that failed
constexpr std::int64_t rotate_locked_ns = 10'000'000;   // another process is rotating the file

// Marks of dropped writes.
constexpr std::size_t drop_mark_bytes = 512;
constexpr std::int64_t drop_mark_wait_ns = 10'000'000; // ef_close waits so long for one that is being put

// Ports.
constexpr int stale_nodes = 64; // closed files left on a port's list before it is swept

// Threads.
constexpr unsigned queue_order = 12; // jobs a pool's queue takes before the overflow list helps out
constexpr int readers_base = 4, readers_most = 16;
constexpr int flushers_base = 2, flushers_most = 8;
constexpr int flushers_a_device = 5; // so many write to one device; with write_backs_most one is left for others
constexpr int readers_a_device = 10; // so many read from one; the others open, or read elsewhere
constexpr std::int64_t stuck_after_ns = 5'000'000;     // a queue that did not move for so long gets one more thread
constexpr std::int64_t worker_idle_ns = 2'000'000'000; // then a thread that is not the last one leaves
// A flusher that ran out of work looks again so often, so soon, before it has to be woken: waking one costs the writer
// 3 to 10 us, which was half of what a 100-byte write cost on the whole. A backlog can wait for it.
constexpr int flusher_naps = 8;
constexpr std::int64_t nap_ns = 1'000'000;
// More waiters than this are woken by another flusher: waking one takes 2 to 3 us, and the next sync has to begin.
constexpr unsigned wakes_at_once = 16;
constexpr std::size_t thread_stack_bytes = 256 * 1024;

// Times.
constexpr std::int64_t trim_after_ns = 1'000'000'000; // of idleness
constexpr std::int64_t flush_slack_ns = 90'000'000;   // after flush_interval_ms, at most half of it
constexpr std::int64_t tick_ns = 4'000'000;           // resolution of the timekeeper
constexpr std::int64_t retry_commit_ns = 1'000'000;   // look again at a record whose writer was stopped
constexpr std::int64_t retry_pipe_ns = 10'000'000;    // a pipe or terminal that was full
constexpr int exit_drain_ms = 1000;                   // the exit handler waits so long at most
// NOLINTEND(bugprone-implicit-widening-of-multiplication-result)

} // namespace ef::limits
#endif
