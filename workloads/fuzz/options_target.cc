// See options_target.h.
#include "workloads/fuzz/options_target.h"

#include <sstream>

#include "allocator/base/check.h"
#include "workloads/common/options.h"

namespace keel {
namespace {

// A workload's own flags, one of each kind.
struct OwnFlags {
  uint64_t live = 0;
  int64_t hold = 0;
  uint64_t objects = 1;
  double share = 0;
  std::string keys;
  bool precise = false;
  bool keep = true;
};

// Made once: that takes longer than reading most command lines.
struct Workload {
  OwnFlags own;
  OptionParser parser{"fuzzed", "a workload"};

  Workload() {
    parser.size("--live", own.live, "a size");
    parser.duration("--hold", own.hold, "a duration");
    parser.count("--objects", own.objects, 1, 1000, "a count");
    parser.real("--share", own.share, 0, 1, "a number");
    parser.text("--keys", own.keys, "a text");
    parser.flag("--precise", own.precise, "a switch");
    parser.toggle("--keep", own.keep, "on or off");
  }
};

// One argument a line.
void workload_options(std::string_view input) {
  std::vector<std::string> arguments;
  std::istringstream lines{std::string(input)};
  for (std::string line; std::getline(lines, line);) arguments.push_back(line);
  static Workload workload;
  workload.own = {};
  const Result<OptionParser::Parsed> parsed = workload.parser.try_parse(std::move(arguments));
  if (!parsed) {
    KEEL_CHECK(!parsed.error().empty(), "a command line is refused without a word");
    return;
  }
  if (!parsed.value().text.empty()) return;
  const CommonOptions& o = parsed.value().options;
  // What was accepted lies in the ranges that the help promises.
  const OwnFlags& own = workload.own;
  KEEL_CHECK(own.objects >= 1 && own.objects <= 1000 && own.share >= 0 && own.share <= 1,
             "a value outside its range was accepted");
  KEEL_CHECK(o.threads >= 1 && o.threads <= 1024, "threads: %d", o.threads);
  KEEL_CHECK(o.duration_ns >= 0 && o.warmup_ns >= 0 && own.hold >= 0 && o.heap.periodic_ns >= 0,
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
