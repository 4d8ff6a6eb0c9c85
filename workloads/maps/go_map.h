// GoMap: the hash map of Go before 1.24, on any backend's heap (runtime/map.go of Go 1.23: constants, states
// and the order of steps).
//
// A header, 2^B buckets of 8 pairs with 8 tophash bytes and an overflow link, load factor 6.5. It grows
// incrementally: twice the buckets, or the same number when too many overflow; every assignment and deletion
// moves one or two old buckets. With pointer-free keys and values the buckets are noscan: the marker never
// reads them. Their overflow links are then integers, and the overflow buckets are kept alive by a list in
// the header.
//
// Threads: one at a time. A pointer to a value is good until the next assignment or deletion. Where memory is
// freed explicitly, no growth during a walk. Under precise roots the caller holds the header, and what a key
// or value points to, in Locals; a bucket that is not reachable yet is linked before anything else is
// allocated. Not supported: keys that are not equal to themselves (Go's NaN).
#pragma once

#include <algorithm>
#include <cstdint>

#include "workloads/maps/map_parts.h"

namespace keel {

template <typename B, typename K, typename V, typename Hash = MapHash<K>>
class GoMap {
  using Key = MapCell<B, K>;
  using Value = MapCell<B, V>;
  template <typename T>
  using Field = typename B::template Field<T>;

 public:
  static constexpr uint32_t kPairs = 8;
  /// Buckets hold no pointers: the marker does not look at them.
  static constexpr bool kNoscan = Key::kNoscan && Value::kNoscan;

  struct Bucket {
    std::array<uint8_t, kPairs> tophash;
    std::array<typename Key::Stored, kPairs> keys;
    std::array<typename Value::Stored, kPairs> values;
    std::conditional_t<kNoscan, uintptr_t, Field<Bucket>> overflow;
  };
  struct HoldSlot {
    Field<Bucket> bucket;
  };
  /// Keeps the overflow buckets of a noscan map alive (Go: mapextra.overflow).
  struct Hold {
    Field<HoldSlot> slots;
    uint64_t count;
    uint64_t capacity;
  };
  struct Header {
    Field<Bucket> buckets;
    Field<Bucket> old_buckets;
    Field<Hold> hold;
    Field<Hold> old_hold;
    uint64_t count;
    uint64_t seed;
    uint64_t evacuated;      // old buckets below this are moved
    uint64_t next_overflow;  // of the overflow buckets made with the array: [next, end)
    uint64_t overflow_end;
    uint8_t log2_buckets;
    uint8_t flags;
    uint16_t overflows;  // about how many; above 2^16 buckets counted by chance
  };

  /// An empty map with room for `hint` entries. Allocates.
  static Header* make(uint64_t hint, uint64_t seed) {
    uint8_t log2 = 0;
    while (over_load_factor(hint, log2)) ++log2;
    typename B::template Local<Header> h = B::template make<Header>();
    h->seed = seed;
    h->log2_buckets = log2;
    set_array(h, new_buckets(array_size(log2)));
    return h;
  }

  [[nodiscard]] static uint64_t size(const Header* h) { return h->count; }
  /// Bytes of the buckets of a map that has grown to `entries`; overflow buckets, and what keys and values
  /// point to, come on top.
  static uint64_t expected_bytes(uint64_t entries) {
    uint8_t log2 = 0;
    while (over_load_factor(entries, log2)) ++log2;
    return array_size(log2) * sizeof(Bucket);
  }

  /// The value, or null. Cost: one bucket in the common case; allocates nothing.
  static V* find(Header* h, const K& key) {
    if (h->count == 0) return nullptr;
    const uint64_t hash = Hash::of(key, h->seed);
    const Place there = locate(bucket_of(h, hash), hash, key);
    return there.bucket == nullptr ? nullptr : &Value::get(there.bucket->values[there.at]);
  }

