// gctrace: one line a cycle, in the exact format of Go 1.18 to today (mgc.go, gcMarkTermination).
#pragma once

#include <cstdint>
#include <string>

#include "collector/api/events.h"

namespace keel {

/// Milliseconds as Go prints them: whole from 10 ms on, else two significant digits with at most three
/// decimals, "0" below 1 us (fmtNSAsMS).
std::string format_ns_as_ms(int64_t ns);

/// "gc 1 @0.046s 0%: 0.081+1.1+0.071 ms clock, ... 2 P (forced)", no newline. `run_start_ns` is time zero.
std::string gctrace_line(const CycleRecord& cycle, int64_t run_start_ns);

/// Two lines, begin and end of a cycle: "pacer: assist ratio=... workers=...", "pacer: 27% CPU (25 exp.) for
/// ...", in the format of Go's gcpacertrace (mgcpacer.go).
std::string pacertrace_lines(const CycleRecord& cycle);

/// "scav 12 KiB work (bg), 0 KiB work (eager), 3456 KiB now, 87% util", in the format of Go's scavtrace
/// (mgcscavenge.go): what was released since the last line, what is released now, in use / retained.
std::string scavtrace_line(const CycleRecord& cycle);

}  // namespace keel
