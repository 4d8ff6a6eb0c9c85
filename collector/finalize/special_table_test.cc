// CONFIG: barriers=all transitions=all roots=precise
//
// Where specials hang and who visits them: no stop does, a sweep decides, and their memory follows what is
// registered.
#include "collector/finalize/special_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "allocator/base/rng.h"
#include "allocator/span/span_bits.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

constexpr int64_t kPatience = 60'000'000'000;

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

struct Other {
  uint64_t a, b, c, d, e;
};

struct Kind {
  const char* barrier;
  const char* transitions;
};

HeapConfig config(const Kind& kind) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.barrier = kind.barrier;
  c.transitions = kind.transitions;
  c.debug.checkmark = true;
  c.debug.walk = true;
  return c;
}

std::vector<Kind> sound_kinds() {
  std::vector<Kind> all;
  for (const char* transitions : {"stw", "handshake"}) {
    for (const char* barrier : {"hybrid", "hybrid-conditional", "dijkstra", "yuasa", "none"}) {
      if (config({barrier, transitions}).check().ok()) all.push_back({barrier, transitions});
    }
  }
  return all;
}

class Cycles final : public NullListener {
 public:
  void on_cycle(const CycleRecord& record) override { records.push_back(record); }
  std::vector<CycleRecord> records;  // the cycle thread's until collect() has returned
};

class Specials : public testing::TestWithParam<Kind> {};

// The stop's work is what is visited in it: with finalizers, cleanups and weak pointers of live and of dead
// objects none of them is. Without a barrier the whole mark is one stop: there the walk of the roots visits
// finalizers.
TEST_P(Specials, NoStopVisitsOne) {
  Cycles cycles;
  HeapConfig c = config(GetParam());
  c.listener = &cycles;
  constexpr uint64_t kObjects = 500;
  Heap heap(c);
  MutatorScope scope(heap);
  Root<Node> kept;
  std::vector<Weak<Node>> weak;
  std::atomic<uint64_t> finalized{0};
  std::atomic<uint64_t> cleaned{0};
  for (uint64_t i = 0; i < 4 * kObjects; ++i) {
    PreciseLocal<Node> node = make<Node>();
    if (i % 4 == 0) set_finalizer(node.get(), [&](Node*) { ++finalized; });
    if (i % 4 == 1)
      add_cleanup(
          node.get(), [&](int) { ++cleaned; }, 0);
    if (i % 4 == 2) weak.emplace_back(node.get());
    if (i % 8 < 4) continue;
    node->next = kept.get();
    kept = node.get();
  }
  for (int i = 0; i < 3; ++i) {
    heap.collect();
    EXPECT_TRUE(heap.run_finalizers(kPatience));
  }
  EXPECT_EQ(finalized, kObjects / 2);
  EXPECT_EQ(cleaned, kObjects / 2);
  uint64_t null = 0;
  for (const Weak<Node>& w : weak) null += w.lock() == nullptr ? 1 : 0;
  EXPECT_EQ(null, kObjects / 2);
  EXPECT_GT(heap.core().specials.visited(), 6 * kObjects / 2) << "sweeps visit them";
  ASSERT_GE(cycles.records.size(), 3U);
  const bool all_in_one_stop = std::string(GetParam().barrier) == "none";
  const uint64_t walked[] = {kObjects, kObjects / 2, kObjects / 2};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(cycles.records[i].specials_in_stops, all_in_one_stop ? walked[i] : 0U) << "cycle " << i + 1;
  }
}

