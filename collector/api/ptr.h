// Ptr<T>: a pointer field of a heap object. Assigning runs the write barrier; reading is a plain load.
//
// Locals are T*; a Ptr lives only inside heap objects, whose type's pointer map says where (type_layout.h).
// It may point anywhere into an object, and keeps all of it. One past the end is the next slot's, whether
// that is another object or free, and keeps nothing of this one: debug builds refuse to store it where they
// can tell that no object is there, elsewhere it does no harm. make_array alone leaves a byte, so that end()
// stays inside. The same holds for Root, Local, Weak and words of a stack. Trivially destructible, so heap
// objects need no destructors. Threads: attached mutators. Two threads that write one field synchronise as
// for any other field; the collector needs nothing from them.
#pragma once

#include <cstddef>

#include "barriers/api/barrier_state.h"
#include "collector/api/misuse.h"

namespace keel {

template <typename T>
class Ptr {
 public:
  Ptr() = default;
  Ptr(std::nullptr_t) {}  // NOLINT(google-explicit-constructor)
  Ptr(T* target) {        // NOLINT(google-explicit-constructor)
    if (target != nullptr) check_stored_pointer(target);
    initialize_slot(slot_, reinterpret_cast<uintptr_t>(target));
  }
  Ptr(const Ptr& other) : Ptr(other.get()) {}
  Ptr& operator=(const Ptr& other) {
    if (this != &other) *this = other.get();
    return *this;
  }
  Ptr& operator=(T* target) {
    check_stored_pointer(target);
    write_slot(slot_, reinterpret_cast<uintptr_t>(target));
    return *this;
  }
  Ptr& operator=(std::nullptr_t) {
    check_stored_pointer(nullptr);
    write_slot(slot_, 0);
    return *this;
  }

  [[nodiscard]] T* get() const { return reinterpret_cast<T*>(slot_.load_relaxed()); }
  operator T*() const { return get(); }  // NOLINT(google-explicit-constructor)
  T* operator->() const { return get(); }

 private:
  Slot slot_;
};

}  // namespace keel
