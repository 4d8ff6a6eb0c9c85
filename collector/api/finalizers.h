// Finalizers, cleanups and weak pointers, with Go's rules (runtime.SetFinalizer, runtime.AddCleanup,
// weak.Pointer).
//
// A finalizer runs once, some time after its object has become unreachable, on a thread of its own, with the
// object: that resurrects it, and the association is gone, so it may be set again. If A refers to B and both
// have one, A's runs first, B's after A is gone. Objects with finalizers that refer to each other in a cycle
// are never finalized. Nothing is promised at exit. A cleanup does not see the object: any number of them per
// object, in no order, also on interior pointers; with a finalizer set they wait for it. A weak pointer
// answers null from the moment its object is known to be unreachable, before the finalizer runs.
//
// Functions live outside the heap: what they need from it they hold in a Root. One that refers to its own
// object keeps it alive for ever. An exception that leaves one ends the program, as an uncaught exception
// would. Threads: attached mutators. Cost: about as much as a small malloc: a lock that few share, and a
// record of 96 bytes; a live object's are looked at once a cycle, outside any stop.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "allocator/base/atomic.h"
#include "allocator/base/source_place.h"
#include "collector/api/inline_function.h"

namespace keel {

/// Queued and executed; what waits is the difference, as in Go's runtime/metrics.
struct FinalizerCounts {
  uint64_t finalizers_queued = 0;
  uint64_t finalizers_executed = 0;
  uint64_t cleanups_queued = 0;
  uint64_t cleanups_executed = 0;
  int64_t running_ns = 0;  // how long the function that runs now has been running; 0: none does
};

namespace detail {

/// What all weak pointers to one object share; outlives the object, so equality does as well.
struct WeakTarget {
  // release/acquire [weak.target]: see collector/finalize/special_table.h. The object, until it is known to
  // be unreachable.
  Atomic<uintptr_t> object{0};
  // release/acquire [weak.target]: a mark by whose end the object was alive.
  Atomic<uint32_t> decided{0};
  uint32_t slot = 0;  // where its mark is
  uint64_t page = 0;
};

/// What finds a cleanup again. The object may be gone, and its span as well.
struct CleanupKey {
  uint64_t page = 0;
  uint64_t id = 0;  // 0: no cleanup
  uint32_t slot = 0;
};

void set_finalizer(void* object, const char* type, InlineFunction run, SourcePlace where);
bool clear_finalizer(void* object);
CleanupKey add_cleanup(void* pointer, const char* type, InlineFunction run, SourcePlace where);
void check_cleanup_argument(const void* object, const void* argument, SourcePlace where);
void stop_cleanup(const CleanupKey& key);
std::shared_ptr<WeakTarget> weak_target(void* pointer, uintptr_t& offset, SourcePlace where);
uintptr_t lock_weak(WeakTarget& target);

}  // namespace detail

/// Errors, fatal with a sentence: `object` is not the start of a heap object; it has a finalizer already.
template <typename T, typename F>
requires std::is_invocable_v<F, T*>
void set_finalizer(T* object, F finalizer, SourcePlace where = SourcePlace::here()) {
  detail::set_finalizer(
      object, typeid(T).name(), [run = std::move(finalizer)](void* p) mutable { run(static_cast<T*>(p)); },
      where);
}

/// Takes the finalizer away; false if there was none (Go: SetFinalizer(obj, nil)).
template <typename T>
bool clear_finalizer(T* object) {
  return detail::clear_finalizer(object);
}

/// A cleanup that has been added. Copyable; does not keep the object alive.
class Cleanup {
 public:
  Cleanup() = default;
  explicit Cleanup(const detail::CleanupKey& key) : key_(key) {}
  /// Takes the cleanup away. No effect if it is queued already. Threads: attached mutators.
  void stop() {
    if (key_.id != 0) detail::stop_cleanup(key_);
    key_.id = 0;
  }

 private:
  detail::CleanupKey key_;
};

/// Runs function(argument) some time after the object that `pointer` points into has become unreachable.
/// Errors, fatal with a sentence: `pointer` is not into the heap; the argument points into the same object.
template <typename T, typename F, typename A>
requires std::is_invocable_v<F, A> Cleanup add_cleanup(T* pointer, F function, A argument,
                                                       SourcePlace where = SourcePlace::here()) {
  if constexpr (std::is_pointer_v<A>) detail::check_cleanup_argument(pointer, argument, where);
  return Cleanup(detail::add_cleanup(
      pointer, typeid(T).name(),
      [run = std::move(function), argument = std::move(argument)](void*) mutable {
        run(std::move(argument));
      },
      where));
}

/// A pointer that does not keep its object alive. Lives outside the heap, as a Root does.
template <typename T>
class Weak {
 public:
  Weak() = default;
  explicit Weak(T* pointer, SourcePlace where = SourcePlace::here()) {
    if (pointer != nullptr) target_ = detail::weak_target(pointer, offset_, where);
  }
  /// The object if it is not known to be unreachable, else null; the result is an ordinary pointer and keeps
  /// it alive.
  [[nodiscard]] T* lock() const {
    const uintptr_t object = target_ == nullptr ? 0 : detail::lock_weak(*target_);
    return object == 0 ? nullptr : reinterpret_cast<T*>(object + offset_);
  }
  /// Two are equal if they were made from the same pointer, also after the object is gone.
  friend bool operator==(const Weak& a, const Weak& b) {
    return a.target_ == b.target_ && a.offset_ == b.offset_;
  }

 private:
  std::shared_ptr<detail::WeakTarget> target_;
  uintptr_t offset_ = 0;
};

}  // namespace keel
