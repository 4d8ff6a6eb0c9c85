// Root<T>: keeps an object alive from anywhere: globals, malloc'd memory, hand-over between threads.
//
// A root is a heap slot to the barrier (rule 4): construction and assignment shade the new target,
// assignment, move and destruction the old one, so roots may come and go while they are scanned. Each owns a
// slot in the heap's root table. Threads: attached mutators; one Root is not for two threads at once. Errors:
// making one on a thread that is not attached, or in a blocking region, is fatal, and so are assignment and
// destruction there. A Root must not outlive its heap; one that a finalizer or cleanup holds goes with it.
#pragma once

#include <utility>

#include "allocator/base/check.h"
#include "allocator/base/defects.h"
#include "allocator/base/source_place.h"
#include "barriers/api/barrier_state.h"
#include "collector/api/misuse.h"

namespace keel {

namespace detail {
/// Takes a slot from the current heap's table, holding null.
Slot* acquire_root_slot(SourcePlace where);
/// Returns it; the barrier has run and the slot is null.
void release_root_slot(Slot* slot);
/// Fatal if the calling thread is not attached, or in a blocking region.
void check_root_use(SourcePlace where);
}  // namespace detail

template <typename T>
class Root {
 public:
  explicit Root(SourcePlace where = SourcePlace::here()) : where_(where) {}
  explicit Root(T* target, SourcePlace where = SourcePlace::here()) : where_(where) { reset(target); }
  /// A copy's place is the original's, as the copying may be a container's.
  Root(const Root& other) : where_(other.where_) { reset(other.get()); }
  Root(Root&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)), where_(other.where_) {}
  Root& operator=(const Root& other) {
    if (this != &other) reset(other.get());
    return *this;
  }
  Root& operator=(Root&& other) noexcept {
    std::swap(slot_, other.slot_);
    std::swap(where_, other.where_);
    return *this;
  }
  Root& operator=(T* target) {
    reset(target);
    return *this;
  }
  ~Root() {
    if (slot_ == nullptr) return;
    write(0);
    detail::release_root_slot(slot_);
  }

  void reset(T* target = nullptr) {
    if (slot_ == nullptr) {
      if (target == nullptr) return;
      slot_ = detail::acquire_root_slot(where_);
    }
    write(reinterpret_cast<uintptr_t>(target));
  }
  [[nodiscard]] T* get() const {
    return slot_ == nullptr ? nullptr : reinterpret_cast<T*>(slot_->load_relaxed());
  }
  T* operator->() const { return get(); }
  T& operator*() const { return *get(); }
  explicit operator bool() const { return get() != nullptr; }

 private:
  void write(uintptr_t target) {
    if constexpr (KEEL_DEBUG_CHECKS) {
      detail::check_root_use(where_);
      detail::check_kept_pointer(reinterpret_cast<const void*>(target), where_);
    }
    defect(Defect::kRootWithoutBarrier) ? slot_->store_release(target) : write_slot(*slot_, target);
  }

  Slot* slot_ = nullptr;
  SourcePlace where_;  // for the leak check
};

}  // namespace keel
