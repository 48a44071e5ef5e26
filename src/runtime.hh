// SPDX-License-Identifier: BSD-2-Clause
// What the C face needs beyond files and ports: the default port, draining, the end of the process.
#ifndef EF_RUNTIME_HH
#define EF_RUNTIME_HH

#include "port.hh"

namespace ef {

// The port itself, or the default one for null (made on first use); null: *error, a negated errno (-ECHILD: made before
// a fork).
port *resolve_port(ef_port *given, int *error) noexcept;
bool is_default_port(const port &p) noexcept;

// Starts flushing the files of a port (null: of all) and waits until none has bytes left or is closing: 0 or
// -ETIMEDOUT.
int drain(port *p, int timeout_ms) noexcept;

// Registers the exit handler, once.
void drain_at_exit() noexcept;

} // namespace ef
#endif