  /// The place of the key's value; a new entry's value is zero. Allocates.
  static V& assign(Header* h, const K& key) {
    const uint64_t hash = Hash::of(key, h->seed);
    for (;;) {
      const uint64_t index = hash & mask(h->log2_buckets);
      if (growing(h)) grow_work(h, index);
      Place free{};
      Bucket* last = nullptr;
      if (V* there = search(h->buckets.get() + index, hash, key, free, last)) return *there;
      if (!growing(h) && (over_load_factor(h->count + 1, h->log2_buckets) || too_many_overflows(h))) {
        begin_growth(h);
        continue;  // the bucket is another one now
      }
      if (free.bucket == nullptr) free = {new_overflow(h, last), 0};
      Bucket* b = free.bucket;
      Key::create(b->keys[free.at]);
      Key::get(b->keys[free.at]) = key;
      Value::create(b->values[free.at]);
      b->tophash[free.at] = tophash_of(hash);
      ++h->count;
      return Value::get(b->values[free.at]);
    }
  }

  /// False if the key was not there.
  static bool erase(Header* h, const K& key) {
    if (h->count == 0) return false;
    const uint64_t hash = Hash::of(key, h->seed);
    const uint64_t index = hash & mask(h->log2_buckets);
    if (growing(h)) grow_work(h, index);
    Bucket* first = h->buckets.get() + index;
    const auto [b, i] = locate(first, hash, key);
    if (b == nullptr) return false;
    Key::clear(b->keys[i]);
    Value::clear(b->values[i]);
    if constexpr (Value::kNoscan) b->values[i] = {};
    b->tophash[i] = kEmptyOne;
    shorten(first, b, i);
    --h->count;
    return true;
  }

  /// With explicit freeing: gives everything back, the header too. Nothing under a collector.
  static void destroy(Header* h) {
    if constexpr (B::kFrees) {
      for (uint64_t i = 0; i <= mask(h->log2_buckets); ++i) {
        destroy_chain(h->buckets.get() + i, h->buckets.get(), h->log2_buckets);
      }
      if (h->old_buckets.get() != nullptr) {
        for (uint64_t i = 0; i < old_bucket_count(h); ++i) {
          Bucket* b = h->old_buckets.get() + i;
          if (!is_evacuated(b)) destroy_chain(b, h->old_buckets.get(), old_log2(h));
        }
        release_hold(h->old_hold.get());
        B::release(h->old_buckets.get());
      }
      release_hold(h->hold.get());
      B::release(h->buckets.get());
      B::release(h);
    }
  }

  /// What the map takes now, from its structure.
  static MapFootprint footprint(Header* h) {
    MapFootprint total;
    total.add(B::slot_bytes(sizeof(Header)), pointers_in<Header>());
    add_array(total, h->buckets.get(), h->log2_buckets, mask(h->log2_buckets) + 1);
    if (growing(h)) add_array(total, h->old_buckets.get(), old_log2(h), old_bucket_count(h));
    for (Hold* list : {h->hold.get(), h->old_hold.get()}) {
      if (list == nullptr) continue;
      total.add(B::slot_bytes(sizeof(Hold)), pointers_in<Hold>());
      total.add(B::array_bytes(list->capacity * sizeof(HoldSlot)), list->capacity);
    }
    return total;
  }

  /// Every entry that is there from begin to end exactly once, in an order that differs from seed to seed;
  /// what is added or deleted meanwhile may or may not be seen, what is deleted before it is reached is not.
  /// Growth meanwhile is allowed. Lives on the stack (its pointers are roots there).
  class Iterator {
   public:
    Iterator(Header* h, uint64_t seed)
        : header_(h),
          buckets_(h->buckets.get()),
          hold_(h->hold.get()),
          old_hold_(h->old_hold.get()),
          log2_(h->log2_buckets) {
      start_ = map_hash::mix(seed ^ map_hash::kOdd1, map_hash::kOdd2) & mask(log2_);
      offset_ = static_cast<uint32_t>(map_hash::mix(seed ^ map_hash::kOdd2, map_hash::kOdd1) & (kPairs - 1));
      bucket_ = start_;
      h->flags |= kIterating | kIteratingOld;
      done_ = h->count == 0;
    }
    Iterator(const Iterator&) = delete;
    Iterator& operator=(const Iterator&) = delete;

