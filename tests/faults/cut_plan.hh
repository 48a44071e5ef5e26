// SPDX-License-Identifier: BSD-2-Clause
// What one trial of power_cut does, chosen by its seed; the lines it writes, and the memory that outlives its writer.
#ifndef EF_TESTS_FAULTS_CUT_PLAN_HH
#define EF_TESTS_FAULTS_CUT_PLAN_HH

#include <efio.h>

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>

#include "stress.hh"

namespace cut {

constexpr unsigned files_most = 4, threads_most = 24;

// How a writer learns that a line is durable. The last two are controls: no promise of the library.
enum class way { event, wait, sequence, interval, mixed, dsync, accepted, flushed };
constexpr const char *way_names[] = {"EF_SYNC event", "ef_wait EF_SYNC", "ef_synced_up_to", "durable_interval_ms",
                                     "mixed",         "O_DSYNC",         "accepted",        "flushed"};
constexpr int ways_promised = 6, ways_all = 8;

enum class renaming { none, shifted, named, reopened }; // rotate_keep, rotate, ef_reopen after a rename

struct plan {
  std::uint64_t seed;
  way by;
  bool liar; // control: the library's syncs do nothing
  unsigned files, threads;
  renaming renames;
  int flags;
  bool uring, hop; // hop: a thread writes to all files
  bool wait_for_line;
  unsigned delay_us, pause_us, slow_us, lines_at_once; // slow: the disk answers a sync so much later, at most
  std::uint64_t bytes_most;
  ef_file_options options;
};

// Both counts rise only; acked after the library has said so. Written by the writer, read by the one who cuts.
struct shared {
  std::atomic<int> trouble; // an errno that nobody expected before the cut
  std::atomic<std::uint32_t> said[files_most][threads_most];
  std::atomic<std::uint32_t> acked[files_most][threads_most];
};

inline void choose_renames(plan &p, stress::random &dice) {
  p.renames = static_cast<renaming>(dice.below(4));
  if (p.renames == renaming::shifted || p.renames == renaming::named) {
    p.options.rotate_bytes = 4096u << dice.below(5);
    p.options.rotate_keep = 1000;
    p.bytes_most = std::min(p.bytes_most, 900 * p.options.rotate_bytes); // before any part is rotated away
  }
  if (p.renames == renaming::reopened) p.flags |= O_CREAT;
}

inline plan choose(std::uint64_t trial, int control) { // control: 0 none, else 1..3
  stress::random dice(trial * 64 + static_cast<unsigned>(control));
  plan p{};
  p.seed = dice();
  p.by = static_cast<way>(dice.below(control == 3 ? 5 : ways_promised));
  if (control == 1) p.by = way::accepted;
  if (control == 2) p.by = way::flushed;
  p.liar = control == 3;
  p.files = 1 + static_cast<unsigned>(dice.below(files_most));
  const unsigned crowds[] = {1, 2, 4, 8, threads_most};
  p.threads = crowds[dice.below(5)];
  p.bytes_most = 32 << 20;
  p.flags = O_WRONLY | (dice.below(4) ? O_CREAT : 0) | (dice.below(2) ? O_APPEND : 0);
  if (p.by == way::dsync) p.flags |= dice.below(2) ? O_DSYNC : O_SYNC;
  choose_renames(p, dice);
  p.uring = dice.below(2);
  p.hop = dice.below(2);
  p.wait_for_line = dice.below(4);
  p.delay_us = static_cast<unsigned>(dice.below(1u << (8 + dice.below(7)))); // up to 16 ms, often little
  p.pause_us = dice.below(2) ? 0 : 1u << dice.below(9);
  p.slow_us = dice.below(2) ? 0 : 1u << dice.below(12);
  p.lines_at_once = 1u << dice.below(5);
  ef_file_options &o = p.options;
  o.size = sizeof o;
  o.order = dice.below(2) ? EF_ORDER_CALL : EF_ORDER_THREAD;
  // What is written is a prefix of what was accepted only if there is one order.
  if ((p.by == way::dsync || p.by == way::flushed) && p.threads > 1) o.order = EF_ORDER_CALL;
  o.when_full = dice.below(2) ? EF_FULL_WAIT : EF_FULL_EAGAIN;
  o.write_buffer_max = dice.below(2) ? 128 << 10 : 0;
  o.flush_interval_ms = dice.below(2) ? 1 + static_cast<unsigned>(dice.below(10)) : 0;
  o.preallocate_bytes = dice.below(4) ? 0 : 1 << 20;
  if (p.by == way::interval || (p.by == way::mixed && dice.below(2)))
    o.durable_interval_ms = 1 + static_cast<unsigned>(dice.below(8));
  return p;
}

inline std::string told(const plan &p) {
  char s[400];
  const ef_file_options &o = p.options;
  std::snprintf(
      s, sizeof s,
      "%s%s, %u files, %u threads, renames %d, flags %#o, %s%s, order %d, full %d, buffer %zu, flush %u ms, "
      "durable %u ms, ahead %llu, rotate %llu, cut after %u us%s, pause %u us, syncs %u us slower, %u at once",
      way_names[static_cast<int>(p.by)], p.liar ? " (syncs do nothing)" : "", p.files, p.threads,
      static_cast<int>(p.renames), static_cast<unsigned>(p.flags), p.uring ? "uring" : "threads", p.hop ? ", hop" : "",
      o.order, o.when_full, o.write_buffer_max, o.flush_interval_ms, o.durable_interval_ms,
      static_cast<unsigned long long>(o.preallocate_bytes), static_cast<unsigned long long>(o.rotate_bytes), p.delay_us,
      p.wait_for_line ? " from a line on" : "", p.pause_us, p.slow_us, p.lines_at_once);
  return s;
}

// A line says who wrote it; the rest follows from that, so that whoever finds it knows it to the last byte.
inline std::string line(const plan &p, unsigned file, unsigned thread, std::uint32_t number) {
  std::uint64_t mix = p.seed + file * 0x9e3779b97f4a7c15 + thread * 0xbf58476d1ce4e5b9 + number * 0x94d049bb133111eb;
  mix ^= mix >> 29;
  mix *= 0xbf58476d1ce4e5b9;
  mix ^= mix >> 32;
  char head[64];
  const int n = std::snprintf(head, sizeof head, "%08x f%u t%u n%u %016llx ", static_cast<unsigned>(p.seed), file,
                              thread, number, static_cast<unsigned long long>(mix));
  std::string s(head, static_cast<std::size_t>(n));
  const std::size_t most = mix % 512 == 0 ? 60000 : mix % 32 == 0 ? 4000 : 160;
  const std::size_t more = (mix >> 10) % most;
  for (std::size_t i = 0; i < more; ++i) s += static_cast<char>('a' + (mix >> i % 48) % 26);
  return s += '\n';
}

} // namespace cut
#endif
