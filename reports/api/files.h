// The files a run leaves: complete, or not there.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "allocator/base/result.h"

namespace keel {

/// Error text if `path` cannot become a file ("-", standard output, can): checked before the run, so that
/// nothing is lost after it. `option` is the flag that the error names.
Result<bool> check_output_path(const std::string& option, const std::string& path);

/// Has `write` fill a file under a temporary name beside `path`, then renames it; "-" is standard output. A
/// reader sees the old file or the whole new one. Error: what `write` returned, or why the system refused;
/// `path` is then as it was.
Result<bool> write_file(const std::string& path, const std::function<Result<bool>(std::ostream&)>& write);

/// Writes `report` as JSON, as write_file() does. Bytes that are no UTF-8 are replaced.
Result<bool> write_report(const nlohmann::json& report, const std::string& path);

/// Writes the trace events of `report` (a valid one, complete or not), for Perfetto's UI, as write_file()
/// does. The same as `gcreport export --format perfetto`. In keel_analysis.
Result<bool> write_trace(const nlohmann::json& report, const std::string& path);

}  // namespace keel
