// The forms of a map that the workload compares: what its keys and values are, and how entry i looks in each.
#pragma once

#include <string>

#include "workloads/backends/heap_backend.h"
#include "workloads/common/keys.h"
#include "workloads/maps/map_parts.h"

namespace keel {

struct MapBox {
  uint64_t number;
};

inline constexpr std::array<const char*, 7> kMapForms = {"string-int",  "string-string", "bytes12-int",
                                                         "int-int",     "int-pointer",   "bytes12-bytes129",
                                                         "int-bytes128"};

/// Entry i's key string: the list's, past its end with a suffix.
inline std::string_view key_text(const KeyList& keys, uint64_t i, std::string& scratch) {
  const std::string& key = keys.keys[i % keys.keys.size()];
  if (i < keys.keys.size()) return key;
  scratch = key + '#' + std::to_string(i / keys.keys.size());
  return scratch;
}

/// A number that looks random and is different for every i.
inline uint64_t scattered(uint64_t i) { return i * map_hash::kOdd1; }

template <typename B>
typename B::template Local<char> new_text(std::string_view text) {
  typename B::template Local<char> bytes = B::template make_array<char>(text.size());
  std::memcpy(static_cast<char*>(bytes), text.data(), text.size());
  return bytes;
}

/// MapKey<B, K>::with(keys, i, f) calls f(key of entry i) while the key is rooted; bytes(keys, i) is what it
/// holds beside the map; release(key) gives that back.
template <typename B, typename K>
struct MapKey;

template <typename B>
struct MapKey<B, uint64_t> {
  template <typename F>
  static void with(const KeyList&, uint64_t i, F&& f) {
    f(scattered(i));
  }
  static uint64_t objects() { return 0; }
  static uint64_t bytes(const uint64_t&) { return 0; }
  static void release(const uint64_t&) {}
};

template <typename B>
struct MapKey<B, std::array<unsigned char, 12>> {
  using K = std::array<unsigned char, 12>;
  template <typename F>
  static void with(const KeyList&, uint64_t i, F&& f) {
    K key{};
    const uint64_t number = scattered(i);
    std::memcpy(key.data(), &number, 8);
    std::memcpy(key.data() + 8, &i, 4);
    f(key);
  }
  static uint64_t objects() { return 0; }
  static uint64_t bytes(const K&) { return 0; }
  static void release(const K&) {}
};

template <typename B>
struct MapKey<B, Text<B>> {
  template <typename F>
  static void with(const KeyList& keys, uint64_t i, F&& f) {
    std::string scratch;
    const std::string_view text = key_text(keys, i, scratch);
    typename B::template Local<char> bytes = new_text<B>(text);
    f(Text<B>{static_cast<char*>(bytes), text.size()});
  }
  static uint64_t objects() { return 1; }
  static uint64_t bytes(const Text<B>& key) { return B::array_bytes(key.length); }
  static void release(const Text<B>& key) { B::release(key.bytes.get()); }
};

/// MapValue<B, V>: put(place, i) stores entry i's value, is(place, i) checks it.
template <typename B, typename V>
struct MapValue {
  static constexpr uint64_t kObjects = 0;
  static void put(V& place, uint64_t i) {
    if constexpr (std::is_integral_v<V>) {
      place = i;
    } else {
      std::memcpy(place.data(), &i, 8);
      place.back() = static_cast<unsigned char>(i);
    }
  }
  static bool is(const V& place, uint64_t i) {
    if constexpr (std::is_integral_v<V>) {
      return place == i;
    } else {
      return map_hash::load(place.data(), 8) == i && place.back() == static_cast<unsigned char>(i);
    }
  }
  static uint64_t bytes(const V&) { return 0; }
  static void release(const V&) {}
};

template <typename B>
struct MapValue<B, Text<B>> {
  static constexpr uint64_t kObjects = 1;
  static void put(Text<B>& place, uint64_t i) {
    const std::string digits = "value-" + std::to_string(i);
    place.bytes = static_cast<char*>(new_text<B>(digits));
    place.length = digits.size();
  }
  static bool is(const Text<B>& place, uint64_t i) { return place.view() == "value-" + std::to_string(i); }
  static uint64_t bytes(const Text<B>& place) { return B::array_bytes(place.length); }
  static void release(const Text<B>& place) { B::release(place.bytes.get()); }
};

/// `int -> *T`, as a struct of one pointer, which every backend's field type is.
template <typename B>
struct BoxPointer {
  typename B::template Field<MapBox> box;
};
template <typename B>
struct MapValue<B, BoxPointer<B>> {
  static constexpr uint64_t kObjects = 1;
  static void put(BoxPointer<B>& place, uint64_t i) { place.box = B::template make<MapBox>(i); }
  static bool is(const BoxPointer<B>& place, uint64_t i) { return place.box.get()->number == i; }
  static uint64_t bytes(const BoxPointer<B>&) { return B::slot_bytes(sizeof(MapBox)); }
  static void release(const BoxPointer<B>& place) { B::release(place.box.get()); }
};

/// Calls f.template operator()<K, V>() with the form's types; false if there is no such form.
template <typename B, typename F>
bool with_form(std::string_view name, F&& f) {
  using Twelve = std::array<unsigned char, 12>;
  if (name == "string-int") {
    f.template operator()<Text<B>, uint64_t>();
  } else if (name == "string-string") {
    f.template operator()<Text<B>, Text<B>>();
  } else if (name == "bytes12-int") {
    f.template operator()<Twelve, uint64_t>();
  } else if (name == "int-int") {
    f.template operator()<uint64_t, uint64_t>();
  } else if (name == "int-pointer") {
    f.template operator()<uint64_t, BoxPointer<B>>();
  } else if (name == "bytes12-bytes129") {
    f.template operator()<Twelve, std::array<unsigned char, 129>>();
  } else if (name == "int-bytes128") {
    f.template operator()<uint64_t, std::array<unsigned char, 128>>();
  } else {
    return false;
  }
  return true;
}

}  // namespace keel
