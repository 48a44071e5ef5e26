// SPDX-License-Identifier: BSD-2-Clause
// One open file: its states and their table of moves, its two streams, the errors that stick. Lives in a slot of the
// handle table, whose memory is type-stable: all zero is a file that nobody can use.
#ifndef EF_FILE_HH
#define EF_FILE_HH

#include "backlog_age.hh"
#include "device_gate.hh"
#include "drop_marker.hh"
#include "engine.hh"
#include "event_count.hh"
#include "read_stream.hh"
#include "rotation_state.hh"
#include "timekeeper.hh"
#include "worker_pool.hh"
#include "write_stream.hh"

#include <atomic>
#include <cstdint>

namespace ef {

struct port;
struct file;

enum class file_state : std::uint8_t { vacant, opening, open, failed, closed };
// closed: the descriptor is given back, events may still wait. vacant again when the slot is free.
inline bool may_move(file_state from, file_state to) noexcept {
  using enum file_state;
  switch (to) {
  case opening:
    return from == vacant || from == closed;
  case open:
  case failed:
    return from == opening;
  case closed:
    return from == open || from == failed;
  case vacant:
    return from == opening; // ef_open itself went wrong
  }
  return false;
}

// Where the flush lane is: at most one thread flushes, syncs or closes a file at a time.
// ended: the file is closed and everything is written or given up; nothing starts it again.
enum class lane_state : std::uint8_t { idle, queued, running, rerun, ended };
// Where a background read is. The reader moves idle -> running and done -> idle, the engine's completion running ->
// done.
enum class fetch_state : std::uint8_t { idle, running, done };
enum class reading_by : std::uint8_t { nobody, reader, helper };
// What an inline read may use; found out by the first one. Reader's; open() sets the first value.
enum class inline_mode : std::uint8_t { never, nowait, memory };

// readiness word: armed bits (EF_) in the low half, bits ready to be taken in the high half, and whether the file is on
// its port's list. The upper 32 bits count armings and disarmings, so that a swap begun before one fails.
namespace ready_word {
constexpr std::uint64_t listed = 1u << 31, asking = std::uint64_t{1} << 32;
constexpr unsigned ready_shift = 16;
constexpr std::uint64_t bits = 0xff, not_taken = bits | ~(asking - 1);
constexpr std::uint64_t armed_of(std::uint64_t w) { return w & bits; }
constexpr std::uint64_t ready_of(std::uint64_t w) { return w >> ready_shift & bits; }
}

// Where a portion of dirty pages is on its way to the disk. The lane moves idle -> queued -> revoked, the job the rest.
enum class portion_state : std::uint8_t { idle, queued, running, revoked };

// One background read of a file. Reader's but for what its engine has.
struct fetch {
  io_request io; // first: an engine answers with it
  file *of;
  std::atomic<fetch_state> state;
  std::uint32_t place;       // its number
  bool ahead, stale, direct; // asked for by nobody yet; not wanted any more; past the page cache
  std::uint32_t lead;        // bytes before the wanted ones
  std::size_t bytes;
  std::int64_t began;
  int count;
  chunk *chunks[limits::fetch_chunks_max];
  iovec spans[limits::fetch_chunks_max];
};

// A file on somebody's take-all list.
struct file_node {
  ef_list_node node;
  file *owner;
};

struct file {
  // ---- hot: touched by every write
  write_stream out;
  std::atomic<bool> by_thread;            // writes go to lanes (lanes.hh)
  std::atomic<struct write_lane *> lanes; // limits::lanes_max, the slot's for good; null: never needed
  std::atomic<std::uint32_t> lanes_used;  // bits
  std::atomic<bool> dirty; // a flush is bound to come; writers raise it, the lane lowers it. See mark_dirty, lane
  // ---- fixed from open to close, published with the slot
  int handle;
  port *home;
  bool can_read, can_write, append, make_durable_parent;
  int flags, dirfd; // of open; dirfd is ours, or AT_FDCWD
  mode_t mode;
  char *path;                                          // ours; null for adopted descriptors
  std::int64_t flush_interval_ns, durable_interval_ns; // the latter 0: durable when asked for
  int when_full;
  drop_marker drops;
  int window_most;
  // ---- set by the opener before state says open
  int osfd;
  bool seekable, pollable, in_memory;
  std::atomic<device_gates *> gates;      // of what it lies on; null: not open yet. The opener's, then the lane's
  std::atomic<std::int64_t> write_offset; // lane's: where the next written byte goes; -1 before the first look

