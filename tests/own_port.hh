// SPDX-License-Identifier: BSD-2-Clause
// For tests that have a port each, made before them and freed after them, under the faulty engine.
#ifndef EF_TESTS_OWN_PORT_HH
#define EF_TESTS_OWN_PORT_HH

#include "faulty.hh"

#include "core.hh"

namespace core {

inline ef_port *port; // of the test that runs

inline int start_test(void **) {
  faulty::heal();
  port = ef_port_new(nullptr);
  return port ? 0 : -1;
}
inline int end_test(void **) {
  faulty::heal();
  assert_int_equal(drain(port), 0);
  return ef_port_free(port);
}

// The next event with one of these bits; those before it are passed over.
inline ef_event expect(unsigned bits) {
  for (;;) {
    ef_event e = next(port);
    assert_int_not_equal(e.events, 0);
    if (e.events & bits) return e;
  }
}

} // namespace core

#endif
