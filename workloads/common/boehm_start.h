// `--collector boehm` starts the executable beside this one that is built for Boehm: it installs signal
// handlers and wraps threads, so it must not share a process with the others.
#pragma once

namespace keel {

/// Replaces this process by `<this executable>-boehm` with the same arguments. Does not return: if it cannot
/// be started (built without libgc-dev), one line and status 2.
[[noreturn]] void start_boehm(const char* program, char** argv);

}  // namespace keel
