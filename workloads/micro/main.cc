// The microbenchmarks' main: Google Benchmark with the defaults that a comparison needs (interleaved at
// random, repeated, aggregates shown) put before the user's flags, which win; and with what ran in the
// context.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <vector>

#include "reports/recorder/build_facts.h"
#include "workloads/micro/other_collectors.h"

int main(int argc, char** argv) {
  std::vector<std::string> words = {argv[0], "--benchmark_enable_random_interleaving=true",
                                    "--benchmark_repetitions=5", "--benchmark_report_aggregates_only=true",
                                    "--benchmark_min_time=0.2"};
  words.insert(words.end(), argv + 1, argv + argc);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  int count = static_cast<int>(pointers.size());
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;
  benchmark::AddCustomContext("keel_commit", keel::kCommit);
#ifdef KEEL_MICRO_BOEHM
  keel::micro::start_boehm_beside();
  benchmark::AddCustomContext("boehm_markers", std::to_string(keel::micro::boehm_markers()));
#else
  std::fprintf(stderr, "micro: built without Boehm's collector (libgc-dev)\n");
#endif
  if (!keel::micro::mimalloc().present())
    std::fprintf(stderr, "micro: mimalloc is not installed (libmimalloc-dev)\n");
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