  std::atomic<file_state> state;
  std::atomic<int> open_error;
  std::atomic<int> failing; // what writers meet: the error that sticks, from just before nothing is accepted any more
  std::atomic<int> error;   // and when nothing is: the error that sticks; first one stays
  std::atomic<int> trouble; // passing write trouble
  std::atomic<int> last_trouble; // what EF_ERROR tells of it, also when it has passed
  std::atomic<int> close_error;

  // ---- readiness (port.cc)
  file_node ready_node;
  std::atomic<std::uint64_t> readiness;
  std::atomic<void *> data;
  std::atomic<int> pins;   // life, listed, three timers, starved: the slot is freed with the last
  event_count<> changed;   // ef_wait sleeps here, ...
  event_count<> served[2]; // ... and here for durability, by the round that will answer: see serving

  // ---- flush lane (flusher.cc)
  backlog_age age;
  job flush_job;
  std::atomic<lane_state> lane;
  timer age_timer, retry_timer, durable_timer;
  std::atomic<bool> aging, retrying, ensuring; // these timers are in
  std::atomic<bool> closing, starved;
  file_node starved_node;
  std::atomic<std::uint64_t> syncs_wanted; // requests so far
  std::atomic<std::uint64_t> tells_wanted; // those of them that want an event
  std::atomic<std::uint64_t> tells_muted;  // up to this one disarmed
  std::uint64_t tells_done;                // the lane's: up to this one told
  std::atomic<std::uint64_t> syncs_done;   // requests answered
  std::atomic<std::uint64_t> syncs_good;   // up to this one all that they asked for is durable
  std::atomic<std::uint64_t> serving;      // those that the latest round of the lane answers, << 1 | its parity
  std::atomic<bool> waking[2];             // these jobs are queued
  job wake_jobs[2];
  unsigned lane_at;                           // the lane's, which goes around: next one of ...
  std::size_t lane_rest;                      // ... whose last unit so many bytes are to be written first
  std::atomic<int> sync_error;                // of the last one done
  std::atomic<std::uint64_t> written, synced; // stream positions
  std::atomic<bool> parent_synced;
  // Opened anew (reopener.cc)
  std::atomic<std::uint64_t> reopen_at; // stream position, a word of its own kind
  std::atomic<bool> reopen_asked;       // somebody is just asking
  std::atomic<int> reopen_error;        // of the last time
  std::atomic<unsigned> reopened;       // a count, of descriptors replaced
  rotation turns;                       // the lane's, but for what is fixed from the open on
  bool left_unsynced;                   // the lane's: bytes in a file before this one, not known to be durable
  std::uint64_t written_at_synced;      // the lane's: of written_at, those known to be durable, or left like that
  std::int64_t space_ahead, space_end; // the lane's: bytes taken ahead, 0 = never; up to this count they are (space.cc)
  // Dirty pages in portions (write_back.cc)
  std::atomic<bool> portions; // the file has such
  std::atomic<portion_state> portion;
  std::atomic<int> portion_error; // pages that the disk refused: the lane has not met it yet
  event_count<> portion_over;
  std::atomic<bool> portion_later; // one is to be begun, also if nothing more is written
  std::uint64_t portion_from;      // the lane's: bytes written when the last one was begun ...
  std::int64_t portion_since;      // ... and when, ns of now_ns()
  job portion_job;
  job open_job, release_job;

