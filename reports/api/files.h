// The files a run leaves: complete, or not there.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "allocator/base/result.h"

namespace keel {

/// Error text if nothing can be written to `path` ("-" is standard output): checked before the run, so that
/// nothing is lost after it. `option` is the flag that the error names. Opens nothing.
Result<bool> check_output_path(const std::string& option, const std::string& path);

struct NamedOutput {
  std::string option;
  std::string path;  // empty: not asked for
};

/// Error text if two of `outputs` lead to one file, FIFO or pipe, by whatever spelling or link: each would
/// destroy what the other wrote. A device, such as /dev/null, may be shared. Of paths that
/// check_output_path() accepts.
Result<bool> check_outputs_differ(const std::vector<NamedOutput>& outputs);

/// Error text if `output` leads to the regular file `input`, which is read for it.
Result<bool> check_output_is_not_input(const NamedOutput& output, const std::string& input);

/// First thing in main(); later calls change nothing. From then on a write that fails is an error of the
/// program: a closed pipe or a file at its size limit kills it no more (SIGPIPE, SIGXFSZ), no file takes the
/// place of a standard descriptor that is closed, and a program that would end with status 0 ends with one
/// line and status 1 if its standard output could not all be written. `program`: as in the line; it is kept.
void guard_standard_streams(const char* program);

/// `line`, with control characters as one_line.h writes them, on standard error: in one piece, without the
/// locks of stdio, which a thread that waits for a reader may hold. Given up like an output. Threads: any.
void print_error_line(const std::string& line);

/// From `at_ns` (now_ns()) on, an output of which nothing has been taken for 200 ms is given up, an error
/// then: a FIFO, a pipe, a socket or a terminal; files are written whole. For a program that is to end.
void give_up_outputs_from(int64_t at_ns);

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
