// Definitions of the common flags; see options.h.
#include "workloads/common/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "allocator/base/machine.h"
#include "allocator/base/units.h"
#include "reports/api/files.h"
#include "reports/api/one_line.h"
#include "reports/recorder/build_facts.h"

namespace keel {
namespace {

template <typename T>
Result<T> parse_number(const std::string& text, T low, T high) {
  T value{};
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc{} || end != text.data() + text.size() || value < low || value > high) {
    std::string range;
    if constexpr (std::is_floating_point_v<T>) {
      char formatted[64];
      std::snprintf(formatted, sizeof formatted, "[%g, %g]", low, high);
      range = formatted;
    } else {
      range = "[" + std::to_string(low) + ", " + std::to_string(high) + "]";
    }
    return Error{"'" + text + "' is outside " + range};
  }
  return value;
}

Result<bool> parse_switch(const std::string& text, bool& value) {
  if (text != "on" && text != "off") return Error{"'" + text + "' is not one of on, off"};
  value = text == "on";
  return true;
}

// gogc, membalancer=C or fixed=SIZE.
Result<bool> parse_goal(const std::string& text, HeapConfig& heap) {
  const size_t equals = text.find('=');
  const std::string rule = text.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (text == "gogc") {
    heap.goal = GoalRule::kGogc;
    return true;
  }
  if (rule == "membalancer") {
    const auto price = parse_number<double>(value, 1e-9, 1e9);
    if (!price) return Error{"membalancer=C, C in 1/MiB: " + price.error()};
    heap.goal = GoalRule::kMembalancer;
    heap.membalancer_per_mib = price.value();
    return true;
  }
  if (rule == "fixed") {
    const auto size = parse_size(value);
    if (!size) return Error{"fixed=SIZE: " + size.error()};
    heap.goal = GoalRule::kFixed;
    heap.fixed_goal_bytes = size.value();
    return true;
  }
  return Error{"'" + text + "' is not one of gogc, membalancer=C, fixed=SIZE"};
}

// Flags that only a Keel heap understands; the other collectors refuse them.
constexpr const char* kKeelOnly[] = {"--barrier",      "--transitions", "--gogc",       "--assists",
                                     "--periodic",     "--roots",       "--debug",      "--finalize-at-exit",
                                     "--mark-workers", "--retain",      "--huge-pages", "--gctrace",
                                     "--goal",         "--memory-limit"};

}  // namespace

const char* to_string(Collector collector) {
  switch (collector) {
    case Collector::kKeel:
      return "keel";
    case Collector::kBoehm:
      return "boehm";
    case Collector::kBoehmIncremental:
      return "boehm-incremental";
    case Collector::kMalloc:
      return "malloc";
  }
  return "";
}

void OptionParser::last_by_default(CommonOptions& options, int64_t duration_ns) const {
  if (app_->count("--duration") == 0) options.duration_ns = duration_ns;
}

void OptionParser::repeat_by_default(CommonOptions& options, uint64_t repetitions) const {
  if (app_->count("--operations") != 0 || app_->count("--duration") != 0) return;
  options.operations = repetitions * static_cast<uint64_t>(options.threads);
  if (app_->count("--warmup") == 0) options.warmup_ns = 0;
}

void exit_bad_input(const std::string& program, const std::string& message) {
  std::fprintf(stderr, "%s: %s\n", program.c_str(), one_line(message).c_str());
  std::exit(2);
}

OptionParser::OptionParser(std::string name, std::string description)
    : name_(std::move(name)), app_(std::make_unique<CLI::App>(std::move(description), name_)) {
  static const std::string program = name_;  // outlives the parser
  guard_standard_streams(program.c_str());
  app_->get_formatter()->column_width(36);
  add_common();
}

OptionParser::~OptionParser() = default;

