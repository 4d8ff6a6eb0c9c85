// CONFIG: barriers=hybrid transitions=all roots=precise
//
// Both maps against std::unordered_map: random assignments, deletions, lookups and walks, with collections in
// between, for pointer-free, pointer-bearing and indirect keys and values; on Keel with its checkers on, and
// on malloc for what is freed. KEEL_SEED chooses the random sequence, KEEL_MAP_OPERATIONS how many operations
// a case has (release: 800,000, which makes more than 10^7 for each map).
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "allocator/base/rng.h"
#include "workloads/backends/keel_backend.h"
#include "workloads/backends/malloc_backend.h"
#include "workloads/maps/go_map.h"
#include "workloads/maps/swiss_map.h"

namespace keel {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* given = std::getenv(name);
  return given == nullptr ? otherwise : std::strtoull(given, nullptr, 10);
}

constexpr uint64_t kKeys = 6000;

struct Boxed {
  uint64_t number;
};

// A model's number as a key or value of each type. `pool`: bytes of every key's text, alive throughout.
template <typename B>
struct TextSlot {
  typename B::template Field<char> bytes;
};

template <typename B, typename T>
struct As {
  static void put(T& place, uint64_t n, TextSlot<B>*) { place = static_cast<T>(n); }
  static uint64_t number(T& place) { return static_cast<uint64_t>(place); }
};
template <typename B, size_t N>
struct As<B, std::array<unsigned char, N>> {
  using T = std::array<unsigned char, N>;
  static void put(T& place, uint64_t n, TextSlot<B>*) {
    std::memcpy(place.data(), &n, 8);
    for (size_t i = 8; i < N; ++i) place[i] = static_cast<unsigned char>(n * i);
  }
  static uint64_t number(T& place) {
    const uint64_t n = map_hash::load(place.data(), 8);
    for (size_t i = 8; i < N; ++i) {
      if (place[i] != static_cast<unsigned char>(n * i)) return ~uint64_t{0};  // torn
    }
    return n;
  }
};
std::string text_of(uint64_t n) { return "key-" + std::to_string(n); }
template <typename B>
struct As<B, Text<B>> {
  static void put(Text<B>& place, uint64_t n, TextSlot<B>* pool) {
    place.bytes = pool[n % kKeys].bytes.get();
    place.length = text_of(n % kKeys).size();
  }
  static uint64_t number(Text<B>& place) {
    return std::strtoull(std::string(place.view()).c_str() + 4, nullptr, 10);
  }
};
template <typename B, typename Box>
struct AsBox {
  static void put(Box& place, uint64_t n, TextSlot<B>*) { place = B::template make<Boxed>(n); }
  static uint64_t number(Box& place) { return place->number; }
};
template <>
struct As<KeelBackend<true>, Ptr<Boxed>> : AsBox<KeelBackend<true>, Ptr<Boxed>> {};

// Text values hold a key's text: the model's numbers are cut to what they can say.
template <typename V>
constexpr uint64_t kValueRange = ~uint64_t{0};
template <typename B>
constexpr uint64_t kValueRange<Text<B>> = kKeys;

template <typename B, typename Map, typename K, typename V>
class Model {
 public:
  explicit Model(uint64_t seed) : rng_(seed), seed_(seed) {
    pool_.reset(B::template make_array<TextSlot<B>>(kKeys));
    for (uint64_t n = 0; n < kKeys; ++n) {
      const std::string text = text_of(n);
      char* bytes = B::template make_array<char>(text.size());
      std::memcpy(bytes, text.data(), text.size());
      pool_.get()[n].bytes = bytes;
    }
    map_.reset(Map::make(seed % 3 == 0 ? 1000 : 0, seed));
  }
  ~Model() {
    if constexpr (B::kFrees) {
      Map::destroy(map_.get());
      for (uint64_t n = 0; n < kKeys; ++n) B::release(pool_.get()[n].bytes.get());
      B::release(pool_.get());
    }
    map_.reset();
    pool_.reset();
  }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  void step() {
    // Deletions come in waves, so that the map grows, thins out (same-size growth, tombstones) and grows
    // again; the range of keys does too, so that small maps are tried as well.
    const uint64_t wave = steps_++ / 20000;
    const uint64_t n = rng_.below(wave % 4 == 3 ? 12 : kKeys);
    const uint64_t dice = rng_.below(100);
    if (dice < (wave % 3 == 2 ? 70U : 10U)) {
      erase(n);
    } else if (dice < 85) {
      store(n);
    } else {
      look(n);
    }
    ASSERT_EQ(Map::size(map_.get()), model_.size()) << "seed " << seed_;
  }

