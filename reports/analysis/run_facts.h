// The figures of one report that summary and compare show, each once: name, unit, which way is better, how to
// read it.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace keel {

enum class Unit { kCount, kNanoseconds, kBytes, kPerSecond, kShare, kRatio };
enum class Better { kLower, kHigher, kNeither };

struct Fact {
  std::string name;
  Unit unit;
  Better better;
  std::string group;  // a heading: pauses never stand without assists and CPU
  std::function<std::optional<double>(const nlohmann::json&)> read;  // absent: not measured
};

/// In the order they are shown.
const std::vector<Fact>& run_facts();

/// "1.23 ms", "64.0 MiB", "353 k/s", "-" when absent.
std::string show(const std::optional<double>& value, Unit unit);

/// "keel", "keel ballast 1GiB", "boehm": how tables call a run.
std::string run_label(const nlohmann::json& report);

}  // namespace keel
