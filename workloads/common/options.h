// The flags every workload has (their names are pinned: scripts and papers lean on them), parsed with CLI11,
// checked, and refused where they do not apply to the chosen collector.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "allocator/base/result.h"
#include "collector/api/config.h"
#include "collector/api/crash_report.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace keel {

enum class Collector { kKeel, kBoehm, kBoehmIncremental, kMalloc };
const char* to_string(Collector collector);

struct CommonOptions {
  Collector collector = Collector::kKeel;
  HeapConfig heap;
  uint64_t ballast_bytes = 0;
  int cores = 0;  // 0: all usable
  bool pin = false;
  int threads = 1;
  int64_t duration_ns = 10'000'000'000;
  uint64_t operations = 0;  // 0: by duration
  int64_t warmup_ns = 500'000'000;
  uint64_t seed = 1;
  std::string report_path;
  std::string events_path;
  std::string trace_path;
  int64_t finalize_at_exit_ns = 0;  // 0: off, nothing is promised
  Traceback traceback = Traceback::kSingle;
  bool gctrace = false;
  bool pacertrace = false;
  bool scavtrace = false;
  bool anonymous = false;
  bool quiet = false;
  bool progress = true;
  int64_t sample_interval_ns = 10'000'000;
  nlohmann::json arguments = nlohmann::json::object();  // what was given, for the report
};

/// The parser of one workload: common flags, then the workload's own, then parse().
class OptionParser {
 public:
  OptionParser(std::string name, std::string description);
  ~OptionParser();
  OptionParser(const OptionParser&) = delete;
  OptionParser& operator=(const OptionParser&) = delete;

  /// A size flag ("10GiB"); a duration flag ("10s"); a count within [low, high]; a percentage; plain text; a
  /// switch.
  void size(const std::string& flag, uint64_t& value, const std::string& help);
  void duration(const std::string& flag, int64_t& value, const std::string& help);
  void count(const std::string& flag, uint64_t& value, uint64_t low, uint64_t high, const std::string& help);
  void real(const std::string& flag, double& value, double low, double high, const std::string& help);
  void text(const std::string& flag, std::string& value, const std::string& help);
  void flag(const std::string& flag, bool& value, const std::string& help);
  /// on or off.
  void toggle(const std::string& flag, bool& value, const std::string& help);

  /// Parses and checks. Exit statuses: 0 after --help and --version, 2 for bad input, with one line on
  /// stderr. Returns only if the run may go on. Flags that the collector does not know are refused.
  CommonOptions parse(int argc, char** argv);
  struct Parsed {
    CommonOptions options;
    std::string text;  // not empty: of --help or --version, to be printed, and that is all
  };
  /// The same for `arguments`, without the program's name, and without an end. As often as one likes: the
  /// common options start from their defaults each time, a workload's own values from where they are.
  Result<Parsed> try_parse(std::vector<std::string> arguments);

  /// For programs that count repetitions: unless --operations or --duration was given, every thread does this
  /// many.
  void repeat_by_default(CommonOptions& options, uint64_t repetitions) const;
  /// For programs whose parts are shorter than the common default: unless --duration was given.
  void last_by_default(CommonOptions& options, int64_t duration_ns) const;

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  using Setter = std::function<Result<bool>(const std::string&)>;
  CLI::Option* add(const std::string& flag, const std::string& type, const std::string& help, Setter set);
  void add_common();
  void apply_environment();
  Result<bool> check_collector() const;
  Result<bool> set_debug(const std::string& option, const std::string& list);

  std::string name_;
  std::unique_ptr<CLI::App> app_;  // by pointer: CLI11 is compiled once, not in every workload
  CommonOptions options_;
  std::optional<CommonOptions> defaults_;  // before the first command line
  std::vector<std::string> notes_;
};

/// Prints "name: message" to stderr and ends the process with status 2.
[[noreturn]] void exit_bad_input(const std::string& program, const std::string& message);

}  // namespace keel
