// SwissMap: the hash map of Go since 1.24, on any backend's heap (internal/runtime/maps of Go 1.24: sizes,
// load factor and the order of steps).
//
// Groups of 8 slots with 8 control bytes (7 bits of hash, or empty, or deleted); open addressing over groups
// with triangular probing, at most 7 of 8 slots full. Up to 8 entries one group stands alone; above that,
// tables of up to 1,024 slots hang on a directory by the upper bits of the hash: a full table doubles, a full
// table of 1,024 splits in two (extendible hashing), so that growth moves at most 1,024 entries at a time.
//
// Pointer-free keys and values make the groups noscan; only the directory and the table headers are scanned
// then. Threads, roots and validity of pointers as in go_map.h.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "workloads/maps/map_parts.h"

namespace keel {

template <typename B, typename K, typename V, typename Hash = MapHash<K>>
class SwissMap {
  using Key = MapCell<B, K>;
  using Value = MapCell<B, V>;
  template <typename T>
  using Field = typename B::template Field<T>;
  template <typename T>
  using Local = typename B::template Local<T>;

 public:
  static constexpr uint32_t kSlots = 8;
  static constexpr bool kNoscan = Key::kNoscan && Value::kNoscan;

  struct Pair {
    typename Key::Stored key;
    typename Value::Stored value;
  };
  struct Group {
    std::array<uint8_t, kSlots> control;
    std::array<Pair, kSlots> slots;
  };
  struct Table {
    Field<Group> groups;
    uint64_t group_mask;
    uint32_t used;
    uint32_t growth_left;
    uint32_t local_depth;
    uint32_t replaced;  // by a larger one, or by two
  };
  struct DirectorySlot {
    Field<Table> table;
  };
  struct Header {
    Field<DirectorySlot> directory;  // null while the map is small
    Field<Group> small;
    uint64_t used;
    uint64_t seed;
    uint64_t global_depth;
  };

  static Header* make(uint64_t hint, uint64_t seed) {
    Local<Header> h = B::template make<Header>();
    h->seed = seed;
    if (hint <= kSlots) {
      h->small = new_groups(1);
      return h;
    }
    // Room for the hint at the full load of 7 of 8.
    const uint64_t slots = std::bit_ceil(hint * kSlots / kMostLoad + 1);
    const uint64_t tables = std::max<uint64_t>(1, slots / kMostTableSlots);
    h->global_depth = static_cast<uint64_t>(std::countr_zero(tables));
    h->directory = B::template make_array<DirectorySlot>(tables);
    for (uint64_t i = 0; i < tables; ++i) {
      h->directory.get()[i].table =
          new_table(std::min(slots, kMostTableSlots), static_cast<uint32_t>(h->global_depth));
    }
    return h;
  }

  [[nodiscard]] static uint64_t size(const Header* h) { return h->used; }
  /// About the bytes of the groups of a map that has grown to `entries`: a table that doubles or splits when
  /// 7 of 8 slots are used is, over its life, used to some 2/3.
  static uint64_t expected_bytes(uint64_t entries) {
    return (entries + entries / 2) / kSlots * sizeof(Group) + sizeof(Group);
  }

  static V* find(Header* h, const K& key) {
    if (h->used == 0) return nullptr;
    const uint64_t hash = Hash::of(key, h->seed);
    if (h->directory.get() == nullptr) return find_in(h->small.get(), 0, hash, key);
    const Table* table = table_of(h, hash);
    return find_in(table->groups.get(), table->group_mask, hash, key);
  }

  /// The place of the key's value; a new entry's value is zero. Allocates.
  static V& assign(Header* h, const K& key) {
    const uint64_t hash = Hash::of(key, h->seed);
    for (;;) {
      if (h->directory.get() == nullptr) {
        Group* group = h->small.get();
        if (V* there = find_in(group, 0, hash, key)) return *there;
        if (h->used < kSlots) {
          ++h->used;
          return fill(group, first_byte(free_slots(controls(group))), hash, key);
        }
        leave_small(h);
      }
      Table* table = table_of(h, hash);
      if (V* place = assign_in(h, table, hash, key)) return *place;
      rehash(h, table, hash);
    }
  }