  // A walk during which entries come and go (and the map grows, where memory is not freed explicitly).
  void walk() {
    std::unordered_set<uint64_t> must;
    for (const auto& [n, value] : model_) must.insert(n);
    std::unordered_set<uint64_t> seen;
    typename Map::Iterator at(map_.get(), rng_.next());
    while (at.next()) {
      K key = at.key();
      const uint64_t n = As<B, K>::number(key);
      ASSERT_TRUE(seen.insert(n).second) << "key " << n << " twice, seed " << seed_;
      const auto expected = model_.find(n);
      ASSERT_NE(expected, model_.end())
          << "key " << n << " was deleted before it was reached, seed " << seed_;
      ASSERT_EQ((As<B, V>::number(at.value())), expected->second) << "key " << n << ", seed " << seed_;
      must.erase(n);
      if (B::kFrees) continue;
      const uint64_t other = rng_.below(kKeys);
      if (rng_.below(4) == 0) {
        erase(other);
        must.erase(other);
      } else if (rng_.below(4) == 0) {
        store(other);
      }
    }
    ASSERT_TRUE(must.empty()) << must.size() << " keys were not seen, seed " << seed_;
  }

  // Everything the model has, and nothing else.
  void compare() {
    for (uint64_t n = 0; n < kKeys; ++n) look(n);
  }
  [[nodiscard]] size_t size() const { return model_.size(); }

 private:
  void erase(uint64_t n) {
    K key{};
    As<B, K>::put(key, n, pool_.get());
    ASSERT_EQ(Map::erase(map_.get(), key), model_.erase(n) != 0) << "key " << n << ", seed " << seed_;
  }
  void store(uint64_t n) {
    K key{};
    As<B, K>::put(key, n, pool_.get());
    const uint64_t value = rng_.next() % kValueRange<V>;
    V& place = Map::assign(map_.get(), key);
    As<B, V>::put(place, value, pool_.get());
    model_[n] = As<B, V>::number(place);
  }
  void look(uint64_t n) {
    K key{};
    As<B, K>::put(key, n, pool_.get());
    V* found = Map::find(map_.get(), key);
    const auto expected = model_.find(n);
    ASSERT_EQ(found != nullptr, expected != model_.end()) << "key " << n << ", seed " << seed_;
    if (found != nullptr) {
      ASSERT_EQ((As<B, V>::number(*found)), expected->second) << "key " << n << ", seed " << seed_;
    }
  }

  Rng rng_;
  const uint64_t seed_;
  uint64_t steps_ = 0;
  typename B::template Root<TextSlot<B>> pool_;
  typename B::template Root<typename Map::Header> map_;
  std::unordered_map<uint64_t, uint64_t> model_;
};

uint64_t operations() {
  return from_environment("KEEL_MAP_OPERATIONS", KEEL_DEBUG_CHECKS ? 60'000 : 800'000);
}

template <typename B, typename Map, typename K, typename V, typename Collect>
void run_model(uint64_t seed, Collect&& collect) {
  SCOPED_TRACE("KEEL_SEED=" + std::to_string(seed));
  Model<B, Map, K, V> model(seed);
  const uint64_t count = operations();
  for (uint64_t i = 0; i < count && !testing::Test::HasFatalFailure(); ++i) {
    model.step();
    if (i % (count / 20) == count / 40) collect();
    if (i % (count / 40) == 7) model.walk();
  }
  collect();
  model.compare();
}

using Keel = KeelBackend<true>;
template <size_t N>
using Bytes = std::array<unsigned char, N>;

template <template <typename, typename, typename, typename> typename M, typename K_, typename V_,
          const char* kTransitions>
struct Case {
  template <typename B>
  using Map = M<B, K_, V_, MapHash<K_>>;
  using K = K_;
  using V = V_;
  static constexpr const char* kHow = kTransitions;
};
constexpr char kStw[] = "stw";
constexpr char kHandshake[] = "handshake";

template <typename C>
class MapOnKeel : public testing::Test {};
using Cases = testing::Types<
    Case<GoMap, uint64_t, uint64_t, kStw>, Case<SwissMap, uint64_t, uint64_t, kStw>,
    Case<GoMap, Text<Keel>, uint64_t, kStw>, Case<SwissMap, Text<Keel>, uint64_t, kHandshake>,
    Case<GoMap, Text<Keel>, Text<Keel>, kHandshake>, Case<SwissMap, Text<Keel>, Text<Keel>, kStw>,
    Case<GoMap, uint64_t, Ptr<Boxed>, kHandshake>, Case<SwissMap, uint64_t, Ptr<Boxed>, kStw>,
    Case<GoMap, Bytes<12>, uint64_t, kStw>, Case<SwissMap, Bytes<12>, uint64_t, kStw>,
    Case<GoMap, Bytes<12>, Bytes<129>, kHandshake>, Case<SwissMap, Bytes<12>, Bytes<129>, kHandshake>,
    Case<GoMap, uint64_t, Bytes<128>, kStw>, Case<SwissMap, uint64_t, Bytes<128>, kStw>,
    Case<GoMap, Bytes<130>, uint64_t, kStw>, Case<SwissMap, Bytes<130>, uint64_t, kStw>,
    Case<GoMap, uint64_t, bool, kStw>, Case<SwissMap, uint64_t, uint32_t, kStw>>;
