// The files a run leaves: complete, or not there.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "allocator/base/result.h"

namespace keel {

/// Error text if nothing can be written to `path` ("-" is standard output): checked before the run, so that
/// nothing is lost after it. `option` is the flag that the error names. Opens nothing.
Result<bool> check_output_path(const std::string& option, const std::string& path);

/// `path` leads to a regular file, or to where one would be made: other files can be put beside it.
bool is_file_output(const std::string& path);

/// Has `write` fill what `path` leads to; "-" is standard output. Links are followed, and stay. A regular
/// file is written under a temporary name beside it, synced to the disk and renamed, with the owner and mode
/// it had (a new one: the umask's): a reader sees the old file or the whole new one. A device, a FIFO or a
/// descriptor is written through. Error: what `write` returned, or why the system refused, the last write,
/// the sync and the close included; a regular file is then as it was.
Result<bool> write_file(const std::string& path, const std::function<Result<bool>(std::ostream&)>& write);

/// Writes `report` as JSON, as write_file() does. Invalid UTF-8 is replaced.
Result<bool> write_report(const nlohmann::json& report, const std::string& path);

/// Writes the trace events of `report` (a valid one, complete or not), for Perfetto's UI, as write_file()
/// does. The same as `gcreport export --format perfetto`. In keel_analysis.
Result<bool> write_trace(const nlohmann::json& report, const std::string& path);

}  // namespace keel
