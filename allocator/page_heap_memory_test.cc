// CONFIG: no heap: the page heap alone, in a program whose operator new can fail
//
// Whatever call of operator new fails, the page heap is what it was before the operation, and freeing
// succeeds.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#include "allocator/base/rng.h"
#include "allocator/page/page_heap.h"

namespace {
long g_calls_left = 0;  // the call that fails is the one that makes it 0; one thread
}

void* operator new(size_t bytes) {
  if (g_calls_left > 0 && --g_calls_left == 0) throw std::bad_alloc();
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace keel {
namespace {

constexpr uint64_t kSeed = 7;
constexpr int kSteps = 200;

bool same(const PageHeapStats& a, const PageHeapStats& b) {
  return a.in_use_bytes == b.in_use_bytes && a.dirty_bytes == b.dirty_bytes && a.free_runs == b.free_runs;
}

class ScriptedHeap {
 public:
  ScriptedHeap() : heap_(table_) {
    EXPECT_TRUE(heap_.reserve(64 * kMiB, false));
    held_.reserve(kSteps);
  }

  // True if the k-th call of operator new came, and failed.
  bool run_with_failing_call(long k) {
    g_calls_left = k;
    for (int i = 0; i < kSteps; ++i) step();
    const bool failed = g_calls_left == 0;
    g_calls_left = 0;
    EXPECT_STREQ(heap_.check_identities(), "") << "call " << k;
    for (const PageRun& run : held_) heap_.free(run.page, run.pages, false);
    EXPECT_EQ(heap_.stats().in_use_bytes, 0U) << "call " << k;
    EXPECT_EQ(heap_.stats().free_runs, 1U) << "call " << k;
    return failed;
  }

 private:
  void step() {
    const PageHeapStats before = heap_.stats();
    const uint64_t dice = rng_.below(10);
    bool freeing = false;
    try {
      if (held_.empty() || dice < 5) {
        const PageRun run = heap_.allocate(1 + rng_.below(30), uint64_t{1} << rng_.below(4));
        if (run.valid()) held_.push_back(run);
      } else if (dice < 9) {
        freeing = true;
        const size_t at = rng_.below(held_.size());
        const PageRun run = held_[at];
        held_[at] = held_.back();
        held_.pop_back();
        heap_.free(run.page, run.pages, false);
      } else {
        heap_.release_idle(rng_.below(64) * kPageBytes, 8 * kPageBytes);
      }
    } catch (const std::bad_alloc&) {
      EXPECT_FALSE(freeing) << "free() failed";
      EXPECT_TRUE(same(before, heap_.stats())) << "an operation that failed left traces";
      EXPECT_STREQ(heap_.check_identities(), "");
    }
  }

  PageTable table_;
  PageHeap heap_;
  Rng rng_{kSeed};
  std::vector<PageRun> held_;
};

TEST(PageHeap, IsWhatItWasWhateverCallOfOperatorNewFails) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  long k = 1;
  while (ScriptedHeap().run_with_failing_call(k) && !HasFailure()) ++k;
  std::printf("%ld calls failed in turn\n", k - 1);
}

}  // namespace
}  // namespace keel