  static bool erase(Header* h, const K& key) {
    if (h->used == 0) return false;
    const uint64_t hash = Hash::of(key, h->seed);
    Table* table = h->directory.get() == nullptr ? nullptr : table_of(h, hash);
    Group* groups = table == nullptr ? h->small.get() : table->groups.get();
    const uint64_t mask = table == nullptr ? 0 : table->group_mask;
    for (Probe probe(hash, mask);; probe.next()) {
      Group* group = groups + probe.at;
      const uint64_t bytes = controls(group);
      for (uint64_t found = matching(bytes, hash); found != 0; found &= found - 1) {
        const uint32_t i = first_byte(found);
        Pair& pair = group->slots[i];
        if (!(Key::get(pair.key) == key)) continue;
        Key::clear(pair.key);
        Value::clear(pair.value);
        if constexpr (Value::kNoscan) pair.value = {};
        // A group that was never full ends every probe: no tombstone is needed.
        const bool ends_probes = empty_slots(bytes) != 0 || table == nullptr;
        group->control[i] = ends_probes ? kEmpty : kDeleted;
        if (table != nullptr) {
          --table->used;
          if (ends_probes) ++table->growth_left;
        }
        --h->used;
        return true;
      }
      if (empty_slots(bytes) != 0 || table == nullptr) return false;
    }
  }

  /// With explicit freeing: gives everything back, the header too. Nothing under a collector.
  static void destroy(Header* h) {
    if constexpr (B::kFrees) {
      if (h->small.get() != nullptr) release_groups(h->small.get(), 1);
      if (h->directory.get() != nullptr) {
        const Table* last = nullptr;
        for (uint64_t i = 0; i < uint64_t{1} << h->global_depth; ++i) {
          Table* table = h->directory.get()[i].table.get();
          if (table == last) continue;
          last = table;
          release_groups(table->groups.get(), table->group_mask + 1);
          B::release(table);
        }
        B::release(h->directory.get());
      }
      B::release(h);
    }
  }

  /// What the map takes now, from its structure.
  static MapFootprint footprint(Header* h) {
    MapFootprint total;
    total.add(B::slot_bytes(sizeof(Header)), pointers_in<Header>());
    if (h->small.get() != nullptr) add_groups(total, h->small.get(), 1);
    if (h->directory.get() == nullptr) return total;
    const uint64_t entries = uint64_t{1} << h->global_depth;
    total.add(B::array_bytes(entries * sizeof(DirectorySlot)), entries);
    const Table* last = nullptr;
    for (uint64_t i = 0; i < entries; ++i) {
      const Table* table = h->directory.get()[i].table.get();
      if (table == last) continue;
      last = table;
      total.add(B::slot_bytes(sizeof(Table)), pointers_in<Table>());
      add_groups(total, table->groups.get(), table->group_mask + 1);
    }
    return total;
  }

  /// As GoMap::Iterator. A table that is replaced while it is being walked is walked to its end, and each of
  /// its keys looked up in what has replaced it.
  class Iterator {
   public:
    Iterator(Header* h, uint64_t seed)
        : header_(h),
          table_(nullptr),
          small_(h->directory.get() == nullptr ? h->small.get() : nullptr),
          offset_(map_hash::mix(seed ^ map_hash::kOdd1, map_hash::kOdd2)),
          depth_(h->global_depth) {}
    Iterator(const Iterator&) = delete;
    Iterator& operator=(const Iterator&) = delete;

