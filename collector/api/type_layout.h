// Which words of a type are pointers: proved, derived or declared, at compile time where it can be.
//
//   * pointer-free must be proved: arithmetic types, enums, arrays and aggregates of these;
//   * an aggregate of up to 12 fields has its map derived from its fields' types;
//   * any other class declares it in one line:   KEEL_POINTERS(Node, &Node::left, &Node::right);
//   * a Ptr in a union or std::variant is refused (no map is right for it).
// A type that is none of these does not compile, with a sentence. A derived map is compared with sizeof(T),
// so that a field the derivation cannot see (a C array, a base class) is refused.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "allocator/api/layout.h"
#include "allocator/base/atomic.h"
#include "collector/api/ptr.h"

namespace keel {

/// Specialised by KEEL_POINTERS: `declared` is true and `collect(offsets, base)` appends byte offsets.
template <typename T>
struct DeclaredPointers {
  static constexpr bool declared = false;
};

namespace detail {

template <typename T>
struct IsPtr : std::false_type {};
template <typename T>
struct IsPtr<Ptr<T>> : std::true_type {};

template <typename T>
struct IsStdArray : std::false_type {};
template <typename T, size_t N>
struct IsStdArray<std::array<T, N>> : std::true_type {
  using Element = T;
  static constexpr size_t kCount = N;
};

// Converts to anything: counts the fields of an aggregate by how many initialisers it takes.
struct AnyField {
  template <typename T>
  operator T() const;  // NOLINT(google-explicit-constructor): never defined
};

template <typename T, typename... Fields>
constexpr size_t count_fields() {
  if constexpr (sizeof...(Fields) > 12) {
    return 13;
  } else if constexpr (requires { T{std::declval<Fields>()..., std::declval<AnyField>()}; }) {
    return count_fields<T, Fields..., AnyField>();
  } else {
    return sizeof...(Fields);
  }
}

template <typename T>
auto field_pointers(T& t) {
  constexpr size_t n = count_fields<T>();
  if constexpr (n == 0) {
    return std::tuple<>();
  }
#define KEEL_FIELDS(N, ...)                                                                                  \
  else if constexpr (n == N) {                                                                               \
    auto& [__VA_ARGS__] = t;                                                                                 \
    return                                                                                                   \
        []<typename... F>(F&... field) { return std::tuple<F*...>(std::addressof(field)...); }(__VA_ARGS__); \
  }
  KEEL_FIELDS(1, a)
  KEEL_FIELDS(2, a, b)
  KEEL_FIELDS(3, a, b, c)
  KEEL_FIELDS(4, a, b, c, d)
  KEEL_FIELDS(5, a, b, c, d, e)
  KEEL_FIELDS(6, a, b, c, d, e, f)
  KEEL_FIELDS(7, a, b, c, d, e, f, g)
  KEEL_FIELDS(8, a, b, c, d, e, f, g, h)
  KEEL_FIELDS(9, a, b, c, d, e, f, g, h, i)
  KEEL_FIELDS(10, a, b, c, d, e, f, g, h, i, j)
  KEEL_FIELDS(11, a, b, c, d, e, f, g, h, i, j, k)
  KEEL_FIELDS(12, a, b, c, d, e, f, g, h, i, j, k, l)
#undef KEEL_FIELDS
}

template <typename Pointers>
struct Pointees {
  using type = void;
};
template <typename... F>
struct Pointees<std::tuple<F*...>> {
  using type = std::tuple<F...>;
};
template <typename T>
using FieldTypes = typename Pointees<decltype(field_pointers(std::declval<T&>()))>::type;

template <typename T>
constexpr bool is_derivable() {
  if constexpr (std::is_aggregate_v<T> && std::is_class_v<T> && !std::is_empty_v<T>) {
    return count_fields<T>() <= 12;
  }
  return false;
}

template <typename T>
constexpr bool is_noscan();

template <typename Tuple, size_t... I>
constexpr bool all_noscan(std::index_sequence<I...>) {
  return (is_noscan<std::remove_cv_t<std::tuple_element_t<I, Tuple>>>() && ...);
}

// Offsets as the Itanium ABI lays out an aggregate without bases: each field at the next multiple of its
// alignment.
template <typename Tuple, size_t... I>
constexpr size_t derived_size(std::index_sequence<I...>, size_t align) {
  size_t offset = 0;
  ((offset = (offset + alignof(std::tuple_element_t<I, Tuple>) - 1) /
                 alignof(std::tuple_element_t<I, Tuple>) * alignof(std::tuple_element_t<I, Tuple>) +
             sizeof(std::tuple_element_t<I, Tuple>)),
   ...);
  return (offset + align - 1) / align * align;
}

template <typename T>
constexpr bool is_noscan() {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    return true;
  } else if constexpr (std::is_array_v<T>) {
    return is_noscan<std::remove_cv_t<std::remove_all_extents_t<T>>>();
  } else if constexpr (IsStdArray<T>::value) {
    return is_noscan<typename IsStdArray<T>::Element>();
  } else if constexpr (DeclaredPointers<T>::declared || IsPtr<T>::value || std::is_pointer_v<T>) {
    return false;
  } else if constexpr (is_derivable<T>()) {
    using Fields = FieldTypes<T>;
    return all_noscan<Fields>(std::make_index_sequence<std::tuple_size_v<Fields>>());
  } else {
    return std::is_class_v<T> && std::is_empty_v<T>;
  }
}

template <typename T>
void collect_pointers(std::vector<uint32_t>& offsets, size_t base);

// Where the fields are, not where they should be: one may be over-aligned.
template <typename T>
void collect_fields(std::vector<uint32_t>& offsets, size_t base) {
  alignas(T) unsigned char raw[sizeof(T)];
  auto field = [&]<typename F>(const F* at) {
    const auto offset = reinterpret_cast<const unsigned char*>(at) - raw;
    collect_pointers<std::remove_cv_t<F>>(offsets, base + static_cast<size_t>(offset));
  };
  std::apply([&](auto*... fields) { (field(fields), ...); }, field_pointers(*reinterpret_cast<T*>(raw)));
}

template <typename T>
void collect_pointers(std::vector<uint32_t>& offsets, size_t base) {
  if constexpr (IsPtr<T>::value) {
    offsets.push_back(static_cast<uint32_t>(base / sizeof(void*)));
  } else if constexpr (DeclaredPointers<T>::declared) {
    DeclaredPointers<T>::collect(offsets, base);
  } else if constexpr (is_noscan<T>()) {
    return;
  } else if constexpr (std::is_array_v<T>) {
    using E = std::remove_extent_t<T>;
    for (size_t i = 0; i < std::extent_v<T>; ++i)
      collect_pointers<std::remove_cv_t<E>>(offsets, base + i * sizeof(E));
  } else if constexpr (IsStdArray<T>::value) {
    using E = typename IsStdArray<T>::Element;
    for (size_t i = 0; i < IsStdArray<T>::kCount; ++i) collect_pointers<E>(offsets, base + i * sizeof(E));
  } else {
    static_assert(
        !std::is_pointer_v<T>,
        "a raw pointer field is not traced: make it Ptr<T>, or uintptr_t if it must not keep anything alive");
    static_assert(is_derivable<T>(),
                  "keel cannot see where this type's pointers are: declare them with KEEL_POINTERS(Type, "
                  "&Type::field...)");
    using Fields = FieldTypes<T>;
    static_assert(!std::is_void_v<Fields>);
    static_assert(
        derived_size<Fields>(std::make_index_sequence<std::tuple_size_v<Fields>>(), alignof(T)) == sizeof(T),
        "this aggregate holds a C array, a base class, a bit-field or an over-aligned field: declare its "
        "pointers "
        "with KEEL_POINTERS");
    collect_fields<T>(offsets, base);
  }
}

template <typename T, typename M, typename Owner>
void collect_member(std::vector<uint32_t>& offsets, size_t base, M Owner::*member) {
  static_assert(std::is_base_of_v<Owner, T> || std::is_same_v<Owner, T>);
  alignas(T) unsigned char raw[sizeof(T)];
  const T* object = reinterpret_cast<const T*>(raw);
  const auto offset = reinterpret_cast<const unsigned char*>(&(object->*member)) - raw;
  collect_pointers<std::remove_cv_t<M>>(offsets, base + static_cast<size_t>(offset));
}

}  // namespace detail

