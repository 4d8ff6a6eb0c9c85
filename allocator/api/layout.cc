// Registration of layouts; see layout.h.
#include "allocator/api/layout.h"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <tuple>

#include "allocator/base/atomic.h"
#include "allocator/base/bits.h"
#include "allocator/base/defects.h"
#include "allocator/base/mutex.h"
#include "allocator/base/out_of_memory.h"

namespace keel {
namespace detail {
constinit std::array<Layout, kMaxLayouts> g_layouts{};
constinit Atomic<uint32_t> g_layout_count{1};
}  // namespace detail

namespace {

// Class, kind, unit, prefix, offsets: what makes two layouts the same.
using Key = std::tuple<uint8_t, MapKind, uint32_t, uint32_t, std::vector<uint32_t>>;

struct Registry {
  Mutex mu{LockRank::kLayouts};
  std::map<Key, LayoutId> ids KEEL_GUARDED_BY(mu);
  std::vector<std::unique_ptr<uint64_t[]>> long_maps KEEL_GUARDED_BY(mu);
};

Registry& registry() {
  static Registry* instance = new Registry;  // never destroyed: layouts outlive every heap
  return *instance;
}

// The kind that scans fastest for what the map says.
MapKind fastest_kind(const PointerMap& map) {
  if (map.kind == MapKind::kConservative) return map.kind;
  if (map.offsets.empty()) return MapKind::kNoscan;
  if (map.repeats && map.offsets.size() == map.unit_words) return MapKind::kAllPointers;
  if (!map.repeats && map.offsets.back() < 64) return MapKind::kOneUnit;
  return map.unit_words <= 64 ? MapKind::kRepeated : MapKind::kLong;
}

}  // namespace

LayoutId register_layout(size_t bytes, const PointerMap& map) {
  uint8_t size_class = size_class_of(bytes);
  if (defect(Defect::kSizeClassTooSmall) && size_class > 1) --size_class;
  const SizeClass& sizes = kSizeClasses[size_class];
  MapKind kind = fastest_kind(map);
  uint32_t unit = kind == MapKind::kAllPointers || kind == MapKind::kNoscan ? 1 : map.unit_words;
  const uint32_t slot_words = sizes.slot_bytes / kWordBytes;
  uint32_t prefix = 0;
  if (kind == MapKind::kConservative || map.repeats) {
    prefix = slot_words;
  } else if (kind != MapKind::kNoscan) {
    prefix = map.offsets.back() + 1;
  }
  if (!map.repeats && kind == MapKind::kOneUnit) unit = prefix;
  std::vector<uint32_t> offsets = map.offsets;
  if (defect(Defect::kFieldMissingFromMap) && offsets.size() > 1) offsets.pop_back();
  if (kind == MapKind::kAllPointers) offsets = {0};

  Registry& r = registry();
  MutexLock lock(r.mu);
  Key key{size_class, kind, unit, prefix, offsets};
  if (const auto found = r.ids.find(key); found != r.ids.end()) return found->second;
  // relaxed [layout.publish]: only writers, under the lock, come here.
  const uint32_t id = detail::g_layout_count.load(std::memory_order_relaxed);
  if (id > kMaxPreciseLayouts && kind != MapKind::kNoscan && kind != MapKind::kConservative) {
    kind = MapKind::kConservative;
    unit = 1;
    prefix = slot_words;
    offsets.clear();
    key = {size_class, kind, unit, prefix, offsets};
    if (const auto found = r.ids.find(key); found != r.ids.end()) return found->second;
  }
  KEEL_CHECK(id < kMaxLayouts, "layout: more than %zu layouts", kMaxLayouts - 1);
  // All that takes memory comes first: an entry half filled in would be the next layout's.
  std::unique_ptr<uint64_t[]> long_bits;
  if (kind == MapKind::kLong) {
    make_room(r.long_maps);
    long_bits = std::make_unique<uint64_t[]>((unit + 63) / 64);
  }
  r.ids.emplace(key, static_cast<LayoutId>(id));
  Layout& layout = detail::g_layouts[id];
  layout.id = static_cast<LayoutId>(id);
  layout.size_class = size_class;
  layout.kind = kind;
  layout.slot_bytes = sizes.slot_bytes;
  layout.slots = size_class == 0 ? 1 : sizes.slots;
  layout.span_pages = static_cast<uint16_t>(sizes.pages);
  layout.slot_magic =
      size_class == 0
          ? 0
          : static_cast<uint32_t>(((uint64_t{1} << 32) + sizes.slot_bytes - 1) / sizes.slot_bytes);
  if (defect(Defect::kReciprocalRoundedDown)) layout.slot_magic -= 1;
  layout.unit_words = unit;
  layout.prefix_words = prefix;
  if (kind == MapKind::kLong) {
    for (uint32_t offset : offsets) long_bits[offset / 64] |= uint64_t{1} << (offset % 64);
    layout.long_bits = long_bits.get();
    r.long_maps.push_back(std::move(long_bits));
  } else {
    for (uint32_t offset : offsets) layout.bits |= uint64_t{1} << offset;
  }
  // release [layout.publish]: the entry above is visible to whoever reads the count, or gets the id from us.
  detail::g_layout_count.store(id + 1, std::memory_order_release);
  return layout.id;
}

Mutex& layouts_fork_lock() { return registry().mu; }

uint64_t pointer_words(const Layout& layout, uint64_t bytes) {
  const uint64_t words = layout.large() ? bytes / kWordBytes : layout.prefix_words;
  const uint64_t units = std::max<uint64_t>(1, words / layout.unit_words);
  switch (layout.kind) {
    case MapKind::kNoscan:
      return 0;
    case MapKind::kAllPointers:
    case MapKind::kConservative:
      return words;
    case MapKind::kOneUnit:
      return static_cast<uint64_t>(std::popcount(layout.bits));
    case MapKind::kRepeated:
      return units * static_cast<uint64_t>(std::popcount(layout.bits));
    case MapKind::kLong: {
      uint64_t set = 0;
      for (uint32_t i = 0; i < (layout.unit_words + 63) / 64; ++i) {
        set += static_cast<uint64_t>(std::popcount(layout.long_bits[i]));
      }
      return units * set;
    }
  }
  return 0;
}

std::string describe_layout(const Layout& layout) {
  std::string text = layout.large() ? "large" : std::to_string(layout.slot_bytes) + " B";
  switch (layout.kind) {
    case MapKind::kNoscan:
      return text + " noscan";
    case MapKind::kConservative:
      return text + " conservative";
    case MapKind::kAllPointers:
      return text + " pointers";
    case MapKind::kOneUnit:
    case MapKind::kRepeated: {
      text += layout.kind == MapKind::kRepeated
                  ? " units of " + std::to_string(layout.unit_words * kWordBytes) + " B,"
                  : std::string(",");
      text += " pointers at";
      for (uint32_t i = 0; i < 64; ++i) {
        if ((layout.bits >> i & 1) != 0) text += " " + std::to_string(i * kWordBytes);
      }
      return text;
    }
    case MapKind::kLong:
      return text + " units of " + std::to_string(layout.unit_words * kWordBytes) + " B";
  }
  return text;
}

}  // namespace keel
