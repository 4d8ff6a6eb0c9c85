// Layouts: what a slot looks like to the marker. Every span holds objects of one layout.
//
// A layout is (slot size, pointer map). Types that agree on both share one; all pointer-free types of a size
// class share one. So an object has no header, and the marker reads the map once per span. Layouts are
// registered once per process and never change; an id is published after its entry is complete
// [layout.publish].
//
// The map is a unit of `unit_words` words, repeated over the slot; bit i of `bits` says that word i of a unit
// holds a Ptr. No pointer lies at or beyond `prefix_words`, so scanning stops there.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "allocator/base/atomic.h"
#include "allocator/base/mutex.h"
#include "allocator/size/size_classes.h"

namespace keel {

using LayoutId = uint16_t;

/// Fits the 12 bits that a grey entry gives a layout. Id 0 is never a layout.
inline constexpr size_t kMaxLayouts = 4096;

enum class MapKind : uint8_t {
  kNoscan,        // no pointers at all: never scanned
  kAllPointers,   // every word of the prefix is a Ptr
  kOneUnit,       // one unit, at most 64 words of prefix: bits
  kRepeated,      // units of at most 64 words: bits
  kLong,          // units longer than 64 words: long_bits
  kConservative,  // every word of the prefix may be a pointer
};

/// Where the pointers of a type are, as the type's author or the derivation states it.
struct PointerMap {
  MapKind kind = MapKind::kNoscan;
  uint32_t unit_words = 1;
  std::vector<uint32_t> offsets;  // word offsets of Ptrs in one unit, ascending
  bool repeats = false;           // an array of units rather than one
};

struct alignas(64) Layout {
  uint32_t slot_bytes = 0;  // 0 for large objects: their span knows the size
  uint32_t slot_magic = 0;  // ceil(2^32 / slot_bytes): (offset * magic) >> 32 is the slot index
  uint32_t slots = 0;       // per span; 1 for large
  uint16_t span_pages = 0;  // 0 for large
  uint8_t size_class = 0;   // 0 for large
  MapKind kind = MapKind::kNoscan;
  uint32_t unit_words = 1;
  uint32_t prefix_words = 0;  // small objects; large ones derive it from the span
  uint64_t bits = 0;
  const uint64_t* long_bits = nullptr;  // kLong: unit_words bits, lives as long as the process
  LayoutId id = 0;

  [[nodiscard]] bool noscan() const { return kind == MapKind::kNoscan; }
  [[nodiscard]] bool large() const { return size_class == 0; }
  /// Slot that holds byte `offset` of a span, by reciprocal instead of division. Exact for offsets below 2^17
  /// (kMaxSpanPages * kPageBytes): the error offset * (magic * slot - 2^32) stays below 2^32; tested for all.
  [[nodiscard]] uint32_t slot_of(size_t offset) const {
    return static_cast<uint32_t>((offset * uint64_t{slot_magic}) >> 32);
  }
};

/// So many layouts follow their maps. Beyond them each size class has one more in which every word is looked
/// at, as conservatively as a word of a stack: right for any map, and slower. With those of pointer-free
/// objects they fit what is left, so there is never one too many.
inline constexpr size_t kMaxPreciseLayouts = kMaxLayouts - 1 - 2 * kSizeClassCount;

/// Finds or registers the layout for objects of `bytes` with this map, or the conservative one of its size
/// beyond kMaxPreciseLayouts. Threads: any. Cost: a lock and a search; callers cache the id.
LayoutId register_layout(size_t bytes, const PointerMap& map);

/// The registry's lock, for fork(): held across it, so that the child finds the registry whole and can look
/// layouts up and register them.
Mutex& layouts_fork_lock();

namespace detail {
extern std::array<Layout, kMaxLayouts> g_layouts;
extern Atomic<uint32_t> g_layout_count;
}  // namespace detail

/// The layout with this id. The id came from register_layout() or from a page entry published after it.
inline const Layout& layout_of(LayoutId id) { return detail::g_layouts[id]; }

/// Ids in use are [1, layout_count()).
inline uint32_t layout_count() {
  // acquire [layout.publish]: pairs with the release in register_layout(); entries below the count are
  // complete.
  return detail::g_layout_count.load(std::memory_order_acquire);
}

/// Words of an object of `bytes` (a large one's own, a small one's slot) that hold a pointer, or may under a
/// conservative map. An array that does not fill its slot is counted as if it did.
uint64_t pointer_words(const Layout& layout, uint64_t bytes);

/// "48 B slot, pointers at 0 2", "1024 B noscan": for reports and dumps.
std::string describe_layout(const Layout& layout);

}  // namespace keel
