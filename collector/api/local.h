// Local<T>: a workload's name for a local pointer, so that one source runs under both kinds of roots.
//
// Under conservative roots it is T* and the stack scan finds it. Under precise roots it is a scoped handle in
// the mutator's list, and the stack is not scanned: every pointer that must survive a safepoint needs one.
// Threads: the thread that made it; it lives and dies on that thread's stack, in any order.
#pragma once

#include "collector/api/mutator.h"

namespace keel {

/// A handle that is a precise root while it lives.
template <typename T>
class PreciseLocal {
 public:
  PreciseLocal(T* target = nullptr,
               DebugPlace where = DebugPlace::here())  // NOLINT(google-explicit-constructor)
      : owner_(Mutator::current()) {
    link_.where = where;
    set(target);
    owner_->link_local(link_);
  }
  PreciseLocal(const PreciseLocal& other) : PreciseLocal(other.get(), other.link_.where) {}
  PreciseLocal& operator=(const PreciseLocal& other) {
    owner_->check_running("Local", link_.where.place());
    link_.pointer = other.link_.pointer;
    return *this;
  }
  PreciseLocal& operator=(T* target) {
    owner_->check_running("Local", link_.where.place());
    set(target);
    return *this;
  }
  ~PreciseLocal() { owner_->unlink_local(link_); }

  [[nodiscard]] T* get() const { return reinterpret_cast<T*>(link_.pointer); }
  operator T*() const { return get(); }  // NOLINT(google-explicit-constructor)
  T* operator->() const { return get(); }

 private:
  void set(T* target) {
    if constexpr (KEEL_DEBUG_CHECKS) detail::check_kept_pointer(target, link_.where.place());
    link_.pointer = reinterpret_cast<uintptr_t>(target);
  }

  LocalLink link_;
  Mutator* owner_;
};

namespace detail {
template <bool kPrecise, typename T>
struct LocalOf {
  using type = T*;
};
template <typename T>
struct LocalOf<true, T> {
  using type = PreciseLocal<T>;
};
}  // namespace detail

/// `LocalFor<kPrecise, T>`: T* or PreciseLocal<T>.
template <bool kPrecise, typename T>
using LocalFor = typename detail::LocalOf<kPrecise, T>::type;

}  // namespace keel
