// CONFIG: barriers=all transitions=all roots=precise
//
// Pointers one past the end of an object that fills its slot: of each kind of object, kept by each kind of
// holder. Release builds store them, and they do no harm; debug builds refuse.
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

// `kWords` words, all of them in use: an object that fills its slot where kWords * 8 is a size class, or
// pages.
template <size_t kWords>
struct Filled {
  Ptr<void> first;
  std::array<Ptr<void>, kWords - 2> rest;
  uintptr_t number;
};
template <size_t kWords>
struct Plain {
  std::array<uint64_t, kWords> words;
};
struct Large {
  std::array<Ptr<void>, 40960 / 8> words;  // five pages
};

HeapConfig config(const char* barrier = "hybrid", const char* transitions = "stw") {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.barrier = barrier;
  c.transitions = transitions;
  c.debug.walk = true;
  c.gogc_percent = HeapConfig::kGogcOff;
  return c;
}

struct Kind {
  const char* barrier;
  const char* transitions;
};

std::vector<Kind> sound_kinds() {
  std::vector<Kind> all;
  for (const char* transitions : {"stw", "handshake"}) {
    for (const char* barrier : {"hybrid", "hybrid-conditional", "dijkstra", "yuasa", "none"}) {
      if (config(barrier, transitions).check().ok()) all.push_back({barrier, transitions});
    }
  }
  return all;
}

class PastTheEnd : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (KEEL_DEBUG_CHECKS) GTEST_SKIP() << "debug builds refuse to store what this test is about";
  }
};

// Two thirds of `count` objects die; free slots are left between the others, full of words that lead into a
// large object whose pages have gone. Then every survivor's end is kept.
template <typename T>
void keep_ends(size_t count) {
  Heap& heap = *Heap::current();
  Root<Ptr<T>> survivors(make_array<Ptr<T>>(count));
  {
    Root<Large> gone(make<Large>());
    for (size_t i = 0; i < count; ++i) {
      T* object = make<T>();
      if constexpr (!kIsNoscan<T>) {
        object->first = &gone->words[i % 5000];
        for (Ptr<void>& word : object->rest) word = &gone->words[i % 4999];
      }
      survivors.get()[i] = object;
    }
    for (size_t i = 0; i < count; ++i) {
      if (i % 3 != 0) survivors.get()[i] = nullptr;
    }
  }
  for (size_t i = 0; i < count; i += 3) {
    if constexpr (!kIsNoscan<T>) {
      survivors.get()[i]->first = nullptr;
      for (Ptr<void>& word : survivors.get()[i]->rest) word = nullptr;
    }
  }
  heap.collect();
  const uint64_t objects = heap.stats().heap_objects;
  ASSERT_EQ(objects, (count + 2) / 3 + 1) << sizeof(T);
  // Through the barrier while marking and not, from an array, from a field of the object itself, from Roots.
  Root<Ptr<T>> ends(make_array<Ptr<T>>(count));
  std::vector<Root<T>> roots(count);
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < count; i += 3) {
      T* end = survivors.get()[i].get() + 1;
      ends.get()[i] = end;
      roots[i] = end;
      if constexpr (!kIsNoscan<T>) survivors.get()[i]->first = end;
    }
    heap.collect();
    ASSERT_EQ(heap.stats().heap_objects, objects + 1) << sizeof(T) << ": a free slot counts as an object";
    ASSERT_EQ(heap.check(), "");
  }
  // The free slots are handed out as zeros, and kept like any other. (Some ends lead to them now.)
  std::vector<Root<T>> fresh;
  for (size_t i = 0; i < count; ++i) {
    fresh.emplace_back(make<T>());
    const auto* words = reinterpret_cast<const uint64_t*>(fresh.back().get());
    for (size_t w = 0; w < sizeof(T) / 8; ++w) ASSERT_EQ(words[w], 0U);
  }
  heap.collect();
  ASSERT_EQ(heap.stats().heap_objects, objects + 1 + count);
  ASSERT_EQ(heap.check(), "");
  fresh.clear();
  roots.clear();
  ends.reset();
  survivors.reset();
  heap.collect();
  heap.collect();
  ASSERT_EQ(heap.stats().heap_objects, 0U);
}

TEST_P(PastTheEnd, IsHarmlessForEveryKindOfObject) {
  Heap heap(config(GetParam().barrier, GetParam().transitions));
  MutatorScope scope(heap);
  keep_ends<Filled<2>>(3000);
  keep_ends<Filled<6>>(3000);  // 170 to a span, and a tail
  keep_ends<Filled<8>>(3000);
  keep_ends<Filled<144>>(300);  // 1,152 B: the last end lies in the tail, which no slot fills
  keep_ends<Filled<512>>(100);  // a page to two: the last end is the next span's, or nobody's
  keep_ends<Filled<4096>>(30);  // 32 KiB, the largest slot
  keep_ends<Filled<5120>>(30);  // large: five pages exactly
  keep_ends<Plain<2>>(3000);
  keep_ends<Plain<16>>(1000);
  keep_ends<Plain<5120>>(30);
  EXPECT_EQ(heap.check(), "");
}