TEST_P(Specials, OfLargeObjectsLiveAndDieWithThem) {
  Heap heap(config(GetParam()));
  MutatorScope scope(heap);
  constexpr size_t kPointers = 200'000;  // 1.6 MB: scanned in pieces
  std::atomic<uint64_t> seen{0};
  std::atomic<int> cleaned{0};
  Weak<Ptr<Node>> weak;
  Weak<uint64_t> weak_inside;
  {
    PreciseLocal<Ptr<Node>> pointers = make_array<Ptr<Node>>(kPointers);
    pointers.get()[kPointers - 1] = make<Node>();
    pointers.get()[kPointers - 1]->number = 78;
    weak = Weak<Ptr<Node>>(pointers.get());
    set_finalizer(pointers.get(), [&](Ptr<Node>* p) { seen = p[kPointers - 1]->number; });
    PreciseLocal<uint64_t> numbers = make_array<uint64_t>(1 << 20);
    weak_inside = Weak<uint64_t>(numbers.get() + 1000);
    add_cleanup(
        numbers.get() + 5000, [&](int n) { cleaned = n; }, 5);
    heap.collect();
    EXPECT_EQ(weak.lock(), pointers.get());
    EXPECT_EQ(weak_inside.lock(), numbers.get() + 1000);
  }
  heap.collect();
  EXPECT_TRUE(heap.run_finalizers(kPatience));
  EXPECT_EQ(seen, 78U) << "what a large finalizable object reaches is kept for it";
  EXPECT_EQ(cleaned, 5);
  EXPECT_EQ(weak.lock(), nullptr);
  EXPECT_EQ(weak_inside.lock(), nullptr);
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 0U);
  EXPECT_EQ(heap.core().specials.size(), 0U);
}

// Objects die with their whole spans, the pages serve another layout: old weak pointers and cleanups say
// nothing about what lives there now.
TEST_P(Specials, OfASpanThatIsGoneLeaveNothingBehind) {
  HeapConfig c = config(GetParam());
  c.gogc_percent = HeapConfig::kGogcOff;
  Heap heap(c);
  MutatorScope scope(heap);
  std::atomic<int> cleaned{0};
  std::vector<Weak<Node>> old;
  std::vector<Cleanup> cleanups;
  constexpr int kObjects = 5000;
  for (int i = 0; i < kObjects; ++i) {
    PreciseLocal<Node> node = make<Node>();
    old.emplace_back(node.get());
    if (i % 2 == 0)
      cleanups.push_back(add_cleanup(
          node.get(), [&](int) { ++cleaned; }, 0));
  }
  heap.free_os_memory();
  EXPECT_TRUE(heap.run_finalizers(kPatience));
  EXPECT_EQ(cleaned, kObjects / 2);
  EXPECT_EQ(heap.stats().heap_in_use_bytes, 0U) << "every span is gone";
  Root<Ptr<Other>> kept(make_array<Ptr<Other>>(kObjects));
  std::vector<Weak<Other>> young;
  std::atomic<int> stopped_for_nothing{0};
  for (int i = 0; i < kObjects; ++i) {
    Other* other = make<Other>();
    kept.get()[i] = other;
    young.emplace_back(other);
    add_cleanup(
        other, [&](int) { ++stopped_for_nothing; }, 0);
  }
  for (Cleanup& cleanup : cleanups) cleanup.stop();
  for (int i = 0; i < kObjects; ++i) {
    ASSERT_EQ(old[i].lock(), nullptr);
    ASSERT_EQ(young[i].lock(), kept.get()[i].get());
  }
  EXPECT_EQ(heap.check(), "");
  kept.reset();
  heap.collect();
  EXPECT_TRUE(heap.run_finalizers(kPatience));
  EXPECT_EQ(stopped_for_nothing, kObjects) << "a stale handle stopped somebody else's cleanup";
}

