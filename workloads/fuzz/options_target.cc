// See options_target.h.
#include "workloads/fuzz/options_target.h"

#include <sstream>

#include "allocator/base/check.h"
#include "workloads/common/options.h"

namespace keel {
namespace {

// One argument a line.
void workload_options(std::string_view input) {
  std::vector<std::string> arguments;
  std::istringstream lines{std::string(input)};
  for (std::string line; std::getline(lines, line);) arguments.push_back(line);
  OptionParser parser("fuzzed", "a workload");
  uint64_t live = 0;
  int64_t hold = 0;
  uint64_t objects = 1;
  double share = 0;
  std::string keys;
  bool precise = false;
  bool keep = true;
  parser.size("--live", live, "a size");
  parser.duration("--hold", hold, "a duration");
  parser.count("--objects", objects, 1, 1000, "a count");
  parser.real("--share", share, 0, 1, "a number");
  parser.text("--keys", keys, "a text");
  parser.flag("--precise", precise, "a switch");
  parser.toggle("--keep", keep, "on or off");
  const Result<OptionParser::Parsed> parsed = parser.try_parse(std::move(arguments));
  if (!parsed) {
    KEEL_CHECK(!parsed.error().empty(), "a command line is refused without a word");
    return;
  }
  if (!parsed.value().text.empty()) return;
  const CommonOptions& o = parsed.value().options;
  // What was accepted lies in the ranges that the help promises.
  KEEL_CHECK(objects >= 1 && objects <= 1000 && share >= 0 && share <= 1,
             "a value outside its range was accepted");
  KEEL_CHECK(o.threads >= 1 && o.threads <= 1024, "threads: %d", o.threads);
  KEEL_CHECK(o.duration_ns >= 0 && o.warmup_ns >= 0 && hold >= 0 && o.heap.periodic_ns >= 0,
             "a duration below 0");
  KEEL_CHECK(o.heap.gogc_percent >= HeapConfig::kGogcOff && o.heap.gogc_percent <= HeapConfig::kMaxGogc,
             "gogc");
  if (o.collector == Collector::kKeel) KEEL_CHECK(o.heap.check().ok(), "a heap that cannot be was accepted");
}

}  // namespace

std::vector<FuzzTarget> all_fuzz_targets() {
  std::vector<FuzzTarget> all = report_fuzz_targets();
  all.push_back({"workload-options", workload_options, size_t{4} << 20, 400});
  return all;
}

}  // namespace keel