// While others allocate and collections run by themselves: ends go through barriers at every moment of a
// cycle.
TEST_P(PastTheEnd, IsHarmlessWhileTheHeapIsMarked) {
  HeapConfig busy = config(GetParam().barrier, GetParam().transitions);
  busy.gogc_percent = 25;
  busy.debug.walk = false;
  Heap heap(busy);
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&heap] {
      using T = Filled<4>;
      MutatorScope scope(heap);
      Root<Ptr<T>> kept(make_array<Ptr<T>>(1000));
      for (size_t i = 0; heap.stats().num_gc < 5 && i < 10'000'000; ++i) {
        T* object = make<T>();
        object->first = object + 1;
        object->number = i;
        const size_t at = i * 7919 % 1000;
        object->rest[0] = kept.get()[at].get() == nullptr ? nullptr : kept.get()[at].get() + 1;
        kept.get()[at] = object;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  heap.collect();
  EXPECT_EQ(heap.check(), "");
  EXPECT_EQ(heap.stats().heap_objects, 0U);
}

// Behind an array there is a byte of its own: its end keeps it.
TEST_P(PastTheEnd, OfAnArrayKeepsTheArray) {
  Heap heap(config(GetParam().barrier, GetParam().transitions));
  MutatorScope scope(heap);
  struct Ends {
    Ptr<uint64_t> noscan;
    Ptr<Ptr<void>> pointers;
    Ptr<uint64_t> large;
  };
  Root<Ends> ends(make<Ends>());
  ends->noscan = make_array<uint64_t>(2) + 2;
  ends->pointers = make_array<Ptr<void>>(8) + 8;
  ends->large = make_array<uint64_t>(8192) + 8192;
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 4U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PastTheEnd, testing::ValuesIn(sound_kinds()), [](const auto& test) {
  std::string name = std::string(test.param.barrier) + "_" + test.param.transitions;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// A word that may be a pointer keeps an object only if its slot is allocated, in every build.
TEST(PastTheEndOfAWord, KeepsNoFreeSlot) {
  HeapConfig c = config();
  c.debug.checkmark = true;
  Heap heap(c);
  MutatorScope scope(heap);
  PointerMap words;
  words.kind = MapKind::kConservative;
  words.repeats = true;
  const LayoutId layout = register_layout(64, words);
  Root<uintptr_t> holder(static_cast<uintptr_t*>(Mutator::current()->allocate(layout, 64)));
  Root<Plain<2>> object(make<Plain<2>>());
  heap.collect();
  holder.get()[0] = reinterpret_cast<uintptr_t>(object.get() + 1);
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 2U);
  holder.get()[0] = reinterpret_cast<uintptr_t>(object.get() + 1) - 1;
  object.reset();
  heap.collect();
  EXPECT_EQ(heap.stats().heap_objects, 2U) << "the last byte is the object's";
  EXPECT_EQ(heap.check(), "");
}

TEST(PastTheEndDeathTest, DebugBuildsRefuseToKeepIt) {
  if (!KEEL_DEBUG_CHECKS) GTEST_SKIP() << "release builds do not look";
  const auto die = [](auto&& act) {
    Heap heap(config());
    MutatorScope scope(heap);
    Root<Filled<2>> object(make<Filled<2>>());
    Root<Large> large(make<Large>());
    heap.collect();
    act(object.get(), large.get());
  };
  const std::string sentence = "is to be kept, but no object is there";
  EXPECT_DEATH(die([](auto* object, auto*) { object->first = object + 1; }), sentence);
  EXPECT_DEATH(die([](auto* object, auto* large) { object->first = large + 1; }), sentence);
  EXPECT_DEATH(die([](auto* object, auto*) { Root<Filled<2>> root(object + 1); }), sentence);
  EXPECT_DEATH(die([](auto* object, auto*) { PreciseLocal<Filled<2>> local = object + 1; }), sentence);
}

TEST(PastTheEndDeathTest, NoBuildTakesAFunctionOrAWeakPointerForIt) {
  const auto die = [](auto&& act) {
    Heap heap(config());
    MutatorScope scope(heap);
    Root<Filled<2>> object(make<Filled<2>>());
    heap.collect();
    act(object.get() + 1);
  };
  EXPECT_DEATH(die([](auto* end) { Weak<Filled<2>> weak(end); }), "Weak: no object is at");
  EXPECT_DEATH(die([](auto* end) { set_finalizer(end, [](auto*) {}); }), "set_finalizer: no object is at");
  EXPECT_DEATH(die([](auto* end) {
                 add_cleanup(
                     end, [](int) {}, 0);
               }),
               "add_cleanup: no object is at");
}

// A debug build cannot tell a free slot of a span that a cache holds from one just allocated: the end is
// stored, and the old words of the slot behind it lead to where a large object was.
TEST(PastTheEnd, InASpanThatACacheHoldsItDoesNoHarmInAnyBuild) {
  HeapConfig c = config();
  Heap heap(c);
  MutatorScope scope(heap);
  std::vector<Root<Filled<8>>> kept;
  for (int i = 0; i < 200; ++i) {
    PreciseLocal<Filled<8>> object = make<Filled<8>>();
    object->first = make<Large>();
    if (i % 2 != 0) continue;
    object->first = nullptr;
    kept.emplace_back(object.get());
  }
  heap.collect();
  heap.collect();
  Root<Filled<8>> fresh(make<Filled<8>>());  // the cache takes a span of them, free slots between live ones
  const Span* span = heap.core().memory.table().find(reinterpret_cast<uintptr_t>(fresh.get()));
  int ends = 0;
  // From the end: the slots that are taken for `fresh` come from the beginning.
  for (auto at = kept.rbegin(); at != kept.rend(); ++at) {
    const Root<Filled<8>>& object = *at;
    if (heap.core().memory.table().find(reinterpret_cast<uintptr_t>(object.get())) != span) continue;
    if (!heap.core().memory.may_be_in_object(reinterpret_cast<uintptr_t>(object.get() + 1))) continue;
    const Root<Filled<8>> end(object.get() + 1);
    ++ends;
    heap.collect();
    fresh = make<Filled<8>>();
    span = heap.core().memory.table().find(reinterpret_cast<uintptr_t>(fresh.get()));
  }
  EXPECT_GT(ends, 0);
  EXPECT_EQ(heap.check(), "");
}

}  // namespace
}  // namespace keel