    /// False at the end; else key() and value() are the next entry's.
    bool next() {
      while (!done_) {
        if (chain_ == nullptr && !next_bucket()) break;
        while (at_ < kPairs) {
          const uint32_t i = (at_++ + offset_) & (kPairs - 1);
          if (take(chain_, i)) return true;
        }
        chain_ = overflow_of(chain_);
        at_ = 0;
      }
      return false;
    }
    const K& key() const { return *key_; }
    V& value() const { return *value_; }

   private:
    // The next bucket of the array that was current at the start; if it is still to be filled from an old
    // one, that one.
    bool next_bucket() {
      if (bucket_ == start_ && wrapped_) {
        done_ = true;
        return false;
      }
      Header* h = header_;
      filter_ = false;
      if (growing(h) && log2_ == h->log2_buckets) {
        Bucket* old = h->old_buckets.get() + (bucket_ & (old_bucket_count(h) - 1));
        if (!is_evacuated(old)) {
          filter_ = true;
          filter_for_ = bucket_;
          chain_ = old;
        }
      }
      if (!filter_) chain_ = static_cast<Bucket*>(buckets_) + bucket_;
      at_ = 0;
      if (++bucket_ > mask(log2_)) {
        bucket_ = 0;
        wrapped_ = true;
      }
      return true;
    }
    bool take(Bucket* b, uint32_t i) {
      const uint8_t top = b->tophash[i];
      if (top <= kEmptyOne || top == kEvacuatedEmpty) return false;
      Header* h = header_;
      K& key = Key::get(b->keys[i]);
      if (filter_ && !same_size(h)) {
        // Half of the old bucket belongs to another bucket of this walk.
        if ((Hash::of(key, h->seed) & mask(log2_)) != filter_for_) return false;
      }
      if (top == kEvacuatedLow || top == kEvacuatedHigh) {
        // Moved since the walk began: what is true of it now stands elsewhere.
        return find_now(h, key);
      }
      key_ = &key;
      value_ = &Value::get(b->values[i]);
      return true;
    }
    bool find_now(Header* h, const K& key) {
      const uint64_t hash = Hash::of(key, h->seed);
      const auto [b, i] = locate(bucket_of(h, hash), hash, key);
      if (b == nullptr) return false;
      key_ = &Key::get(b->keys[i]);
      value_ = &Value::get(b->values[i]);
      return true;
    }

    typename B::template Local<Header> header_;
    typename B::template Local<Bucket> buckets_;  // the array at the start, which growth may replace
    typename B::template Local<Hold> hold_;
    typename B::template Local<Hold> old_hold_;
    const uint8_t log2_;
    uint64_t start_ = 0;
    uint32_t offset_ = 0;
    uint64_t bucket_ = 0;
    bool wrapped_ = false;
    bool done_ = false;
    bool filter_ = false;
    uint64_t filter_for_ = 0;
    Bucket* chain_ = nullptr;  // reachable from the arrays above
    uint32_t at_ = 0;
    K* key_ = nullptr;
    V* value_ = nullptr;
  };

 private:
  // States of a slot, in its tophash byte.
  static constexpr uint8_t kEmptyRest = 0;  // empty, and so is all behind it in the chain
  static constexpr uint8_t kEmptyOne = 1;
  static constexpr uint8_t kEvacuatedLow = 2;   // moved to the bucket of the same index
  static constexpr uint8_t kEvacuatedHigh = 3;  // moved to the other half
  static constexpr uint8_t kEvacuatedEmpty = 4;
  static constexpr uint8_t kMinTophash = 5;
  // Header::flags.
  static constexpr uint8_t kIterating = 1;
  static constexpr uint8_t kIteratingOld = 2;
  static constexpr uint8_t kSameSizeGrowth = 8;

  struct Place {
    Bucket* bucket = nullptr;
    uint32_t at = 0;
  };

