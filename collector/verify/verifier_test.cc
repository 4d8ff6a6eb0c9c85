// CONFIG: barriers=hybrid roots=all
//
// The second opinion is itself tested: a hidden object, several in one span, and broken structures must be
// found.
#include "collector/verify/verifier.h"

#include <gtest/gtest.h>

#include "allocator/span/span_bits.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> left;
  Ptr<Node> right;
  uint64_t number;
};

struct Victim {
  const void* object = nullptr;
};

void hide(HeapCore& core, void* victim) { hide_mark_for_testing(core, static_cast<Victim*>(victim)->object); }

// Collects with one object's mark taken away; `pick` chooses among siblings that share a span.
void collect_hiding(int pick) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.debug.checkmark = true;
  Heap heap(config);
  MutatorScope scope(heap);
  Root<Node> parent(make<Node>());
  PreciseLocal<Node> at = parent.get();
  Victim victim;
  for (int i = 0; i < 5; ++i) {
    at->left = make<Node>();
    at = at->left.get();
    at->number = static_cast<uint64_t>(i);
    if (i == pick) victim.object = at.get();
  }
  at = nullptr;
  if (pick >= 0) set_before_checkmark_for_testing(hide, &victim);
  heap.collect();
  set_before_checkmark_for_testing(nullptr, nullptr);
}

TEST(CheckmarkDeathTest, NamesParentAndChildOfAHiddenObject) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (int pick = 0; pick < 5; ++pick) {
    EXPECT_DEATH(collect_hiding(pick),
                 "checkmark: cycle 1 missed child 0x[0-9a-f]+ \\(24 B, pointers at 0 8\\), field \\+0 of "
                 "parent 0x[0-9a-f]+ "
                 "\\(24 B, pointers at 0 8\\)");
  }
}

TEST(Checkmark, AgreesWhenNothingIsHidden) { collect_hiding(-1); }

class WalkTest : public testing::Test {
 protected:
  WalkTest() {
    HeapConfig config;
    config.roots = Roots::kPrecise;
    config.gogc_percent = HeapConfig::kGogcOff;
    heap_ = std::make_unique<Heap>(config);
  }
  std::unique_ptr<Heap> heap_;
};

TEST_F(WalkTest, FindsAnAllocationBitThatNobodyAccountsFor) {
  MutatorScope scope(*heap_);
  Root<Node> node(make<Node>());
  EXPECT_EQ(heap_->check(), "");
  HeapMemory& memory = heap_->core().memory;
  Span* span = memory.table().find(reinterpret_cast<uintptr_t>(node.get()));
  BitWord* bits = memory.alloc_bits(memory.page_of(*span));
  set_bits(bits, 300, 301);
  EXPECT_NE(heap_->check().find("2 allocation bits, but 1 live slots"), std::string::npos) << heap_->check();
  clear_bits(bits, 300, 301);
  EXPECT_EQ(heap_->check(), "");
}

TEST_F(WalkTest, FindsBytesThatDoNotAddUp) {
  MutatorScope scope(*heap_);
  Root<Node> node(make<Node>());
  heap_->core().allocated.bytes.fetch_add(24, std::memory_order_relaxed);
  EXPECT_NE(heap_->check().find("live bytes != allocated - freed"), std::string::npos);
  heap_->core().allocated.bytes.fetch_sub(24, std::memory_order_relaxed);
  heap_->core().memory.freed().objects.fetch_add(1, std::memory_order_relaxed);
  EXPECT_NE(heap_->check().find("live slots != allocated - freed"), std::string::npos);
  heap_->core().memory.freed().objects.fetch_sub(1, std::memory_order_relaxed);
}

TEST_F(WalkTest, FindsASpanThatItsAddressesDoNotLeadTo) {
  MutatorScope scope(*heap_);
  Root<Node> node(make<Node>());
  HeapMemory& memory = heap_->core().memory;
  Span* span = memory.table().find(reinterpret_cast<uintptr_t>(node.get()));
  memory.table().withdraw(*span);
  EXPECT_NE(heap_->check().find("is not what its addresses lead to"), std::string::npos);
  memory.table().publish(*span);
  EXPECT_EQ(heap_->check(), "");
}

}  // namespace
}  // namespace keel
