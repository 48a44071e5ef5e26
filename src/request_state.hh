// SPDX-License-Identifier: BSD-2-Clause
// What the library keeps in an ef_request while it is in progress, and how far that is.
#ifndef EF_REQUEST_STATE_HH
#define EF_REQUEST_STATE_HH

#include "engine.hh"
#include "file.hh"

#include <efio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ef {

// none: all zero, as the caller made it, or the event was taken. unheard: over, and nobody will be told. These are the
// caller's. over: its event is on the queue, or about to be. revoked: the caller waits for it, and there is no event.
enum class progress : std::uint32_t { none, unheard, going, over, revoked };

// Its holder: the caller's thread, an engine, the parked list, the queue.
struct request_state {
  io_request io; // first: an engine answers with it
  file_node news;
  file *f;
  ef_request *user;
  const iovec *next; // the first buffer not wholly done
  int buffers;       // from there on
  std::atomic<progress> state;
  std::size_t skip; // bytes of *next that are done
  bool plain;       // the way of the cache mode was refused
  std::size_t did, left;
  std::uint64_t written_before; // stream position of what was accepted before
};
static_assert(sizeof(request_state) <= sizeof ef_request::reserved && alignof(request_state) <= alignof(void *));

inline request_state &state_in(ef_request &q) noexcept { return *reinterpret_cast<request_state *>(q.reserved); }
inline request_state &state_of_io(io_request *r) noexcept { return *reinterpret_cast<request_state *>(r); }
inline request_state &state_of_news(file_node &n) noexcept {
  return *reinterpret_cast<request_state *>(reinterpret_cast<char *>(&n) - offsetof(request_state, news));
}

// A count or a negated errno: told, unless it was revoked. No look at it afterwards.
void end_request(request_state &s, ssize_t result) noexcept;

} // namespace ef
#endif