TYPED_TEST_SUITE(MapOnKeel, Cases);

TYPED_TEST(MapOnKeel, DoesWhatTheModelDoes) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.transitions = TypeParam::kHow;
  config.debug.checkmark = config.debug.walk = config.debug.poison = true;
  Heap heap(config);
  MutatorScope scope(heap);
  run_model<Keel, typename TypeParam::template Map<Keel>, typename TypeParam::K, typename TypeParam::V>(
      from_environment("KEEL_SEED", 1), [&] { heap.collect(); });
}

// Leaks and double frees are AddressSanitizer's to find.
template <typename C>
class MapOnMalloc : public testing::Test {};
using FreedCases =
    testing::Types<Case<GoMap, uint64_t, uint64_t, kStw>, Case<SwissMap, uint64_t, uint64_t, kStw>,
                   Case<GoMap, Text<MallocBackend>, uint64_t, kStw>,
                   Case<SwissMap, Text<MallocBackend>, uint64_t, kStw>,
                   Case<GoMap, Bytes<12>, Bytes<129>, kStw>, Case<SwissMap, Bytes<12>, Bytes<129>, kStw>,
                   Case<GoMap, Bytes<130>, uint64_t, kStw>, Case<SwissMap, Bytes<130>, uint64_t, kStw>>;
TYPED_TEST_SUITE(MapOnMalloc, FreedCases);

TYPED_TEST(MapOnMalloc, DoesWhatTheModelDoesAndFreesAll) {
  run_model<MallocBackend, typename TypeParam::template Map<MallocBackend>, typename TypeParam::K,
            typename TypeParam::V>(from_environment("KEEL_SEED", 1), [] {});
}

// What the marker sees: the exact story of the issue that Go fixed in 1.5 and of the 128-byte cliff.
TEST(MapScanning, PointerFreeMapsAreNoscanAndTheCliffIsAt128Bytes) {
  EXPECT_TRUE((GoMap<Keel, uint64_t, uint64_t>::kNoscan));
  EXPECT_TRUE((GoMap<Keel, Bytes<12>, uint64_t>::kNoscan));
  EXPECT_TRUE((GoMap<Keel, uint64_t, Bytes<128>>::kNoscan));
  EXPECT_FALSE((GoMap<Keel, Bytes<12>, Bytes<129>>::kNoscan));
  EXPECT_FALSE((GoMap<Keel, Bytes<129>, uint64_t>::kNoscan));
  EXPECT_FALSE((GoMap<Keel, Text<Keel>, uint64_t>::kNoscan));
  EXPECT_FALSE((GoMap<Keel, uint64_t, Ptr<Boxed>>::kNoscan));
  EXPECT_TRUE((SwissMap<Keel, uint64_t, uint64_t>::kNoscan));
  EXPECT_FALSE((SwissMap<Keel, Bytes<12>, Bytes<129>>::kNoscan));
}

// Overflow buckets of a noscan map are reachable from the header's list alone. All keys in few buckets: a
// hash that knows 4 values, so that chains are long.
struct BadHash {
  static uint64_t of(uint64_t key, uint64_t) { return (key % 4) | (key % 251) << 56; }
};
TEST(MapScanning, OverflowBucketsOfANoscanMapSurviveCollections) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.debug.checkmark = config.debug.poison = true;
  Heap heap(config);
  MutatorScope scope(heap);
  using Map = GoMap<Keel, uint64_t, uint64_t, BadHash>;
  Root<Map::Header> map(Map::make(0, 1));
  for (uint64_t i = 0; i < 3000; ++i) {
    Map::assign(map.get(), i) = i * 7;
    if (i % 500 == 0) heap.collect();
  }
  heap.collect();
  for (uint64_t i = 0; i < 3000; ++i) {
    const uint64_t* value = Map::find(map.get(), i);
    ASSERT_NE(value, nullptr);
    ASSERT_EQ(*value, i * 7);
  }
}

}  // namespace
}  // namespace keel