/// True if the type is proved to hold no pointer.
template <typename T>
inline constexpr bool kIsNoscan = detail::is_noscan<std::remove_cv_t<T>>();

/// The map of one T, or of an array of T when `repeats`.
template <typename T>
PointerMap pointer_map_of(bool repeats) {
  static_assert(std::is_trivially_destructible_v<T>,
                "heap types have no destructors: use a finalizer or a cleanup");
  static_assert(alignof(T) <= kMaxAlignment,
                "heap objects are aligned to at most 64 bytes: this type asks for more");
  PointerMap map;
  if constexpr (!kIsNoscan<T>) {
    map.kind = MapKind::kOneUnit;
    map.unit_words = static_cast<uint32_t>((sizeof(T) + sizeof(void*) - 1) / sizeof(void*));
    detail::collect_pointers<T>(map.offsets, 0);
    map.repeats = repeats;
  }
  return map;
}

namespace detail {
// What to ask a layout of this class for.
constexpr size_t class_bytes(uint8_t size_class, size_t bytes) {
  return size_class == 0 ? bytes : kSizeClasses[size_class].slot_bytes;
}
}  // namespace detail

/// Layout of a T followed by `tail_bytes` pointer-free bytes. Cost: one load after the first call per size
/// class.
template <typename T>
LayoutId layout_for(size_t bytes) {
  // acquire/release [layout.publish]: the layout entry is visible to whoever reads its id here. Registering
  // twice gives the same id.
  static std::array<Atomic<LayoutId>, kSizeClassCount> ids{};
  const uint8_t size_class = aligned_size_class_of<alignof(T)>(bytes);
  Atomic<LayoutId>& cached = ids[size_class];
  LayoutId id = cached.load(std::memory_order_acquire);
  if (id == 0) [[unlikely]] {
    id = register_layout(detail::class_bytes(size_class, bytes), pointer_map_of<T>(false));
    cached.store(id, std::memory_order_release);
  }
  return id;
}

