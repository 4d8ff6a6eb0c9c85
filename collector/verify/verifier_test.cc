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

struct Second {
  uint64_t resident_bytes = 0;
};

void mark_again(HeapCore& core, void* second) {
  set_before_checkmark_for_testing(nullptr, nullptr);
  Verifier verifier(core);
  verifier.check_marks();
  static_cast<Second*>(second)->resident_bytes = verifier.resident_bytes();
}

// The second mark's bits cost what objects and spans cost: beside 256 GiB of untouched ballast (two words a
// page would be 2 GiB) no more than a few of the system's pages.
TEST(Checkmark, CostsNothingForABallast) {
  HeapConfig config;
  config.roots = Roots::kPrecise;
  config.debug.checkmark = true;
  config.gogc_percent = HeapConfig::kGogcOff;
  Heap heap(config);
  MutatorScope scope(heap);
  Root<unsigned char> ballast;
  try {
    ballast.reset(make_array<unsigned char>(256 * kGiB));
  } catch (const std::bad_alloc&) {
    GTEST_SKIP() << "this build or machine has no 256 GiB of addresses";
  }
  Root<Node> above(make<Node>());
  Second second;
  set_before_checkmark_for_testing(mark_again, &second);
  heap.collect();
  EXPECT_GT(second.resident_bytes, 0U);
  EXPECT_LE(second.resident_bytes, 64 * kKiB);
}

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
