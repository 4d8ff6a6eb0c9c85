// CONFIG: barriers=hybrid; builds whose calls can fail (all but release)
//
// System calls that fail in the collector (allocator/base/system_calls.h).
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "allocator/base/system_calls.h"
#include "collector/api/heap.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

// Whichever of the collector's threads cannot be started: an exception, and the next heap is as good as any.
TEST(FailingCalls, WithoutAThreadThereIsNoHeapAndNothingIsLeft) {
  if (!kCallsCanFail || kExploreBuild) GTEST_SKIP() << "threads cannot fail in this build";
  bool made = false;
  for (int n = 1; !made; ++n) {
    ASSERT_LT(n, 1000);
    set_failures_for_testing(("thread:" + std::to_string(n) + ":EAGAIN").c_str());
    try {
      Heap heap(HeapConfig{});
      made = true;
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code().value(), EAGAIN);
      EXPECT_EQ(Heap::current(), nullptr);
    }
    set_failures_for_testing(nullptr);
  }
  Heap heap(HeapConfig{});
  MutatorScope scope(heap);
  Root<Node> root(make<Node>());
  heap.collect();
  EXPECT_EQ(root->number, 0U);
  EXPECT_EQ(heap.check(), "");
}

}  // namespace
}  // namespace keel
