// Entry point of `ballast`: parse, then run on the chosen collector. Compiled twice: the Boehm collector gets
// an executable of its own, which `--collector boehm` starts by itself.
#include "workloads/ballast/ballast.h"

#ifdef KEEL_FOR_BOEHM
#include "workloads/backends/boehm_backend.h"
#else
#include "workloads/backends/keel_backend.h"
#include "workloads/backends/malloc_backend.h"
#include "workloads/common/boehm_start.h"
#endif

namespace {

using namespace keel;

template <typename B>
int run_on(const CommonOptions& options, const BallastSettings& settings, KeyList keys) {
  Session session("ballast", options);
  if (!options.quiet && options.report_path != "-") {
    std::fprintf(stderr, "ballast: %zu keys (%s)\n", keys.keys.size(), keys.source.c_str());
  }
  return BallastWorkload<B>(session, settings, std::move(keys)).run();
}

}  // namespace

int main(int argc, char** argv) {
  BallastSettings settings;
  OptionParser parser("ballast", "A store that serves requests, with or without a ballast on its heap.");
  parser.size("--live", settings.live_bytes, "live data of the store");
  parser.count("--objects", settings.objects, 1, 1000000, "objects per response");
  parser.count("--object-bytes", settings.object_bytes, 24, 32768, "bytes of each, 24 to 32768");
  parser.real("--replace", settings.replace_percent, 0, 100, "percent of requests that replace an entry");
  parser.size("--stack", settings.stack_bytes,
              "stack that each mutator stands on while it serves, up to 4MiB");
  parser.count("--collections", settings.collections, 0, 1000000,
               "forced collections, spread over --operations");
  parser.count("--rate", settings.rate, 0, 1000000000,
               "open loop: requests per second of all threads; 0: closed");
  parser.text("--keys", settings.keys_file, "file of keys, one a line [Debian's package lists]");
  const CommonOptions options = parser.parse(argc, argv);
  if (settings.collections != 0 && options.operations == 0) {
    exit_bad_input("ballast",
                   "option --collections: " + std::to_string(settings.collections) + " needs --operations");
  }
  if (settings.stack_bytes > 4 * kMiB) {
    exit_bad_input("ballast",
                   "option --stack: " + format_size(settings.stack_bytes) + " is outside [0B, 4MiB]");
  }
  if (settings.live_bytes == 0) exit_bad_input("ballast", "option --live: '0B' is outside [1B, 8388607TiB]");
  Result<KeyList> keys = load_keys(settings.keys_file, options.seed);
  if (!keys) exit_bad_input("ballast", keys.error());
#ifdef KEEL_FOR_BOEHM
  return run_on<BoehmBackend>(options, settings, std::move(keys).value());
#else
  switch (options.collector) {
    case Collector::kBoehm:
    case Collector::kBoehmIncremental:
      start_boehm("ballast", argv);
    case Collector::kMalloc:
      return run_on<MallocBackend>(options, settings, std::move(keys).value());
    case Collector::kKeel:
      break;
  }
  if (options.heap.roots == Roots::kPrecise)
    return run_on<KeelBackend<true> >(options, settings, std::move(keys).value());
  return run_on<KeelBackend<false> >(options, settings, std::move(keys).value());
#endif
}
