// The last seconds of a program that was asked to end: SIGINT and SIGTERM are answered by handlers, whatever
// its threads wait for.
//
// Before, one thread takes them by sigwait() (session.h). From answer_at_once() on that thread may be
// writing, or be gone. The second signal then ends the program where it is. The first one gives it a second;
// and a program of which only standard output or error still waits for somebody is ended at its deadline.
#pragma once

#include <cstdint>

namespace keel::exit_signals {

/// Blocks what answer_at_once() unblocks, for the calling thread and those it will start.
void block();
/// `number` asks the program to end, and is the first that does.
void note_first(int number);
/// From now on, by the calling thread. `deadline_ns` (now_ns()): when the program is to be gone; counts only
/// after note_first().
void answer_at_once(int64_t deadline_ns);
/// All files are written, or given up: after the deadline nothing is lost any more.
void note_written();

}  // namespace keel::exit_signals
