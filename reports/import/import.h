// Other people's GC logs as keel reports: read as a stream, line by line.
#pragma once

#include <istream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "allocator/base/result.h"

namespace keel {

/// One format's reader. Lines come in order, without their end.
class LogReader {
 public:
  virtual ~LogReader() = default;
  virtual void line(std::string_view text) = 0;
  /// The report; nothing is read after.
  virtual nlohmann::json finish() = 0;
};

/// gctrace, jvm, boehm, events: names of formats, as --format takes them.
const std::vector<std::string>& import_formats();
/// Null for a name that is none. `workload`: what the report calls the program; may be empty.
std::unique_ptr<LogReader> make_log_reader(const std::string& format, const std::string& workload);
/// The format that a line is typical of, or empty.
std::string format_of_line(std::string_view text);

/// Reads to the end of the stream. `format` may be "auto": decided by the first line that is typical of one.
/// Error: no such format, or no line of 10,000 is typical of any.
Result<nlohmann::json> import_log(std::istream& in, const std::string& format, const std::string& workload);

// The readers; make_log_reader() knows them by name.
std::unique_ptr<LogReader> make_gctrace_reader(const std::string& workload);
std::unique_ptr<LogReader> make_jvm_reader(const std::string& workload);
std::unique_ptr<LogReader> make_boehm_reader(const std::string& workload);
std::unique_ptr<LogReader> make_events_reader(const std::string& workload);

}  // namespace keel
