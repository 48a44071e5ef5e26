// SPDX-License-Identifier: BSD-2-Clause
// For libFuzzer (https://llvm.org/docs/LibFuzzer.html): its bytes are the choices of a world of calls and failures,
// whose answers a model checks. `make fuzz`; what it finds, and the corpus, tests/stress_world FILE... plays again.
#include "call_world.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t n) {
  static const std::string dir = [] {
    faulty::install_for_requests();
    return core::directory("/dev/shm");
  }();
  core::live(dir, core::call_dice(bytes, n));
  return 0;
}
