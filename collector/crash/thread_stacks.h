// Stacks of threads for the crash report: the dying thread's own, and others' on request.
//
// Another thread writes its own stack, in a signal handler that it is sent; one that does not answer soon (it
// may have the signal blocked) is named and left. Names of functions come from addr2line, run as a process of
// its own so that nothing is allocated here; without it the addresses stand alone.
#pragma once

#include "collector/crash/crash_writer.h"

namespace keel {

/// Makes the later calls safe: loads the unwinder (which allocates), installs the handler for requests.
void prepare_thread_stacks();
void write_own_stack(CrashWriter& out);
/// The nearest callers, with file and line where the program has them, to stderr.
void write_callers();
/// Of every other thread of the process; without `system`, not of the collector's ("keel-..."), and of those
/// only a line.
void write_other_stacks(CrashWriter& out, bool system);

}  // namespace keel
