/* SPDX-License-Identifier: BSD-2-Clause */
/* Preloaded into a test program: of its cmocka tests those run whose names fit EFIO_ONLY. For tools/defects.sh. */
#include <stdlib.h>

void cmocka_set_test_filter(const char *pattern);

__attribute__((constructor)) static void choose(void) {
  const char *pattern = getenv("EFIO_ONLY");
  if (pattern) cmocka_set_test_filter(pattern);
}
