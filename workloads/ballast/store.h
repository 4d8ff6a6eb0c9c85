// The store of one mutator: live entries keyed by real strings, in a chained hash table on the collected
// heap.
//
// Each thread owns a shard and nobody else touches it, so the same source is right on every backend. The
// shape is ordinary: a pointer array of buckets, entries with a chain and a key string, values inside the
// entry.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "allocator/base/bits.h"
#include "allocator/base/rng.h"

namespace keel {

inline uint64_t hash_of(std::string_view key) {
  uint64_t h = 0xcbf29ce484222325;  // FNV-1a
  for (char c : key) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return h ^ (h >> 29);
}

template <typename B>
struct Entry {
  typename B::template Field<Entry> next;
  typename B::template Field<char> key;
  uint64_t key_bytes;
  uint64_t hash;
  uint64_t version;
  std::array<uint64_t, 24> value;

  [[nodiscard]] uint64_t word(size_t i) const { return hash * (i + 1) + version; }
  void fill() {
    for (size_t i = 0; i < value.size(); ++i) value[i] = word(i);
  }
  [[nodiscard]] bool intact() const {
    for (size_t i = 0; i < value.size(); ++i) {
      if (value[i] != word(i)) return false;
    }
    return true;
  }
  [[nodiscard]] bool is(uint64_t h, std::string_view k) const {
    return hash == h && key_bytes == k.size() && std::memcmp(key.get(), k.data(), k.size()) == 0;
  }
};

template <typename B>
struct Bucket {
  typename B::template Field<Entry<B>> first;
};

template <typename B>
class Store {
 public:
  template <typename T>
  using Local = typename B::template Local<T>;

  /// An empty table for `entries` entries. Threads: the owner, attached.
  explicit Store(uint64_t entries) : buckets_(std::bit_ceil(std::max<uint64_t>(16, entries))) {
    table_.reset(B::template make_array<Bucket<B>>(buckets_));
    live_bytes_ = B::array_bytes(buckets_ * sizeof(Bucket<B>));
  }

  void insert(std::string_view key) {
    Local<char> text = B::template make_array<char>(key.size());
    std::memcpy(static_cast<char*>(text), key.data(), key.size());
    Local<Entry<B>> entry = B::template make<Entry<B>>();
    entry->key = static_cast<char*>(text);
    entry->key_bytes = key.size();
    entry->hash = hash_of(key);
    entry->fill();
    Bucket<B>& bucket = table_.get()[entry->hash & (buckets_ - 1)];
    entry->next = bucket.first.get();
    bucket.first = static_cast<Entry<B>*>(entry);
    ++entries_;
    live_bytes_ += entry_bytes(key.size());
  }

  [[nodiscard]] Entry<B>* find(std::string_view key) const {
    const uint64_t hash = hash_of(key);
    Entry<B>* entry = table_.get()[hash & (buckets_ - 1)].first.get();
    while (entry != nullptr && !entry->is(hash, key)) entry = entry->next.get();
    return entry;
  }

  /// Puts a new version in the place of `old`, as a write to a persistent record would.
  void replace(Local<Entry<B>>& old) {
    Local<Entry<B>> entry = B::template make<Entry<B>>();
    entry->key = old->key.get();
    entry->key_bytes = old->key_bytes;
    entry->hash = old->hash;
    entry->version = old->version + 1;
    entry->fill();
    entry->next = old->next.get();
    Entry<B>* old_entry = old;
    auto* place = &table_.get()[entry->hash & (buckets_ - 1)].first;
    while (place->get() != old_entry) place = &place->get()->next;
    *place = static_cast<Entry<B>*>(entry);
    B::release(old_entry);
    old = static_cast<Entry<B>*>(entry);
  }

  /// Counts entries, sums versions; false if one is damaged.
  bool check(uint64_t& entries, uint64_t& versions) const {
    for (uint64_t b = 0; b < buckets_; ++b) {
      for (Entry<B>* e = table_.get()[b].first.get(); e != nullptr; e = e->next.get()) {
        if (!e->intact()) return false;
        ++entries;
        versions += e->version;
      }
    }
    return true;
  }

  /// Lets go of everything; with explicit freeing, frees it. Threads: whoever owns the store now, attached.
  void drop() {
    if constexpr (B::kFrees) {
      for (uint64_t b = 0; b < buckets_; ++b) {
        Entry<B>* next = nullptr;
        for (Entry<B>* e = table_.get()[b].first.get(); e != nullptr; e = next) {
          next = e->next.get();
          B::release(e->key.get());
          B::release(e);
        }
      }
      B::release(table_.get());
    }
    table_.reset();
  }
  [[nodiscard]] uint64_t entries() const { return entries_; }
  /// Bytes of slots that live as long as the store: table, entries, key strings.
  [[nodiscard]] uint64_t live_bytes() const { return live_bytes_; }
  static uint64_t entry_bytes(size_t key_bytes) {
    return B::slot_bytes(sizeof(Entry<B>)) + B::array_bytes(key_bytes);
  }

 private:
  typename B::template Root<Bucket<B>> table_;
  uint64_t buckets_;
  uint64_t entries_ = 0;
  uint64_t live_bytes_ = 0;
};

}  // namespace keel