CLI::Option* OptionParser::add(const std::string& flag, const std::string& type, const std::string& help,
                               Setter set) {
  return app_
      ->add_option_function<std::string>(
          flag,
          [this, flag, set = std::move(set)](const std::string& value) {
            const Result<bool> done = set(value);
            if (!done) throw CLI::ValidationError("option " + flag + ": " + done.error(), 2);
            options_.arguments[flag.substr(2)] = value;
          },
          help)
      ->type_name(type)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

void OptionParser::size(const std::string& flag, uint64_t& value, const std::string& help) {
  add(flag, "SIZE", help + " [" + format_size(value) + "]",
      [&value](const std::string& text) -> Result<bool> {
        const auto parsed = parse_size(text);
        if (!parsed) return Error{parsed.error()};
        value = parsed.value();
        return true;
      });
}

void OptionParser::duration(const std::string& flag, int64_t& value, const std::string& help) {
  add(flag, "DURATION", help, [&value](const std::string& text) -> Result<bool> {
    const auto parsed = parse_duration(text);
    if (!parsed) return Error{parsed.error()};
    value = parsed.value();
    return true;
  });
}

void OptionParser::count(const std::string& flag, uint64_t& value, uint64_t low, uint64_t high,
                         const std::string& help) {
  add(flag, "N", help + " [" + std::to_string(value) + "]",
      [&value, low, high](const std::string& text) -> Result<bool> {
        const auto parsed = parse_number<uint64_t>(text, low, high);
        if (!parsed) return Error{parsed.error()};
        value = parsed.value();
        return true;
      });
}

void OptionParser::real(const std::string& flag, double& value, double low, double high,
                        const std::string& help) {
  char shown[32];
  std::snprintf(shown, sizeof shown, " [%g]", value);
  add(flag, "X", help + shown, [&value, low, high](const std::string& text) -> Result<bool> {
    const auto parsed = parse_number<double>(text, low, high);
    if (!parsed) return Error{parsed.error()};
    value = parsed.value();
    return true;
  });
}

void OptionParser::text(const std::string& flag, std::string& value, const std::string& help) {
  add(flag, "TEXT", help, [&value](const std::string& given) -> Result<bool> {
    value = given;
    return true;
  });
}

void OptionParser::toggle(const std::string& flag, bool& value, const std::string& help) {
  add(flag, "on|off", help + (value ? " [on]" : " [off]"),
      [&value](const std::string& text) { return parse_switch(text, value); });
}

void OptionParser::flag(const std::string& flag, bool& value, const std::string& help) {
  app_->add_flag_callback(
      flag,
      [this, flag, &value] {
        value = true;
        options_.arguments[flag.substr(2)] = true;
      },
      help);
}

Result<bool> OptionParser::set_debug(const std::string& option, const std::string& list) {
  DebugOptions& debug = options_.heap.debug;
  size_t begin = 0;
  while (begin <= list.size()) {
    const size_t comma = std::min(list.find(',', begin), list.size());
    const std::string item = list.substr(begin, comma - begin);
    begin = comma + 1;
    if (item == "checkmark") {
      debug.checkmark = true;
    } else if (item == "poison") {
      debug.poison = true;
    } else if (item == "walk") {
      debug.walk = true;
    } else if (item == "leakcheck") {
      debug.leakcheck = true;
    } else if (item == "pacertrace") {
      options_.pacertrace = true;
    } else if (item == "scavtrace") {
      options_.scavtrace = true;
    } else if (item.rfind("stress=", 0) == 0) {
      const auto parsed = parse_number<uint32_t>(item.substr(7), 1, 1000000000);
      if (!parsed) return Error{option + "stress=N: " + parsed.error()};
      debug.stress = parsed.value();
    } else if (!item.empty()) {
      return Error{option + "'" + item +
                   "' is not one of checkmark, poison, walk, leakcheck, stress=N, pacertrace, scavtrace"};
    }
  }
  return true;
}

void OptionParser::add_common() {
  CommonOptions& o = options_;
  add("--collector", "NAME", "keel, boehm, boehm-incremental or malloc [keel]",
      [&o](const std::string& t) -> Result<bool> {
        for (Collector c :
             {Collector::kKeel, Collector::kBoehm, Collector::kBoehmIncremental, Collector::kMalloc}) {
          if (t == to_string(c)) {
            o.collector = c;
            return true;
          }
        }
        return Error{"'" + t + "' is not one of keel, boehm, boehm-incremental, malloc"};
      });
  add("--barrier", "KIND", "hybrid, hybrid-conditional, dijkstra, yuasa or none [hybrid]",
      [&o](const std::string& t) -> Result<bool> {
        o.heap.barrier = t;
        return true;
      });
  add("--transitions", "KIND", "how phases change: stw (two short stops) or handshake (none) [stw]",
      [&o](const std::string& t) -> Result<bool> {
        o.heap.transitions = t;
        return true;
      });
  auto set_gogc = [&o](const std::string& t) -> Result<bool> {
    if (t == "off") {
      o.heap.gogc_percent = HeapConfig::kGogcOff;
      return true;
    }
    const auto parsed = parse_number<int64_t>(t, 0, HeapConfig::kMaxGogc);
    if (!parsed) return Error{parsed.error() + " and not off"};
    o.heap.gogc_percent = parsed.value();
    return true;
  };
  add("--gogc", "PERCENT|off", "heap growth before a collection, in percent; default from GOGC [100]",
      set_gogc);
  add("--goal", "RULE", "how the heap goal is set: gogc, membalancer=C (1/MiB) or fixed=SIZE [gogc]",
      [&o](const std::string& t) { return parse_goal(t, o.heap); });
  auto set_memory_limit = [&o](const std::string& t) -> Result<bool> {
    o.heap.memory_limit_bytes = HeapConfig::kNoLimit;
    if (t == "off") return true;
    const auto parsed = parse_size(t);
    if (!parsed) return Error{parsed.error() + ", or off"};
    o.heap.memory_limit_bytes = std::min(parsed.value(), HeapConfig::kNoLimit);
    return true;
  };
  add("--memory-limit", "SIZE|off", "soft limit of all memory; default from GOMEMLIMIT [off]",
      set_memory_limit);
  add("--max-heap", "SIZE|off",
      "hard limit: what does not fit after a collection ends the run, status 3 [off]",
      [&o](const std::string& t) -> Result<bool> {
        if (t == "off") return true;
        const auto parsed = parse_size(t);
        if (!parsed) return Error{parsed.error() + ", or off"};
        o.heap.max_heap_bytes = parsed.value();
        return true;
      });
  add("--assists", "on|off", "mutators help marking [on]",
      [&o](const std::string& t) { return parse_switch(t, o.heap.assists); });
  add("--periodic", "DURATION|off", "a cycle is forced after this long [2m]",
      [&o](const std::string& t) -> Result<bool> {
        if (t == "off") {
          o.heap.periodic_ns = 0;
          return true;
        }
        const auto parsed = parse_duration(t);
        if (!parsed) return Error{parsed.error() + ", or off"};
        o.heap.periodic_ns = parsed.value();
        return true;
      });
  size("--ballast", o.ballast_bytes, "one pointer-free object kept alive to the end");
  add("--mark-workers", "N|auto", "mark workers [one per usable core]",
      [&o](const std::string& t) -> Result<bool> {
        if (t == "auto") return true;
        const auto parsed = parse_number<uint32_t>(t, 1, 1024);
        if (!parsed) return Error{parsed.error() + " and not auto"};
        o.heap.mark_workers = parsed.value();
        return true;
      });
  add("--huge-pages", "on|off", "huge pages for the heap, never for a ballast [off]",
      [&o](const std::string& t) { return parse_switch(t, o.heap.huge_pages); });
  add("--retain", "PERCENT", "kept above the goal before memory goes back to the system [10]",
      [&o](const std::string& t) -> Result<bool> {
        const auto parsed = parse_number<uint32_t>(t, 0, 10000);
        if (!parsed) return Error{parsed.error()};
        o.heap.retain_percent = parsed.value();
        return true;
      });
  add("--cores", "N", "cores the whole run may use [all]", [&o](const std::string& t) -> Result<bool> {
    const auto parsed = parse_number<int>(t, 1, static_cast<int>(affinity_cores().size()));
    if (!parsed) return Error{parsed.error()};
    o.cores = parsed.value();
    return true;
  });
  add("--pin", "on|off", "pin each mutator to a core [off]",
      [&o](const std::string& t) { return parse_switch(t, o.pin); });
  add("--roots", "KIND", "conservative or precise [conservative]",
      [&o](const std::string& t) -> Result<bool> {
        if (t != "conservative" && t != "precise")
          return Error{"'" + t + "' is not one of conservative, precise"};
        o.heap.roots = t == "precise" ? Roots::kPrecise : Roots::kConservative;
        return true;
      });
  add("--threads", "N", "mutators [1]", [&o](const std::string& t) -> Result<bool> {
    const auto parsed = parse_number<int>(t, 1, 1024);
    if (!parsed) return Error{parsed.error()};
    o.threads = parsed.value();
    return true;
  });
  CLI::Option* by_time = add("--duration", "DURATION", "how long the measured part runs [10s]",
                             [&o](const std::string& t) -> Result<bool> {
                               const auto parsed = parse_duration(t);
                               if (!parsed) return Error{parsed.error()};
                               o.duration_ns = parsed.value();
                               return true;
                             });
  add("--operations", "N", "run this many operations instead", [&o](const std::string& t) -> Result<bool> {
    const auto parsed = parse_number<uint64_t>(t, 1, uint64_t{1} << 60);
    if (!parsed) return Error{parsed.error()};
    o.operations = parsed.value();
    return true;
  })->excludes(by_time);
  duration("--warmup", o.warmup_ns, "not measured, still in the timeline [500ms; none with --operations]");
  count("--seed", o.seed, 0, INT64_MAX, "seed of every random choice");  // as a report can say it
  auto path = [](const char* flag, std::string& value) {
    return [flag, &value](const std::string& t) -> Result<bool> {
      const Result<bool> usable = check_output_path(flag, t);
      if (!usable) return Error{usable.error().substr(usable.error().find(": ") + 2)};
      value = t;
      return true;
    };
  };
  add("--report", "PATH|-", "write the JSON report here", path("--report", o.report_path));
  // Standard output has the summary, or the report.
  auto file_path = [path](const char* flag, std::string& value) {
    return [usable = path(flag, value)](const std::string& t) -> Result<bool> {
      if (t == "-") return Error{"'-' is not a file"};
      return usable(t);
    };
  };
  add("--events", "PATH", "write every event as a JSON line, as the run goes",
      file_path("--events", o.events_path));
  add("--trace", "PATH", "write the run as trace events, for Perfetto's UI",
      file_path("--trace", o.trace_path));
  flag("--gctrace", o.gctrace, "Go-compatible line per cycle on stderr");
  add("--debug", "LIST",
      "checkmark, poison, walk, leakcheck, stress=N, pacertrace, scavtrace; also from KEEL_DEBUG",
      [this](const std::string& t) { return set_debug("", t); });
  add("--finalize-at-exit", "DURATION|off",
      "run what finalizers are queued at the end, at most this long [off]",
      [&o](const std::string& t) -> Result<bool> {
        o.finalize_at_exit_ns = 0;
        if (t == "off") return true;
        const auto parsed = parse_duration(t);
        if (!parsed) return Error{parsed.error() + ", or off"};
        o.finalize_at_exit_ns = parsed.value();
        return true;
      });
  add("--traceback", "LEVEL",
      "stacks in a crash report: none, single (the failing thread's), all (not the collector's), system, "
      "crash "
      "(system, and a core file is left) [single]",
      [&o](const std::string& t) -> Result<bool> {
        for (const Traceback level :
             {Traceback::kNone, Traceback::kSingle, Traceback::kAll, Traceback::kSystem, Traceback::kCrash}) {
          if (t == to_string(level)) {
            o.traceback = level;
            return true;
          }
        }
        return Error{"'" + t + "' is not one of none, single, all, system, crash"};
      });
  duration("--sample-interval", o.sample_interval_ns, "samples of heap and resident memory [10ms]");
  flag("--anonymous", o.anonymous, "no host name and no paths in the report");
  add("--progress", "auto|never", "progress bar on a terminal [auto]",
      [&o](const std::string& t) -> Result<bool> {
        if (t != "auto" && t != "never") return Error{"'" + t + "' is not one of auto, never"};
        o.progress = t == "auto";
        return true;
      });
  flag("--quiet", o.quiet, "no progress, no summary");
  app_->set_version_flag("--version", name_ + " (keel " + kVersion + ", commit " + kCommit + ")");
  // Environment first, so that the command line wins.
  if (const char* gogc = std::getenv("GOGC"); gogc != nullptr && *gogc != 0) {
    const Result<bool> done = set_gogc(gogc);
    if (!done) exit_bad_input(name_, "environment GOGC: " + done.error());
    notes_.emplace_back("GOGC");
  }
  if (const char* debug = std::getenv("KEEL_DEBUG"); debug != nullptr && *debug != 0) {
    const Result<bool> done = set_debug("", debug);
    if (!done) exit_bad_input(name_, "environment KEEL_DEBUG: " + done.error());
    notes_.emplace_back("KEEL_DEBUG");
  }
  if (const char* limit = std::getenv("GOMEMLIMIT"); limit != nullptr && *limit != 0) {
    const Result<bool> done = set_memory_limit(limit);
    if (!done) exit_bad_input(name_, "environment GOMEMLIMIT: " + done.error());
    notes_.emplace_back("GOMEMLIMIT");
  }
}

Result<bool> OptionParser::check_collector() const {
  if (options_.collector == Collector::kKeel) {
    if (options_.heap.goal != GoalRule::kGogc && app_->count("--gogc") > 0) {
      return Error{"option --gogc does not apply to --goal " + std::string(to_string(options_.heap.goal))};
    }
    return options_.heap.check();
  }
  for (const char* flag : kKeelOnly) {
    if (app_->count(flag) > 0) {
      return Error{std::string("option ") + flag + " does not apply to --collector " +
                   to_string(options_.collector)};
    }
  }
  if (options_.collector == Collector::kMalloc && app_->count("--max-heap") > 0) {
    return Error{"option --max-heap does not apply to --collector malloc"};
  }
  return true;
}

CommonOptions OptionParser::parse(int argc, char** argv) {
  const Result<Parsed> parsed = try_parse({argv + 1, argv + argc});
  if (!parsed) exit_bad_input(name_, parsed.error());
  if (!parsed.value().text.empty()) {
    std::fputs(parsed.value().text.c_str(), stdout);
    std::exit(0);
  }
  if (parsed.value().options.collector != Collector::kKeel) {
    for (const std::string& note : notes_) {
      std::fprintf(stderr, "%s: note: %s is set and does not apply to --collector %s\n", name_.c_str(),
                   note.c_str(), to_string(options_.collector));
    }
  }
  return parsed.value().options;
}

Result<OptionParser::Parsed> OptionParser::try_parse(std::vector<std::string> arguments) {
  // What the environment said, which add_common() read.
  if (!defaults_) defaults_ = options_;
  options_ = *defaults_;
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    app_->parse(std::move(arguments));
  } catch (const CLI::Success& e) {
    std::ostringstream text;
    app_->exit(e, text, text);
    return Parsed{{}, text.str()};
  } catch (const CLI::Error& e) {
    return Error{e.what()};
  }
  if (const Result<bool> ok = check_collector(); !ok) return Error{ok.error()};
  if (const Result<bool> differ = check_outputs_differ({{"--report", options_.report_path},
                                                        {"--events", options_.events_path},
                                                        {"--trace", options_.trace_path}});
      !differ) {
    return Error{differ.error()};
  }
  if (options_.sample_interval_ns < 1'000'000) {
    return Error{"option --sample-interval: " + std::to_string(options_.sample_interval_ns) +
                 "ns is below 1ms"};
  }
  if (options_.operations != 0 && app_->count("--warmup") == 0) options_.warmup_ns = 0;
  if (options_.anonymous) {
    for (const char* path : {"report", "events", "trace", "keys"}) options_.arguments.erase(path);
  }
  return Parsed{options_, ""};
}

}  // namespace keel
