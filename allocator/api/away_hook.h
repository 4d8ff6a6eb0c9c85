// How the allocator does long work of its own while the thread counts as away from the heap: an interface
// this layer owns, so that nobody's stop waits for the zeroing of a large object.
#pragma once

namespace keel {

class AwayHook {
 public:
  virtual ~AwayHook() = default;
  /// Runs work(argument) in a blocking region of the calling thread. On return the thread may be in another
  /// cycle and its cache in another state than before. Threads: mutators, no lock held.
  virtual void run_away(void (*work)(void*), void* argument) = 0;
};

}  // namespace keel
