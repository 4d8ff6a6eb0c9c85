// What both map types are made of: strings, hashes, and cells for keys and values.
//
// The rules that decide whether a map is pointer-free, as in Go (cmd/compile reflectdata/map.go,
// runtime/map.go): a key or value above 128 B is stored indirectly, behind a pointer, and makes the map
// pointer-bearing whatever the type holds; a string is (pointer, length).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "allocator/base/bits.h"
#include "collector/api/type_layout.h"

namespace keel {

/// Go's string: bytes elsewhere, and their number. The bytes do not change.
template <typename B>
struct Text {
  typename B::template Field<char> bytes;
  uint64_t length;

  [[nodiscard]] std::string_view view() const { return {bytes.get(), length}; }
  friend bool operator==(const Text& a, const Text& b) { return a.view() == b.view(); }
};

namespace map_hash {

__extension__ using Wide = unsigned __int128;

// 128-bit product folded to 64 bits: the mixing step of wyhash and its kin.
inline uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}
inline constexpr uint64_t kOdd1 = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
inline constexpr uint64_t kOdd2 = 0xd6e8feb86659fd93;

inline uint64_t load(const void* at, size_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, at, bytes);
  return word;
}

/// Any bytes. Threads: any. Cost: a multiplication per 16 bytes.
inline uint64_t of_bytes(const void* start, size_t bytes, uint64_t seed) {
  const auto* at = static_cast<const unsigned char*>(start);
  uint64_t hash = seed ^ kOdd1;
  size_t left = bytes;
  for (; left > 16; left -= 16, at += 16) hash = mix(load(at, 8) ^ kOdd2, load(at + 8, 8) ^ hash);
  uint64_t low = 0;
  uint64_t high = 0;
  if (left >= 8) {
    low = load(at, 8);
    high = load(at + left - 8, 8);
  } else if (left >= 4) {
    low = load(at, 4);
    high = load(at + left - 4, 4);
  } else if (left > 0) {
    low = uint64_t{at[0]} << 16 | uint64_t{at[left / 2]} << 8 | at[left - 1];
  }
  return mix(kOdd1 ^ bytes, mix(low ^ kOdd2, high ^ hash));
}

}  // namespace map_hash

/// How a key is hashed; both maps take it as a parameter.
template <typename K>
struct MapHash {
  static_assert(std::is_trivially_copyable_v<K> && std::has_unique_object_representations_v<K>,
                "a key with padding or pointers needs a MapHash of its own");
  static uint64_t of(const K& key, uint64_t seed) {
    if constexpr (sizeof(K) == 8) {
      return map_hash::mix(map_hash::load(&key, 8) ^ seed ^ map_hash::kOdd1, map_hash::kOdd2);
    } else {
      return map_hash::of_bytes(&key, sizeof(K), seed);
    }
  }
};
template <typename B>
struct MapHash<Text<B>> {
  static uint64_t of(const Text<B>& key, uint64_t seed) {
    return map_hash::of_bytes(key.bytes.get(), key.length, seed);
  }
};

/// What a map takes: its own objects, the indirect cells of its keys and values included.
struct MapFootprint {
  uint64_t bytes = 0;
  uint64_t objects = 0;
  uint64_t pointer_slots = 0;  // words of it that the marker looks at

  void add(uint64_t object_bytes, uint64_t pointers) {
    bytes += object_bytes;
    pointer_slots += pointers;
    ++objects;
  }
};
/// Pointer words in a T.
template <typename T>
uint64_t pointers_in() {
  static const uint64_t count = pointer_map_of<T>(false).offsets.size();
  return count;
}

/// How a key or value lies in the map.
template <typename B, typename T>
struct MapCell {
  static constexpr size_t kMostInline = 128;  // Go: abi.MapMaxKeyBytes, MapMaxElemBytes
  static constexpr bool kIndirect = sizeof(T) > kMostInline;
  static constexpr bool kNoscan = !kIndirect && kIsNoscan<T>;
  using Stored = std::conditional_t<kIndirect, typename B::template Field<T>, T>;

  static T& get(Stored& stored) {
    if constexpr (kIndirect) {
      return *stored.get();
    } else {
      return stored;
    }
  }
  /// May allocate; `stored` is reachable.
  static void create(Stored& stored) {
    if constexpr (kIndirect && kIsNoscan<T>) {
      stored =
          reinterpret_cast<T*>(B::template make_array<uint64_t>((sizeof(T) + kWordBytes - 1) / kWordBytes));
    } else if constexpr (kIndirect) {
      stored = B::template make<T>();
    }
  }
  /// Bytes of the cell behind the pointer, 0 if there is none.
  static void add_cell(MapFootprint& footprint) {
    if constexpr (kIndirect && kIsNoscan<T>) {
      footprint.add(B::array_bytes((sizeof(T) + kWordBytes - 1) / kWordBytes * kWordBytes), 0);
    } else if constexpr (kIndirect) {
      footprint.add(B::slot_bytes(sizeof(T)), pointers_in<T>());
    }
  }
  /// The entry goes; with explicit freeing its cell too.
  static void clear(Stored& stored) {
    if constexpr (kIndirect) {
      B::release(stored.get());
      stored = nullptr;
    } else if constexpr (!kNoscan) {
      stored = T{};
    }
  }
  /// The entry has moved to another bucket: only this copy of it goes.
  static void forget(Stored& stored) {
    if constexpr (kIndirect) {
      stored = nullptr;
    } else if constexpr (!kNoscan) {
      stored = T{};
    }
  }
};

/// Eight bytes at once: 0x80 in every byte of `bytes` that is zero, exactly.
inline uint64_t zero_bytes(uint64_t bytes) {
  constexpr uint64_t kLow7 = 0x7f7f7f7f7f7f7f7f;
  return ~(((bytes & kLow7) + kLow7) | bytes | kLow7);
}
inline uint64_t in_every_byte(uint8_t value) { return uint64_t{0x0101010101010101} * value; }
/// Index of the lowest byte that zero_bytes() found.
inline uint32_t first_byte(uint64_t found) { return static_cast<uint32_t>(__builtin_ctzll(found)) >> 3; }

}  // namespace keel
