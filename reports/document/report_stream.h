// Reads a report of any size and any origin: one pass, its long arrays element by element.
//
// The elements of /cycles, /pauses and /samples are handed to a visitor as they come and not kept; all the
// rest becomes a document. Memory: the rest, and one element. A file that is no JSON, is nested deeper than
// 64 levels, or holds an integer beyond 2^63 - 1 is refused with its place; so is invalid UTF-8.
#pragma once

#include <functional>
#include <istream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "allocator/base/result.h"

namespace keel {

/// Called with "cycles", "pauses" or "samples", the index, and the element. False: read no further.
using ElementVisitor =
    std::function<bool(const std::string& array, size_t index, const nlohmann::json& element)>;

/// The document without the elements, or what is wrong and where. After a visitor has said false the document
/// is null.
Result<nlohmann::json> read_report_stream(std::istream& in, const ElementVisitor& visit);

/// The same from text in memory.
Result<nlohmann::json> read_report_text(std::string_view text, const ElementVisitor& visit);

/// The document in `text`, whole, with the same refusals.
Result<nlohmann::json> read_json_text(std::string_view text);

/// The whole document, with the same refusals. `path` "-": standard input. The error names the path.
Result<nlohmann::json> read_json_file(const std::string& path);

/// read_json_file(), and it is a keel.report of version 1.
Result<nlohmann::json> read_report_file(const std::string& path);

}  // namespace keel
