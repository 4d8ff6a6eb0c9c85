// What stands beside Keel in the microbenchmarks: Boehm's collector, linked in where libgc is present and
// started by the first benchmark that asks for it, and mimalloc, opened at run time with its symbols kept
// local (linked, it would replace malloc for everyone).
//
// Boehm scans the stacks of threads that register and of nobody else; Keel's heap and malloc's are not its
// roots' business, except that the data segments of the program are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace keel::micro {

/// mimalloc's zalloc and free; both null where the library (Debian: libmimalloc-dev) is not installed.
struct Mimalloc {
  void* (*zalloc)(size_t) = nullptr;
  void (*free)(void*) = nullptr;
  [[nodiscard]] bool present() const { return zalloc != nullptr && free != nullptr; }
};
const Mimalloc& mimalloc();

#ifdef KEEL_MICRO_BOEHM

/// Starts Boehm once, as its users would: parallel markers, thread-local allocation. Threads: the main one.
void start_boehm_beside();

/// The calling thread is known to Boehm for this scope.
class BoehmThread {
 public:
  BoehmThread();
  ~BoehmThread();
  BoehmThread(const BoehmThread&) = delete;
  BoehmThread& operator=(const BoehmThread&) = delete;

 private:
  bool registered_ = false;
};

/// A full collection; ns of its mark phase, from Boehm's own events.
int64_t boehm_mark_ns();
/// Runs the finalizers that are ready.
void boehm_run_finalizers();
/// Markers that Boehm uses, the collecting thread included.
int boehm_markers();

#endif

}  // namespace keel::micro
