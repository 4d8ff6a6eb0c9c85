// The system's pages are larger than the heap's, a quota allows fewer cores than the affinity, and tables of
// threads that come and go stay out of memory.
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "allocator/base/os_memory.h"
#include "allocator/base/rng.h"
#include "allocator/cache/thread_cache.h"
#include "allocator/page/page_heap.h"

namespace keel {
namespace {

class SystemPages : public testing::TestWithParam<size_t> {
 protected:
  void SetUp() override { os::set_page_bytes_for_testing(GetParam()); }
  void TearDown() override { os::set_page_bytes_for_testing(0); }
};

// Whatever is said to be clean reads as zero, after any sequence of taking, giving back and releasing.
TEST_P(SystemPages, CleanRunsAreZero) {
  constexpr uint64_t kSeed = 11;
  PageTable table;
  PageHeap heap(table);
  ASSERT_TRUE(heap.reserve(64 * kMiB, false));
  Rng rng(kSeed);
  std::vector<PageRun> held;
  for (int i = 0; i < 4000; ++i) {
    if (held.size() < 20 || rng.below(2) == 0) {
      const PageRun run = heap.allocate(1 + rng.below(30), uint64_t{1} << rng.below(4));
      if (!run.valid()) continue;
      auto* start = reinterpret_cast<char*>(table.address_of(run.page));
      const size_t bytes = run.pages << kPageShift;
      if (!run.dirty) {
        for (size_t at = 0; at < bytes; at += 512)
          ASSERT_EQ(start[at], 0) << "seed " << kSeed << ", step " << i;
      }
      std::memset(start, 1, bytes);
      held.push_back(run);
    } else {
      const size_t at = rng.below(held.size());
      const PageRun run = held[at];
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
      const bool release =
          rng.below(3) == 0 &&
          os::release(reinterpret_cast<void*>(table.address_of(run.page)), run.pages << kPageShift);
      heap.free(run.page, run.pages, release);
    }
    if (rng.below(50) == 0) heap.release_idle(rng.below(4) * kMiB, ~uint64_t{0});
    if (rng.below(100) == 0) {
      ASSERT_STREQ(heap.check_identities(), "");
    }
  }
}

// A large pointer-free object is zero to its last byte though its pages had another life.
TEST_P(SystemPages, LargeObjectsAreZero) {
  HeapMemory memory({256 * kMiB, 0, false, false});
  const LayoutId large = register_layout(4 * kMiB, PointerMap{});
  const PageRun run = memory.pages().allocate(1000);
  std::memset(reinterpret_cast<void*>(memory.table().address_of(run.page)), 1, run.pages << kPageShift);
  memory.pages().free(run.page, run.pages, false);
  const uint64_t bytes = 2 * kMiB + 5 * kPageBytes;
  const Span* span = memory.allocate_large(large, bytes, 0, false);
  ASSERT_NE(span, nullptr);
  for (uint64_t at = 0; at < bytes; at += 256) ASSERT_EQ(reinterpret_cast<char*>(span->start)[at], 0) << at;
}

INSTANTIATE_TEST_SUITE_P(Sizes, SystemPages, testing::Values(4096, 16384, 65536));

// What the kernel knows of the mapping at `address`: "dd" among its flags keeps it out of core dumps.
bool in_dumps(uintptr_t address) {
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long long first = 0;
    unsigned long long last = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx ", &first, &last) == 2) {
      here = first <= address && address < last;
    } else if (here && line.rfind("VmFlags:", 0) == 0) {
      return line.find(" dd") == std::string::npos;
    }
  }
  ADD_FAILURE() << "no mapping at the address";
  return false;
}

class FreeEverything final : public SweepHook {
 public:
  void sweep_span(Span& span, uint32_t cycle) override {
    span.live_slots = 0;
    span.swept_cycle.store(cycle, std::memory_order_relaxed);
  }
};

// A large pointer-free object is kept out of core dumps. What takes its pages afterwards is not.
TEST(CoreDumps, HavePagesThatALargeObjectHasLeft) {
  HeapMemory memory({256 * kMiB, 0, false, false});
  FreeEverything sweep;
  memory.set_sweep_hook(&sweep);
  const LayoutId large = register_layout(4 * kMiB, PointerMap{});
  const Span* span = memory.allocate_large(large, 4 * kMiB, memory.cycle(), false);
  ASSERT_NE(span, nullptr);
  const uintptr_t address = span->start + kMiB;
  EXPECT_FALSE(in_dumps(address));
  memory.finish_mark();
  EXPECT_TRUE(memory.sweep_one(memory.cycle()));
  EXPECT_TRUE(in_dumps(address));
}

// Of a table's pages those become resident that are used: none yet. (malloc would have cleared them by
// writing.)
TEST(CacheTables, BecomeResidentPageByPage) {
  std::vector<void*> blocks;  // what malloc would hand out again
  for (int i = 0; i < 64; ++i) {
    blocks.push_back(std::malloc(65536));
    std::memset(blocks.back(), 1, 65536);
  }
  for (void* block : blocks) std::free(block);
  HeapMemory memory({64 * kMiB, 0, false, false});
  for (int i = 0; i < 8; ++i) {
    const ThreadCache cache(memory);
    unsigned char resident[64] = {};
    const size_t bytes = kMaxLayouts * 16;
    ASSERT_EQ(mincore(const_cast<void*>(cache.cursors_for_testing()), bytes, resident), 0);
    for (size_t page = 0; page < bytes / static_cast<size_t>(sysconf(_SC_PAGESIZE)); ++page) {
      EXPECT_EQ(resident[page] & 1, 0) << page;
    }
  }
}

}  // namespace
}  // namespace keel
