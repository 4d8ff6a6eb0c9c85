// CONFIG: barriers=hybrid roots=precise transitions=stw; release, debug, asan, ubsan, tsan
//
// The oracle of torture is tested by breaking what it checks: a word, an edge, a root, a finalizer that runs
// too early; and the kinds by what they promise: zeroed, aligned, counted in closed form. KEEL_SEED picks the
// random objects.
#include <gtest/gtest.h>

#include <cstdlib>

#include "workloads/torture/draw.h"
#include "workloads/torture/graph_actions.h"
#include "workloads/torture/graph_ends.h"

namespace keel::torture {
namespace {

uint64_t seed() {
  const char* given = std::getenv("KEEL_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

class TortureOracle : public testing::Test {
 protected:
  TortureOracle() {
    HeapConfig config;
    config.roots = Roots::kPrecise;
    heap_.emplace(config);
  }
  using G = Graph<true>;
  template <typename T>
  using Local = G::Local<T>;

  static std::string fault_of(const std::function<void()>& check) {
    try {
      check();
    } catch (const Fault& fault) {
      return fault.what();
    }
    return "";
  }

  std::optional<Heap> heap_;
  Tally tally_;
};

TEST_F(TortureOracle, EveryKindComesZeroedAndIsWhatItsIdSays) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed()));
  MutatorScope scope(*heap_);
  Turn turn(seed(), 0, 0);
  for (uint64_t i = 0; i < 400; ++i) {
    ShadowSet set;
    int n = kNobody;
    Local<Any> object = G::fresh(turn, tally_, set, draw_body(turn.rng, i, 50'000), n);
    EXPECT_EQ(fault_of([&] { set.check(n, {n}); }), "");
  }
  for (size_t kind = 0; kind < kKindCount; ++kind) {
    EXPECT_GT(tally_.made[kind], 0U) << to_string(static_cast<Kind>(kind));
  }
}

TEST_F(TortureOracle, AGraphIsCountedToTheByte) {
  MutatorScope scope(*heap_);
  Turn turn(seed(), 0, 0);
  ShadowSet set;
  int n = kNobody;
  const Root<Any> top(G::tree(turn, tally_, nullptr, set, 3, n));
  heap_->collect();
  EXPECT_EQ(heap_->stats().heap_alloc_bytes, set.reachable_bytes({n}));
}

TEST_F(TortureOracle, AChangedWordIsAFaultThatNamesObjectAndPath) {
  MutatorScope scope(*heap_);
  Turn turn(seed(), 3, 17);
  ShadowSet set;
  int top = kNobody;
  int leaf = kNobody;
  Local<Any> parent = G::fresh(turn, tally_, set, {Kind::kNode, 1, 41}, top);
  Local<Any> child = G::fresh(turn, tally_, set, {Kind::kBlock, 1, 42}, leaf);
  edge_at(parent, set[top].body, 1) = static_cast<Any*>(child);
  set[top].edges[1] = {leaf, 0};
  ASSERT_EQ(fault_of([&] { set.check_all({top}); }), "");
  reinterpret_cast<uint64_t*>(static_cast<Any*>(child))[3] ^= 1;
  const std::string fault = fault_of([&] { set.check_all({top}); });
  EXPECT_NE(fault.find("block 42 (40B at 0x"), std::string::npos) << fault;
  EXPECT_NE(fault.find("made by thread 3 in its action 17"), std::string::npos) << fault;
  EXPECT_NE(fault.find("word 3 of its contents"), std::string::npos) << fault;
  EXPECT_NE(fault.find("root -> node 41 -> block 42"), std::string::npos) << fault;
}

TEST_F(TortureOracle, AnEdgeThatDiffersIsAFault) {
  MutatorScope scope(*heap_);
  Turn turn(seed(), 0, 0);
  ShadowSet set;
  int n = kNobody;
  Local<Any> node = G::fresh(turn, tally_, set, {Kind::kScatter, 1, 7}, n);
  edge_at(node, set[n].body, 2) = static_cast<Any*>(node);
  EXPECT_NE(fault_of([&] { set.check(n, {n}); }).find("edge 2 is 0x"), std::string::npos);
  ShadowSet rows;
  Local<Any> row = G::fresh(turn, tally_, rows, {Kind::kEdges, 400, 8}, n);
  reinterpret_cast<Edge*>(static_cast<Any*>(row))[1] = static_cast<Any*>(node);
  EXPECT_NE(fault_of([&] { rows.check(n, {n}); }).find("(an unused edge)"), std::string::npos);
}

TEST_F(TortureOracle, AFinalizerThatRanOnAReachableObjectIsAFault) {
  MutatorScope scope(*heap_);
  Turn turn(seed(), 0, 0);
  ShadowSet set;
  int n = kNobody;
  Local<Any> node = G::fresh(turn, tally_, set, {Kind::kNode, 1, 7}, n);
  set[n].will = std::make_shared<Will>();
  set[n].will->due = 1;
  ASSERT_EQ(fault_of([&] { set.check(n, {n}); }), "");
  set[n].will->runs = 1;
  EXPECT_NE(fault_of([&] { set.check(n, {n}); }).find("its finalizer ran"), std::string::npos);
}

TEST_F(TortureOracle, WhatIsFreedIsNoticed) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.debug.poison = true;
  heap_.reset();
  heap_.emplace(config);
  MutatorScope scope(*heap_);
  Turn turn(seed(), 0, 0);
  ShadowSet set;
  int n = kNobody;
  { Local<Any> lost = G::fresh(turn, tally_, set, {Kind::kBlock, 1, 7}, n); }
  heap_->collect();
  heap_->collect();
  EXPECT_NE(fault_of([&] { set.check(n, {n}); }), "");
}

TEST(TortureDraw, TheSameSeedDrawsTheSameAndAFlagChangesOnlyItself) {
  auto drawn = [](uint64_t seed, const char* flag) {
    CommonOptions options;
    options.seed = seed;
    if (flag != nullptr) options.arguments[flag] = "given";
    Settings settings;
    return draw_configuration(options, settings);
  };
  for (uint64_t seed = 1; seed < 200; ++seed) {
    EXPECT_EQ(drawn(seed, nullptr), drawn(seed, nullptr));
    const std::string free = drawn(seed, nullptr);
    const std::string pinned = drawn(seed, "threads");
    const std::string from = " --live ";
    EXPECT_EQ(free.substr(free.find(from)), pinned.substr(pinned.find(from)));
    EXPECT_NE(pinned.find(" --threads 1 "), std::string::npos);
  }
}

TEST(TortureDraw, EverySoundPairOfBarrierAndTransitionIsDrawn) {
  std::unordered_map<std::string, int> seen;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    CommonOptions options;
    options.seed = seed;
    Settings settings;
    draw_configuration(options, settings);
    ASSERT_TRUE(options.heap.check().ok());
    ++seen[options.heap.barrier + " " + options.heap.transitions];
  }
  EXPECT_EQ(seen.size(), 8U);  // five barriers with stw, three of them with handshake
}

}  // namespace
}  // namespace keel::torture
