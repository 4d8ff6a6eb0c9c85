// What a workload sees of a collector, so that one source runs on all of them.
//
// A backend is a type with
//   kName, kFrees                      its name; whether release() really frees (malloc)
//   Local<T>                           a local pointer that survives a safepoint
//   Field<T>                           a pointer field of a heap object, null when zeroed
//   Root<T>                            keeps an object alive from outside the heap
//   make<T>(...)                       a T, constructed; make_array<T>(n): n zeroed Ts
//   make_with_tail<T>(n, ...)           a T with n zeroed pointer-free bytes behind it
//   make_bytes(n)                      n pointer-free bytes, zeroed; huge ones untouched
//   release(p)                         the program is done with p (nothing under a collector)
//   slot_bytes(n)                      what an object of n bytes really takes, for closed forms
//   Runtime(options, recorder)         the collector's life; Thread: a mutator's scope
//   blocking(f), safepoint()
//   Runtime::collect(), free_os_memory(), sample(), sections(json&): memstats and layouts for the report
//   OutOfMemory                        what an allocation throws when memory is out
#pragma once

#include <new>
#include <string>

#include "reports/api/run_recorder.h"
#include "workloads/common/options.h"

namespace keel {

/// count * size + more, for backends whose allocator only takes bytes. Throws std::bad_alloc if that is more
/// than a size can say.
inline size_t total_bytes(size_t count, size_t size, size_t more = 0) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(bytes, more, &bytes))
    throw std::bad_alloc();
  return bytes;
}

}  // namespace keel
