// SPDX-License-Identifier: BSD-2-Clause
// Readiness: which files have news, one queue per event loop, and the one call that wakes the loop.
#ifndef EF_PORT_HH
#define EF_PORT_HH

#include "engine.hh"
#include "event_count.hh"
#include "file.hh"
#include "take_all_list.h"

#include <efio.h>

#include <atomic>
#include <cstdint>

namespace ef {

struct port_callback {
  ef_wake_fn *wake;
  ef_notify_fn *notify;
  void *arg;
};

enum class form_of_news : int { queued, waking, direct };

struct port {
  ef_list ready; // file_node, pushed by anybody
  // Taken and not yet handed out: the drainer's. Atomic because others look whether there is something.
  std::atomic<ef_list_node *> pending;
  std::atomic<int> draining;   // nobody, owner or sweeper: who has `pending`
  std::atomic<int> stale;      // closed files on the list that have nothing to tell
  engine_port at;              // its event_fd: -1 until asked for
  std::atomic<bool> signalled; // event_fd is readable, because of us
  std::atomic<bool> abandoned;
  // The callback in use is one of two, so that it can be swapped whole; `calling` counts calls in progress.
  std::atomic<form_of_news> form; // what the callback is; the callback itself is read under `calling` only
  port_callback callbacks[2];
  std::atomic<port_callback *> callback;
  std::atomic<int> calling;
  event_count<> quiet;         // told when calling reaches 0
  std::atomic<bool> changing;  // somebody replaces the callback
  std::atomic<int> references; // the owner's and one a file; the last one frees
  std::atomic<int> files;      // open or closing
  std::atomic<int> busy;       // files with bytes to write, or closing
  event_count<> drained;       // told when busy reaches 0
  const engine *engine_used;
  const char *engine_reason;
  unsigned epoch; // of fork_epoch when it was made
  std::atomic<std::uint64_t> events, wakes;
};

port *port_make(const ef_port_options &options, int *error) noexcept; // null: *error is a negated errno
void port_reference(port &p) noexcept;
void port_release(port &p) noexcept;

// Tells of bits: those armed become ready, once; EF_ERROR and EF_SYNC always. seq_cst throughout: what the bits stand
// for was stored before, and whoever arms looks for it afterwards. Any thread with a reference, or a pin, on the file.
// sync: EF_SYNC answers the requests for it up to this number, unless they were disarmed; 0: none.
void post(file &f, unsigned bits, std::uint64_t sync = 0) noexcept;
void arm(file &f, unsigned bits) noexcept;
void disarm(file &f, unsigned bits) noexcept; // and takes back what was not handed out
inline bool armed(const file &f, unsigned bits) noexcept {
  return ready_word::armed_of(f.readiness.load(std::memory_order_seq_cst)) & bits; // pairs with arm()
}

// Keeps the slot (not the descriptor) from being reused.
inline void pin(file &f) noexcept { f.pins.fetch_add(1, std::memory_order_relaxed); }
void unpin(file &f) noexcept;

// A closed file is on the port's list with nothing to tell: nobody may ever drain the port (callers of ef_wait need
// not), so the list is swept when many of them have come together or the port has nothing else to do.
void note_stale(file &f) noexcept;

// The node of a request that is over, see requester.hh; owner null marks it. The caller holds a reference to the port.
void post_request(port &p, file_node &n) noexcept;
// Off the queue again. False: it is not there, or somebody drains the port just now.
bool take_back(port &p, const file_node &n) noexcept;

int port_next(port &p, ef_event *out, int max) noexcept;
int port_submit(port &p) noexcept;
int port_pending(port &p) noexcept;
// The calling thread, if it is the owner, lets its misses come together; at the end they are handed in. False: it is
// not.
bool port_gather(port &p, bool on) noexcept;
// Ends what the calling thread has under way in the port's engine, if it is the owner. Blocking: a disk.
void port_end_turns(port &p) noexcept;
int port_event_fd(port &p) noexcept;
int port_set_callback(port &p, port_callback c) noexcept;
void port_abandon(port &p) noexcept;
// Waits until no callback of the port runs; at once if called from within one, of any port.
void port_quiesce(port &p) noexcept;

void port_busy(port &p) noexcept;     // one file more has bytes to write
void port_not_busy(port &p) noexcept; // one less

} // namespace ef
#endif