    bool next() {
      Header* h = header_;
      if (small_ != nullptr) {
        while (at_ < kSlots) {
          if (take(small_, (at_++ + offset_) % kSlots, h->directory.get() != nullptr)) return true;
        }
        return false;
      }
      for (;;) {
        if (table_ == nullptr && !next_table()) return false;
        Table* table = table_;
        const uint64_t slots = (table->group_mask + 1) * kSlots;
        while (at_ < slots) {
          const uint64_t slot = (at_++ + offset_) & (slots - 1);
          if (take(table->groups.get() + slot / kSlots, slot % kSlots, table->replaced != 0)) return true;
        }
        skip_table();
      }
    }
    const K& key() const { return *key_; }
    V& value() const { return *value_; }

   private:
    void follow_depth() {
      Header* h = header_;
      index_ <<= h->global_depth - depth_;
      depth_ = h->global_depth;
    }
    bool next_table() {
      follow_depth();
      Header* h = header_;
      if (index_ >= uint64_t{1} << depth_) return false;
      table_ = h->directory.get()[index_].table.get();
      at_ = 0;
      return true;
    }
    // Everything that the table covered when its walk began is done, however it has been split since.
    void skip_table() {
      follow_depth();
      Table* table = table_;
      index_ += uint64_t{1} << (depth_ - table->local_depth);
      table_ = nullptr;
    }
    bool take(Group* group, uint64_t i, bool stale) {
      if ((group->control[i] & 0x80) != 0) return false;
      K& key = Key::get(group->slots[i].key);
      if (stale) {
        Header* h = header_;
        const uint64_t hash = Hash::of(key, h->seed);
        const Table* table = table_of(h, hash);
        Pair* pair = find_pair(table->groups.get(), table->group_mask, hash, key);
        if (pair == nullptr) return false;
        key_ = &Key::get(pair->key);
        value_ = &Value::get(pair->value);
        return true;
      }
      key_ = &key;
      value_ = &Value::get(group->slots[i].value);
      return true;
    }

    Local<Header> header_;
    Local<Table> table_;
    Local<Group> small_;
    const uint64_t offset_;
    uint64_t depth_;
    uint64_t index_ = 0;
    uint64_t at_ = 0;
    K* key_ = nullptr;
    V* value_ = nullptr;
  };

 private:
  static constexpr uint8_t kEmpty = 0x80;
  static constexpr uint8_t kDeleted = 0xfe;
  static constexpr uint64_t kMostTableSlots = 1024;  // Go: maxTableCapacity
  static constexpr uint64_t kMostLoad = 7;           // of 8 (Go: maxAvgGroupLoad)
  static constexpr uint64_t kUpperBits = 0x8080808080808080;

  // Groups in triangular steps: every group once, as their number is a power of two.
  struct Probe {
    Probe(uint64_t hash, uint64_t group_mask) : mask(group_mask), at(hash >> 7 & group_mask) {}
    void next() { at = (at + ++step) & mask; }
    const uint64_t mask;
    uint64_t at;
    uint64_t step = 0;
  };

  static uint64_t controls(const Group* group) { return map_hash::load(group->control.data(), kSlots); }
  static uint64_t matching(uint64_t bytes, uint64_t hash) {
    return zero_bytes(bytes ^ in_every_byte(hash & 0x7f));
  }
  static uint64_t empty_slots(uint64_t bytes) { return zero_bytes(bytes ^ in_every_byte(kEmpty)); }
  static uint64_t free_slots(uint64_t bytes) { return bytes & kUpperBits; }
  static uint64_t most_used(uint64_t slots) {
    return slots <= kSlots ? slots - 1 : slots * kMostLoad / kSlots;
  }