  // ---- reading: one reader at a time, who holds `reading`
  std::atomic<reading_by> reading;
  unsigned news_after_turn; // EF_ bits to be told by whoever holds it, once he does no more
  read_stream in;
  std::int64_t position; // of the next byte given to the caller
  int window;            // chunks to be had before they are asked for
  int hits;
  std::uint32_t inline_fill;    // bytes of the next inline read through a chunk
  std::atomic<inline_mode> how; // reader's after open
  int pending_error;            // of a background read, to be told after its bytes
  bool pending_end;             // a background read met the end of file, to be told
  bool end_ahead;               // one that read ahead did: no more of them for now
  bool fetch_waited;            // somebody met EAGAIN because of the oldest one
  std::uint64_t writes_seen;    // those accepted and over when the read stream was filled
  // Background reads, by their number; the first that is not taken over, and the next one (fetcher.cc).
  fetch fetches[limits::fetches_max];
  std::atomic<std::uint32_t> fetch_oldest;
  std::uint32_t fetch_newest;
  int fetch_fresh, fetch_chunks; // of these: whose bytes are wanted; chunks of all
  std::int64_t fetch_end;        // file offset where the next one begins
  std::atomic<int> pattern;      // EF_PATTERN_
  // ---- what reading leaves in the page cache (cache.cc); set by the opener, then the reader's
  int cache_wanted;
  std::atomic<int> cache; // EF_CACHE_ in use
  std::atomic<const char *> cache_reason;
  std::atomic<int> inline_flags; // RWF_, of reads at an offset
  int direct_fd, direct_align;   // second descriptor; bytes
  std::int64_t drop_from, drop_to;
  std::atomic<bool> dropping; // drop_job is under way
  job drop_job;
  std::atomic<std::int64_t> write_end;         // farthest end of bytes accepted before an ef_seek
  std::atomic<std::int64_t> write_base;        // ef_seek: file offset ...
  std::atomic<std::uint64_t> write_base_since; // ... of this stream position

  // ---- requests at an offset (requester.cc)
  std::atomic<int> second_fd; // of a file for appending: without O_APPEND; -1: not opened yet
  ef_list parked;             // until the file is open, or own writes are in it
  std::atomic<int> parked_count;
  std::atomic<int> untaken;                 // over, and on the port's queue
  std::atomic<std::uint32_t> cancels;       // a count
  std::atomic<std::uint32_t> misses_in_row; // inline reads that found nothing; a guess, counts may get lost
  std::atomic<bool> ringable;               // an inline read was understood: a submit will not block the submitter
  std::atomic<std::uint64_t> written_at;    // writes at an offset that are over
  std::atomic<int> writing_at;              // those that are not

  // ---- counters
  std::atomic<std::int64_t> write_began, write_longest_ns; // the lane's: of the system call under way, 0: none; of all
  std::atomic<std::uint64_t> hits_at, misses_at, bytes_at; // of requests at an offset
  std::atomic<std::uint64_t> dropped, dropped_calls, lost, refused_calls, bytes_read, read_hits, read_misses,
      read_background, read_wasted, flushes, syncs;
};

// Its place in the handle table.
inline std::uint32_t slot_of(int handle) noexcept { return static_cast<std::uint32_t>(handle) & 0xfffff; }
inline std::uint32_t slot_of(const file &f) noexcept { return slot_of(f.handle); }

// Checked moves; any thread that is entitled to them by the table of file.hh.
void move_state(file &f, file_state to) noexcept;

// seq_cst: after an arming it must not be an old one; pairs with move_state.
inline file_state state_of(const file &f) noexcept { return f.state.load(std::memory_order_seq_cst); }

// What an event of these bits (EF_) says about the file, 0 or an errno. Any thread.
int error_of(const file &f, unsigned bits) noexcept;

} // namespace ef
#endif