/// Layout of an array of T in a slot for `bytes`.
template <typename T>
LayoutId array_layout_for(size_t bytes) {
  static std::array<Atomic<LayoutId>, kSizeClassCount> ids{};
  const uint8_t size_class = aligned_size_class_of<alignof(T)>(bytes);
  Atomic<LayoutId>& cached = ids[size_class];
  // acquire/release [layout.publish]: the layout entry is visible to whoever reads its id here.
  LayoutId id = cached.load(std::memory_order_acquire);
  if (id == 0) [[unlikely]] {
    id = register_layout(detail::class_bytes(size_class, bytes), pointer_map_of<T>(true));
    cached.store(id, std::memory_order_release);
  }
  return id;
}

}  // namespace keel

/// Declares the pointer fields of a type whose map cannot be derived; at namespace scope, after the type.
#define KEEL_POINTERS(Type, ...)                                             \
  template <>                                                                \
  struct keel::DeclaredPointers<Type> {                                      \
    static constexpr bool declared = true;                                   \
    static void collect(std::vector<uint32_t>& offsets, size_t base) {       \
      [&]<typename... M>(M... members) {                                     \
        (::keel::detail::collect_member<Type>(offsets, base, members), ...); \
      }(__VA_ARGS__);                                                        \
    }                                                                        \
  }
