// SPDX-License-Identifier: BSD-2-Clause
// The engine that works everywhere: blocking reads on the reader threads.
#ifndef EF_ENGINE_THREADS_HH
#define EF_ENGINE_THREADS_HH

#include "engine.hh"

namespace ef {

extern const engine engine_threads;

}
#endif
