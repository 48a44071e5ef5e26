/* SPDX-License-Identifier: BSD-2-Clause */
/* The public headers: each compiles alone, as C11 and as C++20, without a warning; constants have promised values. */
#include "efio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value && *value ? value : otherwise;
}

/* Compiles a file that includes the header and nothing else. Skips a header that this tree or this machine lacks. */
static void compiles_alone(const char *header, const char *compiler, const char *flags) {
  char line[4096];
  const char *sources = setting("S", ".");
  snprintf(line, sizeof line, "%s/include/%s", sources, header);
  if (access(line, R_OK) != 0) skip();
  snprintf(line, sizeof line,
           "echo '#include <%s>' | %s %s -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only -I'%s/include' -",
           header, compiler, flags, sources);
  if (system(line) != 0) fail_msg("%s", line);
}

static void as_c11(const char *header, const char *more) {
  char flags[256];
  snprintf(flags, sizeof flags, "-x c -std=c11 -Wstrict-prototypes %s", more);
  compiles_alone(header, setting("CC", "cc"), flags);
}

static void as_cxx20(const char *header) { compiles_alone(header, setting("CXX", "c++"), "-x c++ -std=c++20"); }

static void efio_hpp_compiles_alone(void **state) {
  (void)state;
  as_cxx20("efio.hpp");
}

static void parts_of_efio_hpp_compile_alone(void **state) {
  static const char *const parts[] = {"result", "port", "request", "file", "ostream", "job"};
  (void)state;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
    char header[64];
    snprintf(header, sizeof header, "efio/%s.hpp", parts[i]);
    as_cxx20(header);
  }
}

static void efio_hpp_compiles_without_exceptions_and_types(void **state) {
  (void)state;
  compiles_alone("efio.hpp", setting("CXX", "c++"), "-x c++ -std=c++20 -fno-exceptions -fno-rtti");
}

static void without(const char *loop) {
  if (strcmp(setting(loop, "yes"), "yes") != 0) skip();
}

static void efio_h_compiles_alone_as_c11(void **state) {
  (void)state;
  as_c11("efio.h", "");
}

static void efio_h_compiles_alone_as_cxx20(void **state) {
  (void)state;
  as_cxx20("efio.h");
}

/* The loops' own headers want more of the C library than strict C11 shows. */
static void efio_ev_h_compiles_alone_as_c11(void **state) {
  (void)state;
  without("HAVE_EV");
  as_c11("efio_ev.h", "-D_DEFAULT_SOURCE");
}

static void efio_ev_h_compiles_alone_as_cxx20(void **state) {
  (void)state;
  without("HAVE_EV");
  as_cxx20("efio_ev.h");
}

static void efio_ev_hpp_compiles_alone(void **state) {
  (void)state;
  without("HAVE_EV");
  as_cxx20("efio_ev.hpp");
}

static void efio_uv_hpp_compiles_alone(void **state) {
  (void)state;
  without("HAVE_UV");
  as_cxx20("efio_uv.hpp");
}

/* A libev without loops to choose from. */
static void efio_ev_hpp_compiles_without_multiplicity(void **state) {
  (void)state;
  without("HAVE_EV");
  compiles_alone("efio_ev.hpp", setting("CXX", "c++"), "-x c++ -std=c++20 -DEV_MULTIPLICITY=0");
}

static void efio_uv_h_compiles_alone_as_c11(void **state) {
  (void)state;
  without("HAVE_UV");
  as_c11("efio_uv.h", "-D_DEFAULT_SOURCE");
}

static void efio_uv_h_compiles_alone_as_cxx20(void **state) {
  (void)state;
  without("HAVE_UV");
  as_cxx20("efio_uv.h");
}

static void event_bits_are_distinct_and_match_the_loops(void **state) {
  static const unsigned bits[] = {EF_READ, EF_WRITE, EF_OPEN, EF_SYNC, EF_CLOSE, EF_ERROR};
  unsigned seen = 0;
  (void)state;
  assert_int_equal(EF_READ, 1);
  assert_int_equal(EF_WRITE, 2);
  for (size_t i = 0; i < sizeof bits / sizeof *bits; ++i) {
    assert_int_equal(bits[i] & (bits[i] - 1), 0);
    assert_int_equal(seen & bits[i], 0);
    seen |= bits[i];
  }
}

static void structures_that_may_grow_begin_with_their_size(void **state) {
  (void)state;
  assert_int_equal(offsetof(ef_port_options, size), 0);
  assert_int_equal(offsetof(ef_file_options, size), 0);
  assert_int_equal(offsetof(ef_file_counters, size), 0);
  assert_int_equal(offsetof(ef_port_counters, size), 0);
}

static void zero_means_the_default_in_options(void **state) {
  (void)state;
  assert_int_equal(EF_ENGINE_AUTO, 0);
  assert_int_equal(EF_FULL_EAGAIN, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(efio_h_compiles_alone_as_c11),
    cmocka_unit_test(efio_h_compiles_alone_as_cxx20),
    cmocka_unit_test(efio_hpp_compiles_alone),
    cmocka_unit_test(parts_of_efio_hpp_compile_alone),
    cmocka_unit_test(efio_hpp_compiles_without_exceptions_and_types),
    cmocka_unit_test(efio_ev_h_compiles_alone_as_c11),
    cmocka_unit_test(efio_ev_h_compiles_alone_as_cxx20),
    cmocka_unit_test(efio_uv_h_compiles_alone_as_c11),
    cmocka_unit_test(efio_uv_h_compiles_alone_as_cxx20),
    cmocka_unit_test(efio_ev_hpp_compiles_alone),
    cmocka_unit_test(efio_ev_hpp_compiles_without_multiplicity),
    cmocka_unit_test(efio_uv_hpp_compiles_alone),
    cmocka_unit_test(event_bits_are_distinct_and_match_the_loops),
    cmocka_unit_test(structures_that_may_grow_begin_with_their_size),
    cmocka_unit_test(zero_means_the_default_in_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
