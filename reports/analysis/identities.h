// What must hold between the fields of a report: the schema, sums, order of times, Go's meanings.
#pragma once

#include <istream>
#include <nlohmann/json.hpp>
#include <string>

namespace keel {

/// Validates against the schema keel.report and the identities. Empty if all is well, else the first fault,
/// named by its JSON pointer. Takes any JSON at all. Cost: linear in the report.
std::string first_fault(const nlohmann::json& report);

/// The same from a stream that may be no JSON either. Memory: a report without its cycles, pauses and
/// samples; those are checked one by one as they come.
std::string first_fault(std::istream& in);

}  // namespace keel