  static Group* new_groups(uint64_t count) {
    static_assert(sizeof(Group) % kWordBytes == 0);
    Group* groups = nullptr;
    if constexpr (kNoscan) {
      groups = reinterpret_cast<Group*>(B::template make_array<uint64_t>(count * sizeof(Group) / kWordBytes));
    } else {
      groups = B::template make_array<Group>(count);
    }
    for (uint64_t i = 0; i < count; ++i) groups[i].control.fill(kEmpty);
    return groups;
  }
  static Table* new_table(uint64_t slots, uint32_t depth) {
    Local<Table> table = B::template make<Table>();
    table->groups = new_groups(slots / kSlots);
    table->group_mask = slots / kSlots - 1;
    table->growth_left = static_cast<uint32_t>(most_used(slots));
    table->local_depth = depth;
    return table;
  }
  // By the upper bits of the hash; the group and the control byte take the lower ones.
  static uint64_t index_of(const Header* h, uint64_t hash) {
    return h->global_depth == 0 ? 0 : hash >> (64 - h->global_depth);
  }
  static Table* table_of(Header* h, uint64_t hash) {
    return h->directory.get()[index_of(h, hash)].table.get();
  }

  static Pair* find_pair(Group* groups, uint64_t mask, uint64_t hash, const K& key) {
    for (Probe probe(hash, mask);; probe.next()) {
      Group* group = groups + probe.at;
      const uint64_t bytes = controls(group);
      for (uint64_t found = matching(bytes, hash); found != 0; found &= found - 1) {
        Pair& pair = group->slots[first_byte(found)];
        if (Key::get(pair.key) == key) return &pair;
      }
      if (empty_slots(bytes) != 0 || probe.step > mask) return nullptr;
    }
  }
  static V* find_in(Group* groups, uint64_t mask, uint64_t hash, const K& key) {
    Pair* pair = find_pair(groups, mask, hash, key);
    return pair == nullptr ? nullptr : &Value::get(pair->value);
  }

  static V& fill(Group* group, uint32_t i, uint64_t hash, const K& key) {
    Pair& pair = group->slots[i];
    Key::create(pair.key);
    Key::get(pair.key) = key;
    Value::create(pair.value);
    group->control[i] = hash & 0x7f;
    return Value::get(pair.value);
  }

  // Null if the table must grow first.
  static V* assign_in(Header* h, Table* table, uint64_t hash, const K& key) {
    Group* free_group = nullptr;
    uint32_t free_at = 0;
    for (Probe probe(hash, table->group_mask);; probe.next()) {
      Group* group = table->groups.get() + probe.at;
      const uint64_t bytes = controls(group);
      for (uint64_t found = matching(bytes, hash); found != 0; found &= found - 1) {
        Pair& pair = group->slots[first_byte(found)];
        if (Key::get(pair.key) == key) return &Value::get(pair.value);
      }
      if (free_group == nullptr && free_slots(bytes) != 0) {
        free_group = group;
        free_at = first_byte(free_slots(bytes));
      }
      if (empty_slots(bytes) == 0) continue;
      const bool tombstone = free_group->control[free_at] == kDeleted;
      if (table->growth_left == 0 && !tombstone) return nullptr;
      V& value = fill(free_group, free_at, hash, key);
      if (!tombstone) --table->growth_left;
      ++table->used;
      ++h->used;
      return &value;
    }
  }

  static void move_into(Table* table, Pair& pair, uint64_t hash) {
    for (Probe probe(hash, table->group_mask);; probe.next()) {
      Group* group = table->groups.get() + probe.at;
      const uint64_t free = free_slots(controls(group));
      if (free == 0) continue;
      const uint32_t i = first_byte(free);
      group->slots[i].key = pair.key;
      group->slots[i].value = pair.value;
      group->control[i] = hash & 0x7f;
      --table->growth_left;
      ++table->used;
      return;
    }
  }
  template <typename Choose>
  static void move_all(Header* h, Group* groups, uint64_t count, Choose&& table_for) {
    for (uint64_t g = 0; g < count; ++g) {
      for (uint32_t i = 0; i < kSlots; ++i) {
        if ((groups[g].control[i] & 0x80) != 0) continue;
        const uint64_t hash = Hash::of(Key::get(groups[g].slots[i].key), h->seed);
        move_into(table_for(hash), groups[g].slots[i], hash);
      }
    }
  }