TEST_P(Specials, OfASlotAreItsObjectsAlone) {
  HeapConfig c = config(GetParam());
  c.gogc_percent = HeapConfig::kGogcOff;
  Heap heap(c);
  MutatorScope scope(heap);
  Root<Node> neighbour(make<Node>());  // the span stays
  std::vector<Weak<Node>> ever;
  uintptr_t slot = 0;
  int reused = 0;
  for (int i = 0; i < 20; ++i) {
    {
      PreciseLocal<Node> node = make<Node>();
      reused += reinterpret_cast<uintptr_t>(node.get()) == slot ? 1 : 0;
      slot = reinterpret_cast<uintptr_t>(node.get());
      for (const Weak<Node>& w : ever) ASSERT_EQ(w.lock(), nullptr);
      ever.emplace_back(node.get());
      EXPECT_EQ(ever.back().lock(), node.get());
      for (size_t j = 0; j + 1 < ever.size(); ++j) EXPECT_FALSE(ever[j] == ever.back());
    }
    heap.collect();
  }
  EXPECT_GT(reused, 10) << "the slot was to be used again";
}

// A weak pointer that is resurrected and made again is another one.
TEST_P(Specials, AWeakPointerMadeAfterResurrectionIsNew) {
  Heap heap(config(GetParam()));
  MutatorScope scope(heap);
  Root<Node> saved;
  Weak<Node> before;
  {
    PreciseLocal<Node> node = make<Node>();
    before = Weak<Node>(node.get());
    set_finalizer(node.get(), [&](Node* n) { saved = n; });
  }
  heap.collect();
  EXPECT_TRUE(heap.run_finalizers(kPatience));
  ASSERT_NE(saved.get(), nullptr);
  EXPECT_EQ(before.lock(), nullptr);
  Weak<Node> after(saved.get());
  EXPECT_FALSE(before == after);
  heap.collect();
  EXPECT_EQ(after.lock(), saved.get());
  saved.reset();
  heap.collect();
  EXPECT_EQ(after.lock(), nullptr);
}

