// What is fuzzed: one function per reader of what others wrote. docs/fuzzing.md says how to run them.
//
// A target takes any bytes, and must come back: with a result or with an error in words. It must not crash,
// hang, leak, or take more memory than its bound allows; the fuzzer (workloads/fuzz/fuzzer.cc) and the replay
// of the corpus (workloads/fuzz/replay.cc) watch it do so.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace keel {

struct FuzzTarget {
  const char* name;
  void (*run)(std::string_view input);
  /// Live bytes at the worst moment: at most `base_bytes` and this many for each byte of input.
  size_t base_bytes;
  size_t bytes_per_byte;
};

/// gctrace, jvm, boehm, events (each as a log of its format), auto (the format is found), report (all that
/// gcreport reads from a report: validate, summary, compare, every export), gcreport-options.
const std::vector<FuzzTarget>& report_fuzz_targets();

}  // namespace keel