  static uint64_t mask(uint8_t log2) { return (uint64_t{1} << log2) - 1; }
  static uint8_t tophash_of(uint64_t hash) {
    const auto top = static_cast<uint8_t>(hash >> 56);
    return top < kMinTophash ? static_cast<uint8_t>(top + kMinTophash) : top;
  }
  // More than 13/2 entries a bucket.
  static bool over_load_factor(uint64_t count, uint8_t log2) {
    return count > kPairs && count > 13 * ((uint64_t{1} << log2) / 2);
  }
  // As many overflow buckets as buckets, counted up to 2^15.
  static bool too_many_overflows(const Header* h) {
    return h->overflows >= uint32_t{1} << std::min<uint8_t>(h->log2_buckets, 15);
  }
  static bool growing(const Header* h) { return h->old_buckets.get() != nullptr; }
  static bool same_size(const Header* h) { return (h->flags & kSameSizeGrowth) != 0; }
  static uint64_t old_bucket_count(const Header* h) {
    return (uint64_t{1} << h->log2_buckets) >> (same_size(h) ? 0 : 1);
  }
  static bool is_evacuated(const Bucket* b) {
    return b->tophash[0] > kEmptyOne && b->tophash[0] < kMinTophash;
  }

  static Bucket* overflow_of(const Bucket* b) {
    if constexpr (kNoscan) {
      return reinterpret_cast<Bucket*>(b->overflow);
    } else {
      return b->overflow.get();
    }
  }
  static void set_overflow(Bucket* b, Bucket* overflow) {
    if constexpr (kNoscan) {
      b->overflow = reinterpret_cast<uintptr_t>(overflow);
    } else {
      b->overflow = overflow;
    }
  }
  static Bucket* new_buckets(uint64_t count) {
    static_assert(sizeof(Bucket) % kWordBytes == 0);
    if constexpr (kNoscan) {
      return reinterpret_cast<Bucket*>(B::template make_array<uint64_t>(count * sizeof(Bucket) / kWordBytes));
    } else {
      return B::template make_array<Bucket>(count);
    }
  }
  // From 16 buckets on, a sixteenth more for overflow comes with the array.
  static uint64_t array_size(uint8_t log2) {
    const uint64_t base = uint64_t{1} << log2;
    return base + (log2 >= 4 ? base >> 4 : 0);
  }
  static void set_array(Header* h, Bucket* array) {
    h->buckets = array;
    h->next_overflow = uint64_t{1} << h->log2_buckets;
    h->overflow_end = array_size(h->log2_buckets);
  }

  static Bucket* bucket_of(Header* h, uint64_t hash) {
    Bucket* b = h->buckets.get() + (hash & mask(h->log2_buckets));
    if (growing(h)) [[unlikely]] {
      Bucket* old = h->old_buckets.get() + (hash & (old_bucket_count(h) - 1));
      if (!is_evacuated(old)) return old;
    }
    return b;
  }

  // The key's slot in the chain that begins at `b`; bucket null if it is not there.
  static Place locate(Bucket* b, uint64_t hash, const K& key) {
    const uint64_t pattern = in_every_byte(tophash_of(hash));
    for (; b != nullptr; b = overflow_of(b)) {
      const uint64_t tops = map_hash::load(b->tophash.data(), kPairs);
      for (uint64_t found = zero_bytes(tops ^ pattern); found != 0; found &= found - 1) {
        const uint32_t i = first_byte(found);
        if (Key::get(b->keys[i]) == key) return {b, i};
      }
      if (zero_bytes(tops) != 0) return {};  // kEmptyRest: nothing behind
    }
    return {};
  }
  // The key's value; else where it may go, or the chain's last bucket.
  static V* search(Bucket* b, uint64_t hash, const K& key, Place& free, Bucket*& last) {
    const uint64_t pattern = in_every_byte(tophash_of(hash));
    for (; b != nullptr; b = overflow_of(b)) {
      last = b;
      const uint64_t tops = map_hash::load(b->tophash.data(), kPairs);
      for (uint64_t found = zero_bytes(tops ^ pattern); found != 0; found &= found - 1) {
        const uint32_t i = first_byte(found);
        if (Key::get(b->keys[i]) == key) return &Value::get(b->values[i]);
      }
      const uint64_t empty = zero_bytes(tops & in_every_byte(0xfe));
      if (empty != 0 && free.bucket == nullptr) free = {b, first_byte(empty)};
      if (zero_bytes(tops) != 0) return nullptr;
    }
    return nullptr;
  }

