// libFuzzer's side: fuzz --target=NAME [libFuzzer's flags] CORPUS. scripts/fuzz starts it.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "workloads/fuzz/options_target.h"
#include "workloads/fuzz/watched.h"

namespace {

keel::FuzzTarget g_target{};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    const std::string argument = (*argv)[i];
    if (!argument.starts_with("--target=")) continue;
    for (const keel::FuzzTarget& target : keel::all_fuzz_targets()) {
      if (argument.substr(9) == target.name) g_target = target;
    }
  }
  if (g_target.run != nullptr) return 0;
  std::fputs("fuzz: --target=NAME is needed, NAME one of:", stderr);
  for (const keel::FuzzTarget& target : keel::all_fuzz_targets()) std::fprintf(stderr, " %s", target.name);
  std::fputs("\n", stderr);
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keel::run_watched(g_target, {reinterpret_cast<const char*>(data), size});
  return 0;
}