  static void leave_small(Header* h) {
    Local<Table> table = new_table(2 * kSlots, 0);
    Local<DirectorySlot> directory = B::template make_array<DirectorySlot>(1);
    directory[0].table = static_cast<Table*>(table);
    move_all(h, h->small.get(), 1, [&](uint64_t) { return static_cast<Table*>(table); });
    if constexpr (B::kFrees) B::release(h->small.get());
    h->directory = static_cast<DirectorySlot*>(directory);
    h->small = nullptr;
  }

  static void rehash(Header* h, Table* table, uint64_t hash) {
    const uint64_t slots = (table->group_mask + 1) * kSlots;
    if (slots < kMostTableSlots) {
      Local<Table> larger = new_table(2 * slots, table->local_depth);
      move_all(h, table->groups.get(), table->group_mask + 1,
               [&](uint64_t) { return static_cast<Table*>(larger); });
      install(h, hash, table->local_depth, larger, larger);
    } else {
      split(h, table, hash);
    }
    table->replaced = 1;
    if constexpr (B::kFrees) {
      B::release(table->groups.get());
      B::release(table);
    }
  }

  static void split(Header* h, Table* table, uint64_t hash) {
    const uint32_t depth = table->local_depth + 1;
    Local<Table> low = new_table(kMostTableSlots, depth);
    Local<Table> high = new_table(kMostTableSlots, depth);
    if (depth > h->global_depth) double_directory(h);
    const uint64_t bit = uint64_t{1} << (64 - depth);
    move_all(h, table->groups.get(), table->group_mask + 1, [&](uint64_t hash_of_key) {
      return (hash_of_key & bit) != 0 ? static_cast<Table*>(high) : static_cast<Table*>(low);
    });
    install(h, hash, table->local_depth, low, high);
  }
  static void double_directory(Header* h) {
    const uint64_t entries = uint64_t{1} << h->global_depth;
    Local<DirectorySlot> twice = B::template make_array<DirectorySlot>(2 * entries);
    for (uint64_t i = 0; i < entries; ++i) {
      twice[2 * i].table = h->directory.get()[i].table.get();
      twice[2 * i + 1].table = h->directory.get()[i].table.get();
    }
    if constexpr (B::kFrees) B::release(h->directory.get());
    h->directory = static_cast<DirectorySlot*>(twice);
    ++h->global_depth;
  }
  // The entries that a table of this depth covers: the lower half gets one, the upper half the other.
  static void install(Header* h, uint64_t hash, uint32_t local_depth, Table* low, Table* high) {
    const uint64_t entries = uint64_t{1} << (h->global_depth - local_depth);
    const uint64_t first = index_of(h, hash) & ~(entries - 1);
    for (uint64_t i = 0; i < entries; ++i) {
      h->directory.get()[first + i].table = i < entries / 2 ? low : high;
    }
  }
  static void add_groups(MapFootprint& total, Group* groups, uint64_t count) {
    total.add(B::array_bytes(count * sizeof(Group)), kNoscan ? 0 : count * pointers_in<Group>());
    for (uint64_t g = 0; g < count; ++g) {
      for (const uint8_t control : groups[g].control) {
        if ((control & 0x80) != 0) continue;
        Key::add_cell(total);
        Value::add_cell(total);
      }
    }
  }
  static void release_groups(Group* groups, uint64_t count) {
    for (uint64_t g = 0; g < count; ++g) {
      for (uint32_t i = 0; i < kSlots; ++i) {
        if ((groups[g].control[i] & 0x80) != 0) continue;
        Key::clear(groups[g].slots[i].key);
        Value::clear(groups[g].slots[i].value);
      }
    }
    B::release(groups);
  }
};

}  // namespace keel
