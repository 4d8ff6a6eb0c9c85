// What must hold between the fields of a report: sums, order of times, Go's meanings.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace keel {

/// Validates against the schema keel.report and the identities. Empty if all is well, else the first fault,
/// named by its JSON pointer. Cost: linear in the report.
std::string first_fault(const nlohmann::json& report);

}  // namespace keel
