// Leak check: what still holds on to the heap when nothing should: mutators attached, roots held, finalizers
// and cleanups that never ran, each with the place in the program that made it.
//
// Three ways: find_leaks() at any moment; verify_none() of leak_check_gtest.h at the end of a test (as
// goleak's VerifyNone); `--debug leakcheck`, or HeapConfig::debug.leakcheck, when the heap closes. A thread
// on its way out and a finalizer about to run are no leaks, so wait_for_no_leaks() looks again for a while
// before it believes one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "allocator/base/source_place.h"

namespace keel {

class Heap;

struct Leak {
  enum class Kind { kMutator, kRoot, kFinalizer, kCleanup };
  Kind kind;
  std::string
      what;  // "mutator 3 'worker'", "root of a 48 B object at 0x...", "finalizer of a 4File (queued)"
  SourcePlace where;
};

/// Everything that holds on to the heap now, but for the caller's own attachment and null roots. Threads:
/// any. Cost: a look at every root and special, under their locks.
std::vector<Leak> find_leaks(Heap& heap);

/// One line each: "file:line: what".
std::string to_string(const std::vector<Leak>& leaks);

struct LeakOptions {
  int64_t patience_ns = 1'000'000'000;  // how long a leak must last to be one
  bool collect = true;                  // collect while waiting, so that what is unreachable is finalized
  std::vector<std::string> known;       // a leak whose line contains one of these is ignored
};

/// find_leaks(), again and again at growing distances, until there is none left or the patience ends; what
/// then is left. Threads: any.
std::vector<Leak> wait_for_no_leaks(Heap& heap, const LeakOptions& options = {});

}  // namespace keel
