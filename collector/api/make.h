// Allocation of typed objects: make<T>(...), make_array<T>(n), make_with_tail<T>(bytes, ...), make_bytes(n).
//
// Each is a safepoint, before the object exists; constructor arguments are evaluated before that, so a T*
// among them must be held by a local (conservative roots) or a Local<T> (precise roots). Memory is zeroed,
// and aligned as T asks, to at most 64 bytes. Objects do not move. Threads: attached mutators. Errors:
// OutOfMemory, also for sizes that no computer has; it names what was asked for.
#pragma once

#include <new>
#include <utility>

#include "collector/api/mutator.h"
#include "collector/api/type_layout.h"

namespace keel {
namespace detail {

[[noreturn]] void throw_beyond_addresses(size_t count, size_t size, size_t more);

/// count * size + more. Throws OutOfMemory if that is more than a size can say.
inline size_t total_bytes(size_t count, size_t size, size_t more) {
  size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(bytes, more, &bytes)) [[unlikely]]
    throw_beyond_addresses(count, size, more);
  return bytes;
}

template <size_t kAlignment>
void* allocate_object(LayoutId id, size_t bytes) {
  Mutator* self = Mutator::current();
  KEEL_DCHECK(self != nullptr, "allocation on a thread that is not attached");
  const uint8_t size_class = aligned_size_class_of<kAlignment>(bytes);
  if (size_class == 0) [[unlikely]]
    return self->allocate_large(id, bytes);
  return self->allocate(id, kSizeClasses[size_class].slot_bytes);
}

}  // namespace detail

template <typename T, typename... Args>
T* make(Args&&... args) {
  void* slot = detail::allocate_object<alignof(T)>(layout_for<T>(sizeof(T)), sizeof(T));
  return new (slot) T{std::forward<Args>(args)...};
}

/// A T with `tail_bytes` pointer-free bytes behind it (`reinterpret_cast<char*>(object + 1)`).
template <typename T, typename... Args>
T* make_with_tail(size_t tail_bytes, Args&&... args) {
  const size_t bytes = detail::total_bytes(1, sizeof(T), tail_bytes);
  return new (detail::allocate_object<alignof(T)>(layout_for<T>(bytes), bytes))
      T{std::forward<Args>(args)...};
}

/// `count` zeroed Ts. One byte of slack keeps end() inside the object.
template <typename T>
T* make_array(size_t count) {
  static_assert(kIsNoscan<T> || sizeof(T) % sizeof(void*) == 0);
  const size_t bytes = detail::total_bytes(count, sizeof(T), 1);
  return static_cast<T*>(detail::allocate_object<alignof(T)>(array_layout_for<T>(bytes), bytes));
}

/// A pointer-free object of exactly `bytes` bytes; large ones are never touched by the heap (a ballast).
inline void* make_bytes(size_t bytes) {
  return detail::allocate_object<1>(array_layout_for<unsigned char>(bytes), bytes);
}

}  // namespace keel
