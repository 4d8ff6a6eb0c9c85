// Allocation of typed objects: make<T>(...), make_array<T>(n), make_with_tail<T>(bytes, ...), make_bytes(n).
//
// Each is a safepoint, before the object exists; constructor arguments are evaluated before that, so a T*
// among them must be held by a local (conservative roots) or a Local<T> (precise roots). Memory is zeroed.
// Objects do not move. Threads: attached mutators. Errors: OutOfMemory.
#pragma once

#include <new>
#include <utility>

#include "collector/api/mutator.h"
#include "collector/api/type_layout.h"

namespace keel {
namespace detail {

inline void* allocate_object(LayoutId id, size_t bytes) {
  Mutator* self = Mutator::current();
  KEEL_DCHECK(self != nullptr, "allocation on a thread that is not attached");
  const uint8_t size_class = size_class_of(bytes);
  if (size_class == 0) [[unlikely]]
    return self->allocate_large(id, bytes);
  return self->allocate(id, kSizeClasses[size_class].slot_bytes);
}

}  // namespace detail

template <typename T, typename... Args>
T* make(Args&&... args) {
  void* slot = detail::allocate_object(layout_for<T>(sizeof(T)), sizeof(T));
  return new (slot) T{std::forward<Args>(args)...};
}

/// A T with `tail_bytes` pointer-free bytes behind it (`reinterpret_cast<char*>(object + 1)`).
template <typename T, typename... Args>
T* make_with_tail(size_t tail_bytes, Args&&... args) {
  const size_t bytes = sizeof(T) + tail_bytes;
  return new (detail::allocate_object(layout_for<T>(bytes), bytes)) T{std::forward<Args>(args)...};
}

/// `count` zeroed Ts. One byte of slack keeps end() inside the object.
template <typename T>
T* make_array(size_t count) {
  static_assert(kIsNoscan<T> || sizeof(T) % sizeof(void*) == 0);
  const size_t bytes = count * sizeof(T) + 1;
  return static_cast<T*>(detail::allocate_object(array_layout_for<T>(bytes), bytes));
}

/// A pointer-free object of exactly `bytes` bytes; large ones are never touched by the heap (a ballast).
inline void* make_bytes(size_t bytes) {
  return detail::allocate_object(array_layout_for<unsigned char>(bytes), bytes);
}

}  // namespace keel
