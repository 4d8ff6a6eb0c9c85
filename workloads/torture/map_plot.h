// MapPlot: one of the Go maps on the heap beside a std::unordered_map that says what it must hold.
#pragma once

#include <unordered_map>

#include "workloads/backends/keel_backend.h"
#include "workloads/maps/go_map.h"
#include "workloads/maps/swiss_map.h"
#include "workloads/torture/graph.h"

namespace keel::torture {

/// `Map` is GoMap or SwissMap from numbers to boxed numbers.
template <bool kPrecise, template <typename, typename, typename, typename> typename Map>
class MapPlot {
  using B = KeelBackend<kPrecise>;
  struct Box {
    uint64_t number;
  };
  using Value = Ptr<Box>;
  using Type = Map<B, uint64_t, Value, MapHash<uint64_t>>;
  using Header = typename Type::Header;

 public:
  static constexpr uint64_t kMostEntries = 3000;

  /// A few assignments, deletions and look-ups. Throws Fault, OutOfMemory (the map is empty then).
  void act(Turn& turn) {
    try {
      if (header_.get() == nullptr) header_.reset(Type::make(turn.rng.below(40), turn.rng.next()));
      for (uint64_t i = 0; i < 16; ++i) change(turn);
    } catch (const OutOfMemory&) {
      drop_all();  // growth that ended half-way leaves no map to speak of
      throw;
    }
    if (model_.size() > kMostEntries || turn.rng.below(200) == 0) {
      check();
      walk();
    }
  }
  void check() {
    if (header_.get() == nullptr) return;
    for (const auto& [key, number] : model_) compare(key, number);
  }
  /// Ends a map in the middle of its growth: overflow buckets inside its old array keep what has been moved
  /// out of them, as Go's do, and its live bytes are not those of its entries. Attached.
  void settle() {
    if constexpr (requires(Header & header) { header.old_buckets; }) {
      if (header_.get() != nullptr && header_.get()->old_buckets.get() != nullptr) drop_all();
    }
  }
  [[nodiscard]] uint64_t live_bytes() const {
    Header* header = header_.get();
    if (header == nullptr) return 0;
    return Type::footprint(header).bytes + model_.size() * B::slot_bytes(sizeof(Box));
  }
  void drop_all() {
    header_.reset();
    model_.clear();
  }

 private:
  void change(Turn& turn) {
    const uint64_t key = turn.rng.below(kMostEntries * 5 / 4);
    switch (turn.rng.below(4)) {
      case 0: {
        const bool had = model_.erase(key) != 0;
        if (Type::erase(header_.get(), key) != had)
          throw Fault("a map's deletion of key " + std::to_string(key) + " went otherwise than it should");
        return;
      }
      case 1: {
        const auto found = model_.find(key);
        if (found != model_.end()) {
          compare(key, found->second);
        } else if (Type::find(header_.get(), key) != nullptr) {
          throw Fault("a map has key " + std::to_string(key) + ", which it should not");
        }
        return;
      }
      default: {
        const uint64_t number = turn.rng.next();
        typename B::template Local<Box> box = make<Box>(number);
        Type::assign(header_.get(), key) = static_cast<Box*>(box);
        model_[key] = number;
      }
    }
  }
  // Every entry once. The map ends with it: one that has been walked keeps, as Go's does, what is deleted
  // from it while it grows, and its live bytes are no longer those of its entries.
  void walk() {
    Header* header = header_.get();
    if (header == nullptr) return;
    uint64_t count = 0;
    typename Type::Iterator entries(header, model_.size());
    while (entries.next()) ++count;
    if (count != model_.size())
      throw Fault("a map of " + std::to_string(model_.size()) + " entries shows " + std::to_string(count));
    drop_all();
  }
  void compare(uint64_t key, uint64_t number) {
    Value* value = Type::find(header_.get(), key);
    if (value == nullptr || value->get() == nullptr)
      throw Fault("a map of " + std::to_string(model_.size()) + " entries lost key " + std::to_string(key));
    if ((*value)->number != number)
      throw Fault("a map's box of key " + std::to_string(key) + " holds another number");
  }

  Root<Header> header_;
  std::unordered_map<uint64_t, uint64_t> model_;
};

}  // namespace keel::torture
