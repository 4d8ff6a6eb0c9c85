// What must hold between the fields of a report: the schema, sums, order of times, Go's meanings.
#pragma once

#include <istream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace keel {

/// Validates against the schema keel.report and the identities. Empty if all is well, else the first fault,
/// named by its JSON pointer. Takes any JSON at all. Cost: linear in the report.
std::string first_fault(const nlohmann::json& report);

/// The same from a stream that may be no JSON either. Memory: a report without its cycles, pauses and
/// samples; those are checked one by one as they come.
std::string first_fault(std::istream& in);
/// The same from text in memory.
std::string first_fault_in_text(std::string_view text);

/// The same for what comes one by one, as in a log that a run flushed: each element alone, and against those
/// that were accepted before it. Not for several threads at once.
class ElementCheck {
 public:
  ElementCheck();
  ~ElementCheck();
  ElementCheck(const ElementCheck&) = delete;
  ElementCheck& operator=(const ElementCheck&) = delete;

  /// Of an element of /cycles, /pauses or /samples (`array`): true, and it is remembered, if all is well.
  bool accept(const std::string& array, const nlohmann::json& value);
  /// `value` can be the section of this name: workload, collector, environment.
  [[nodiscard]] static bool is_section(const std::string& name, const nlohmann::json& value);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace keel
