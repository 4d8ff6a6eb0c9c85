// CONFIG: barriers=all
//
// Every interleaving of the tiny heap (tiny_heap.h): a kind with its needs met never loses an object; without
// a barrier, or with a rule of soundness broken, one is lost.
#include <gtest/gtest.h>

#include <cstdio>

#include "barriers/kinds/hybrid.h"
#include "barriers/kinds/none.h"
#include "barriers/model/tiny_heap.h"

namespace keel::model {
namespace {

template <typename Kind>
Outcome explore(Rules rules = {}) {
  const Outcome outcome = Explorer<Kind>(rules).run();
  std::printf("%llu states%s%s\n", static_cast<unsigned long long>(outcome.states),
              outcome.lost ? ", lost: " : "", outcome.how.c_str());
  return outcome;
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

TEST(LostObjectModel, HybridNeverLosesAnObject) {
  const Outcome outcome = explore<HybridBarrier>();
  EXPECT_FALSE(outcome.lost) << outcome.how;
  EXPECT_GT(outcome.states, 100000U) << "the model explored too little to mean anything";
}

TEST(LostObjectModel, NoBarrierLosesAnObject) { EXPECT_TRUE(explore<NoBarrier>().lost); }
TEST(LostObjectModel, InsertionHalfAloneLosesAnObject) { EXPECT_TRUE(explore<InsertionHalf>().lost); }
TEST(LostObjectModel, DeletionHalfAloneLosesAnObject) { EXPECT_TRUE(explore<DeletionHalf>().lost); }

TEST(LostObjectModel, FlagRisingInsideAStoreLosesAnObject) {
  EXPECT_TRUE(explore<HybridBarrier>({.safepoint_between_test_and_store = true}).lost);
}

TEST(LostObjectModel, TracingBeforeEveryoneAcknowledgedLosesAnObject) {
  EXPECT_TRUE(explore<HybridBarrier>({.trace_before_all_acknowledged = true}).lost);
}

TEST(LostObjectModel, AllocatingWhiteLosesAnObject) {
  EXPECT_TRUE(explore<HybridBarrier>({.allocate_black = false}).lost);
}

TEST(LostObjectModel, EndingWithFullBuffersLosesAnObject) {
  EXPECT_TRUE(explore<HybridBarrier>({.flush_before_end = false}).lost);
}

}  // namespace
}  // namespace keel::model