  static Bucket* new_overflow(Header* h, Bucket* last) {
    Bucket* fresh = nullptr;
    if (h->next_overflow < h->overflow_end) {
      fresh = h->buckets.get() + h->next_overflow++;
    } else {
      typename B::template Local<Bucket> made = new_buckets(1);
      if constexpr (kNoscan) hold(h, made);
      fresh = made;
    }
    count_overflow(h);
    set_overflow(last, fresh);
    return fresh;
  }
  // Exact up to 2^16 buckets, then by chance, so that 16 bits are enough.
  static void count_overflow(Header* h) {
    if (h->log2_buckets < 16) {
      ++h->overflows;
      return;
    }
    const uint64_t random =
        map_hash::mix(h->count ^ map_hash::kOdd1, h->next_overflow ^ h->seed ^ map_hash::kOdd2);
    if ((random & mask(static_cast<uint8_t>(h->log2_buckets - 15))) == 0) ++h->overflows;
  }
  // Appends to the list, as Go's append does: twice the room when it is full.
  static void hold(Header* h, Bucket* overflow) {
    if (h->hold.get() == nullptr) h->hold = B::template make<Hold>();
    Hold* list = h->hold.get();
    if (list->count == list->capacity) {
      const uint64_t room = std::max<uint64_t>(8, 2 * list->capacity);
      typename B::template Local<HoldSlot> more = B::template make_array<HoldSlot>(room);
      for (uint64_t i = 0; i < list->count; ++i) more[i].bucket = list->slots.get()[i].bucket.get();
      if (list->slots.get() != nullptr) B::release(list->slots.get());
      list->slots = static_cast<HoldSlot*>(more);
      list->capacity = room;
    }
    list->slots.get()[list->count++].bucket = overflow;
  }

  static void begin_growth(Header* h) {
    const bool twice = over_load_factor(h->count + 1, h->log2_buckets);
    const auto log2 = static_cast<uint8_t>(h->log2_buckets + (twice ? 1 : 0));
    // First, since it may throw: the map is whole then.
    typename B::template Local<Bucket> fresh = new_buckets(array_size(log2));
    uint8_t flags = h->flags & ~(kIterating | kIteratingOld);
    if ((h->flags & kIterating) != 0) flags |= kIteratingOld;
    if (!twice) flags |= kSameSizeGrowth;
    h->old_buckets = h->buckets.get();
    h->old_hold = h->hold.get();
    h->hold = nullptr;
    h->log2_buckets = log2;
    set_array(h, fresh);
    h->flags = flags;
    h->evacuated = 0;
    h->overflows = 0;
  }
  static void grow_work(Header* h, uint64_t index) {
    evacuate(h, index & (old_bucket_count(h) - 1));
    if (growing(h)) evacuate(h, h->evacuated);
  }

