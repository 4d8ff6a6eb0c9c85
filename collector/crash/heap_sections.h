// The sections of a crash report that look into the heap; see collector/api/crash_report.h for what they may
// do.
#pragma once

#include <cstdint>

#include "collector/crash/crash_writer.h"

namespace keel {

class HeapCore;

/// Phase, cycle, pacer, bytes, who is attached.
void write_heap_state(const HeapCore& core, CrashWriter& out);
/// What `address` is: outside the heap, on a free page, in a span; the slot, its colour, its words; with
/// poison, which cycle's sweep freed it.
void write_address(const HeapCore& core, uintptr_t address, CrashWriter& out);
/// Mutators with their states, and the last events of each and of the cycle thread.
void write_threads(const HeapCore& core, CrashWriter& out);

}  // namespace keel
