// CONFIG: barriers=all transitions=all
//
// Every interleaving of the tiny heap (tiny_heap.h, explorer.h): a kind with its needs met never loses an
// object; denied one of them, or with a rule of soundness broken, it loses one.
#include <gtest/gtest.h>

#include <cstdio>

#include "barriers/kinds/dijkstra.h"
#include "barriers/kinds/hybrid.h"
#include "barriers/kinds/hybrid_conditional.h"
#include "barriers/kinds/none.h"
#include "barriers/kinds/yuasa.h"
#include "barriers/model/explorer.h"

namespace keel::model {
namespace {

constexpr bool kStops = false;
constexpr bool kRagged = true;

template <typename Kind>
Outcome explore(Rules rules) {
  const Outcome outcome = Explorer<Kind>(rules).run();
  std::printf("%llu states%s%s\n", static_cast<unsigned long long>(outcome.states),
              outcome.lost ? ", lost: " : "", outcome.how.c_str());
  return outcome;
}

/// The kind as its traits want it, with one thing changed by `deny`.
template <typename Kind, typename Deny>
Outcome explore_without(bool ragged, Deny&& deny) {
  Rules rules = rules_of(Kind::kTraits, ragged);
  deny(rules);
  return explore<Kind>(rules);
}

template <typename Kind>
void expect_safe(bool ragged) {
  const Outcome outcome = explore<Kind>(rules_of(Kind::kTraits, ragged));
  EXPECT_FALSE(outcome.lost) << outcome.how;
  EXPECT_GT(outcome.states, 100000U) << "the model explored too little to mean anything";
}

// Half a barrier each: what the hybrid needs both of when stacks are scanned once, one by one.
struct InsertionHalf {
  template <typename State, typename SlotType>
  static void before_store(State& self, SlotType&, uintptr_t value) noexcept {
    self.add(value);
  }
};
struct DeletionHalf {
  template <typename State, typename SlotType>
  static void before_store(State& self, SlotType& slot, uintptr_t) noexcept {
    self.add(slot.load_acquire());
  }
};

TEST(LostObjectModel, HybridIsSafeWithStops) { expect_safe<HybridBarrier>(kStops); }
TEST(LostObjectModel, HybridIsSafeWithHandshakes) { expect_safe<HybridBarrier>(kRagged); }
TEST(LostObjectModel, HybridConditionalIsSafeWithStops) { expect_safe<HybridConditionalBarrier>(kStops); }
TEST(LostObjectModel, HybridConditionalIsSafeWithHandshakes) {
  expect_safe<HybridConditionalBarrier>(kRagged);
}
TEST(LostObjectModel, DijkstraIsSafeWithStops) { expect_safe<DijkstraBarrier>(kStops); }
TEST(LostObjectModel, DijkstraIsSafeWithHandshakes) { expect_safe<DijkstraBarrier>(kRagged); }
TEST(LostObjectModel, YuasaIsSafeWithStops) { expect_safe<YuasaBarrier>(kStops); }

TEST(LostObjectModel, TraitsSayWhichKindsAreSoundWithHandshakes) {
  // What is refused is refused for a reason.
  EXPECT_FALSE(YuasaBarrier::kTraits.sound_with_handshake);
  EXPECT_TRUE(explore_without<YuasaBarrier>(kRagged, [](Rules&) {}).lost);
  EXPECT_FALSE(NoBarrier::kTraits.concurrent);
  EXPECT_TRUE(explore_without<NoBarrier>(kRagged, [](Rules&) {}).lost);
}

TEST(LostObjectModel, NoBarrierLosesAnObject) {
  EXPECT_TRUE(explore_without<NoBarrier>(kStops, [](Rules&) {}).lost);
}
TEST(LostObjectModel, DijkstraWithoutRescanLosesAnObject) {
  for (bool ragged : {kStops, kRagged}) {
    EXPECT_TRUE(explore_without<DijkstraBarrier>(ragged, [](Rules& r) { r.rescan_stacks = false; }).lost);
  }
}
TEST(LostObjectModel, YuasaWithoutSnapshotLosesAnObject) {
  EXPECT_TRUE(explore_without<YuasaBarrier>(kStops, [](Rules& r) { r.snapshot_stacks = false; }).lost);
}
TEST(LostObjectModel, InsertionHalfAloneLosesAnObject) {
  EXPECT_TRUE(explore<InsertionHalf>({}).lost);
  EXPECT_TRUE(explore<InsertionHalf>({.ragged = true, .root_fields = 1}).lost);
}
TEST(LostObjectModel, DeletionHalfAloneLosesAnObject) {
  EXPECT_TRUE(explore<DeletionHalf>({}).lost);
  EXPECT_TRUE(explore<DeletionHalf>({.ragged = true, .root_fields = 1}).lost);
}

template <typename Kind>
class Mutants : public testing::Test {};
using Concurrent = testing::Types<HybridBarrier, HybridConditionalBarrier, DijkstraBarrier, YuasaBarrier>;
TYPED_TEST_SUITE(Mutants, Concurrent, );

/// The mutant must lose an object with stops, and with handshakes where the kind is sound with them.
template <typename Kind, typename Deny>
void expect_lost(Deny&& deny) {
  EXPECT_TRUE(explore_without<Kind>(kStops, deny).lost) << "with stops";
  if (Kind::kTraits.sound_with_handshake) {
    EXPECT_TRUE(explore_without<Kind>(kRagged, deny).lost) << "with handshakes";
  }
}

TYPED_TEST(Mutants, FlagRisingInsideAStoreLosesAnObject) {
  const auto deny = [](Rules& r) { r.safepoint_between_test_and_store = true; };
  EXPECT_TRUE(explore_without<TypeParam>(kStops, deny).lost);
}
TYPED_TEST(Mutants, TracingBeforeEveryoneAcknowledgedLosesAnObject) {
  expect_lost<TypeParam>([](Rules& r) { r.trace_before_all_acknowledged = true; });
}
TYPED_TEST(Mutants, EndingWithFullBuffersLosesAnObject) {
  expect_lost<TypeParam>([](Rules& r) { r.flush_before_end = false; });
}

TEST(LostObjectModel, AllocatingWhiteLosesAnObject) {
  EXPECT_TRUE(explore_without<HybridBarrier>(kStops, [](Rules& r) { r.allocate_black = false; }).lost);
  EXPECT_TRUE(explore_without<HybridBarrier>(kRagged, [](Rules& r) { r.allocate_black = false; }).lost);
}

// A store that read its slot before all barriers were on must be over before anything is traced: the second
// round waits for it. (Dijkstra's reads no slot.)
TEST(LostObjectModel, MergingTheFirstTwoRoundsLosesAnObject) {
  const auto merge = [](Rules& r) { r.merge_rounds = true; };
  EXPECT_TRUE(explore_without<HybridBarrier>(kRagged, merge).lost);
  EXPECT_TRUE(explore_without<HybridConditionalBarrier>(kRagged, merge).lost);
}

TEST(LostObjectModel, EndingAfterOneRoundLosesAnObject) {
  EXPECT_TRUE(explore_without<HybridBarrier>(kRagged, [](Rules& r) { r.end_after_one_round = true; }).lost);
}
TEST(LostObjectModel, GreyingAnObjectInSilenceLosesAnObject) {
  EXPECT_TRUE(explore_without<HybridBarrier>(kRagged, [](Rules& r) { r.announce_early = false; }).lost);
}

}  // namespace
}  // namespace keel::model