// Threads register, take away and register again while cycles run. Every finalizer either ran once or was
// taken away, every cleanup as well; nothing is left.
TEST_P(Specials, RunOrAreTakenAwayButNeverBoth) {
  HeapConfig c = config(GetParam());
  c.debug.walk = false;
  c.debug.checkmark = false;
  c.gogc_percent = 20;
  Heap heap(c);
  const uint64_t seed = 7;
  constexpr int kThreads = 2;
  constexpr int kObjects = 10000;
  std::atomic<uint64_t> due_finalizers{0};
  std::atomic<uint64_t> due_cleanups{0};
  std::atomic<uint64_t> finalized{0};
  std::atomic<uint64_t> cleaned{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      MutatorScope scope(heap, "registers");
      Rng rng(seed * 100 + static_cast<uint64_t>(t));
      std::vector<Root<Node>> kept(100);
      std::vector<Cleanup> cleanups(kept.size());
      std::vector<bool> stopped(kept.size());
      for (int i = 0; i < kObjects; ++i) {
        const size_t at = rng.below(kept.size());
        if (Node* old = kept[at].get(); old != nullptr && rng.below(2) == 0) {
          due_finalizers -= clear_finalizer(old) ? 1 : 0;
          EXPECT_FALSE(clear_finalizer(old));
          if (rng.below(2) == 0) {
            set_finalizer(old, [&](Node*) { ++finalized; });
            ++due_finalizers;
          }
          if (!stopped[at]) {
            cleanups[at].stop();
            stopped[at] = true;
            --due_cleanups;
          }
        }
        PreciseLocal<Node> node = make<Node>();
        node->next = make<Node>();
        set_finalizer(node.get(), [&](Node* n) { finalized += n->next.get() != nullptr ? 1 : 1000; });
        ++due_finalizers;
        cleanups[at] = add_cleanup(
            node.get(), [&](int) { ++cleaned; }, 0);
        stopped[at] = false;
        ++due_cleanups;
        kept[at] = node.get();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  MutatorScope scope(heap, "end");
  for (int i = 0; i < 3; ++i) {
    heap.collect();
    EXPECT_TRUE(heap.run_finalizers(kPatience));
  }
  EXPECT_EQ(finalized, due_finalizers) << "seed " << seed;
  EXPECT_EQ(cleaned, due_cleanups) << "seed " << seed;
  EXPECT_EQ(heap.core().specials.size(), 0U);
  EXPECT_EQ(heap.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Kinds, Specials, testing::ValuesIn(sound_kinds()), [](const auto& test) {
  std::string name = std::string(test.param.barrier) + "_" + test.param.transitions;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

// 300,000 objects with one of each: the memory of a million specials goes back with them, a block a stripe
// stays.
TEST(SpecialTable, GivesItsMemoryBack) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  Heap heap(c);
  MutatorScope scope(heap);
  // A tenth where every access is instrumented.
  constexpr uint64_t kObjects = KEEL_DEBUG_CHECKS ? 35'000 : 350'000;
  std::atomic<uint64_t> ran{0};
  std::vector<Weak<Node>> weak;
  weak.reserve(kObjects);
  for (uint64_t i = 0; i < kObjects; ++i) {
    PreciseLocal<Node> node = make<Node>();
    set_finalizer(node.get(), [&](Node*) { ++ran; });
    add_cleanup(
        node.get(), [&](int) { ++ran; }, 0);
    weak.emplace_back(node.get());
  }
  SpecialTable& table = heap.core().specials;
  EXPECT_GE(table.size(), kObjects / 100);
  for (int i = 0; i < 3; ++i) {
    heap.collect();
    EXPECT_TRUE(heap.run_finalizers(kPatience));
  }
  EXPECT_EQ(ran, 2 * kObjects);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_LE(table.resident_blocks(), 64U);
  for (const Weak<Node>& w : weak) ASSERT_EQ(w.lock(), nullptr);
}

TEST(SpecialTable, TheWalkFindsASpecialOfAFreeSlot) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.gogc_percent = HeapConfig::kGogcOff;
  Heap heap(c);
  MutatorScope scope(heap);
  Root<Node> node(make<Node>());
  Weak<Node> weak(node.get());
  EXPECT_EQ(heap.check(), "");
  HeapMemory& memory = heap.core().memory;
  Span* span = memory.table().find(reinterpret_cast<uintptr_t>(node.get()));
  BitWord* bits = memory.alloc_bits(memory.page_of(*span));
  const auto slot =
      static_cast<uint32_t>((reinterpret_cast<uintptr_t>(node.get()) - span->start) / sizeof(Node));
  clear_bits(bits, slot, slot + 1);
  --span->live_slots;
  EXPECT_NE(heap.check().find("specials of slot " + std::to_string(slot) + ", which is free"),
            std::string::npos)
      << heap.check();
  set_bits(bits, slot, slot + 1);
  ++span->live_slots;
  EXPECT_EQ(heap.check(), "");
}

// What a function captured may be a Root: it goes on an attached thread, though the function never ran.
TEST(SpecialTable, AFunctionThatNeverRanMayHoldARoot) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  Heap heap(c);
  MutatorScope scope(heap);
  auto held = std::make_shared<Root<Node>>(make<Node>());
  Root<Node> live(make<Node>());
  add_cleanup(
      live.get(), [held](int) {}, 0);
  set_finalizer(live.get(), [held = std::move(held)](Node*) {});
}

TEST(InlineFunction, HoldsSmallAndLargeCallablesAndMoves) {
  auto counted = std::make_shared<int>(0);
  struct Large {
    std::shared_ptr<int> count;
    uint64_t more[8] = {};
    void operator()(void* argument) { *count += *static_cast<int*>(argument); }
  };
  int two = 2;
  InlineFunction small = [counted](void* argument) { *counted += *static_cast<int*>(argument); };
  InlineFunction large = Large{counted};
  InlineFunction moved = std::move(small);
  moved(&two);
  small = std::move(large);
  small(&two);
  EXPECT_EQ(*counted, 4);
  EXPECT_FALSE(large);
  EXPECT_EQ(counted.use_count(), 3);
  small.reset();
  moved = InlineFunction();
  EXPECT_EQ(counted.use_count(), 1);
}

}  // namespace
}  // namespace keel