  // Moves one old chain to the one or two buckets it belongs to now.
  static void evacuate(Header* h, uint64_t old_index) {
    Bucket* first = h->old_buckets.get() + old_index;
    const uint64_t old_count = old_bucket_count(h);
    if (!is_evacuated(first)) {
      Place to[2] = {{h->buckets.get() + old_index, 0}, {nullptr, 0}};
      if (!same_size(h)) to[1].bucket = h->buckets.get() + old_index + old_count;
      for (Bucket* b = first; b != nullptr; b = overflow_of(b)) {
        for (uint32_t i = 0; i < kPairs; ++i) {
          const uint8_t top = b->tophash[i];
          if (top <= kEmptyOne) {
            b->tophash[i] = kEvacuatedEmpty;
            continue;
          }
          const bool high = !same_size(h) && (Hash::of(Key::get(b->keys[i]), h->seed) & old_count) != 0;
          b->tophash[i] = high ? kEvacuatedHigh : kEvacuatedLow;
          Place& place = to[high ? 1 : 0];
          if (place.at == kPairs) place = {new_overflow(h, place.bucket), 0};
          place.bucket->tophash[place.at] = top;
          place.bucket->keys[place.at] = b->keys[i];
          place.bucket->values[place.at] = b->values[i];
          ++place.at;
        }
      }
      // Where memory is freed explicitly nobody walks while the map grows.
      if (B::kFrees || (h->flags & kIteratingOld) == 0) forget_chain(h, first);
    }
    if (old_index == h->evacuated) advance(h, old_count);
  }
  // Nobody walks the old buckets: what they point to must not be kept by them.
  static void forget_chain(Header* h, Bucket* first) {
    if constexpr (B::kFrees) {
      Bucket* next = nullptr;
      for (Bucket* b = overflow_of(first); b != nullptr; b = next) {
        next = overflow_of(b);
        if (!in_array(b, h->old_buckets.get(), old_log2(h))) B::release(b);
      }
      set_overflow(first, nullptr);
    } else if constexpr (!kNoscan) {
      for (uint32_t i = 0; i < kPairs; ++i) {
        Key::forget(first->keys[i]);
        Value::forget(first->values[i]);
      }
      set_overflow(first, nullptr);
    }
  }
  static uint8_t old_log2(const Header* h) {
    return static_cast<uint8_t>(h->log2_buckets - (same_size(h) ? 0 : 1));
  }
  static bool in_array(const Bucket* b, const Bucket* array, uint8_t log2) {
    return b >= array && b < array + array_size(log2);
  }
  static void advance(Header* h, uint64_t old_count) {
    constexpr uint64_t kMostAtOnce = 1024;
    const uint64_t stop = std::min(++h->evacuated + kMostAtOnce, old_count);
    while (h->evacuated < stop && is_evacuated(h->old_buckets.get() + h->evacuated)) ++h->evacuated;
    if (h->evacuated != old_count) return;
    if constexpr (B::kFrees) {
      release_hold(h->old_hold.get());
      B::release(h->old_buckets.get());
    }
    h->old_buckets = nullptr;
    h->old_hold = nullptr;
    h->flags &= static_cast<uint8_t>(~kSameSizeGrowth);
  }

  // Slot i of b has become empty: if nothing is behind it in the chain, it and the empty ones before it say
  // so.
  static void shorten(Bucket* first, Bucket* b, uint32_t i) {
    if (i == kPairs - 1) {
      Bucket* behind = overflow_of(b);
      if (behind != nullptr && behind->tophash[0] != kEmptyRest) return;
    } else if (b->tophash[i + 1] != kEmptyRest) {
      return;
    }
    for (;;) {
      b->tophash[i] = kEmptyRest;
      if (i == 0) {
        if (b == first) return;
        Bucket* here = b;
        for (b = first; overflow_of(b) != here; b = overflow_of(b)) {
        }
        i = kPairs - 1;
      } else {
        --i;
      }
      if (b->tophash[i] != kEmptyOne) return;
    }
  }

  static void add_array(MapFootprint& total, Bucket* array, uint8_t log2, uint64_t chains) {
    constexpr bool kPointers = !kNoscan;
    const uint64_t each = kPointers ? pointers_in<Bucket>() : 0;
    total.add(B::array_bytes(array_size(log2) * sizeof(Bucket)), array_size(log2) * each);
    for (uint64_t i = 0; i < chains; ++i) {
      for (Bucket* b = array + i; b != nullptr; b = overflow_of(b)) {
        if (!in_array(b, array, log2)) total.add(B::array_bytes(sizeof(Bucket)), each);
        for (const uint8_t top : b->tophash) {
          if (top < kMinTophash) continue;
          Key::add_cell(total);
          Value::add_cell(total);
        }
      }
    }
  }
  static void destroy_chain(Bucket* first, const Bucket* array, uint8_t log2) {
    for (Bucket* b = first; b != nullptr; b = overflow_of(b)) {
      for (uint32_t i = 0; i < kPairs; ++i) {
        if (b->tophash[i] < kMinTophash) continue;
        Key::clear(b->keys[i]);
        Value::clear(b->values[i]);
      }
    }
    Bucket* next = nullptr;
    for (Bucket* b = overflow_of(first); b != nullptr; b = next) {
      next = overflow_of(b);
      if (!in_array(b, array, log2)) B::release(b);
    }
  }
  static void release_hold(Hold* list) {
    if (list == nullptr) return;
    if (list->slots.get() != nullptr) B::release(list->slots.get());
    B::release(list);
  }
};

}  // namespace keel
