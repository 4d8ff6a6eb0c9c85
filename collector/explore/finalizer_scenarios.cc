// Where objects die slowly: finalizers that resurrect, cleanups, and weak pointers that are locked meanwhile.
#include "collector/cycle/heap_core.h"
#include "collector/explore/scenario.h"
#include "collector/explore/scenario_parts.h"

namespace keel::explore {
namespace {
// Longer than any schedule: time goes on by itself when everybody waits.
constexpr int64_t kPatienceNs = 1'000'000'000'000;
}  // namespace

// Objects with finalizers and cleanups die while cycles run; each function runs once, its object whole, and
// what was resurrected lives on.
void run_finalizers(const Variant& variant, uint64_t seed) {
  Heap heap(tiny_heap(variant));
  Rng rng(seed);
  keel::Atomic<uint64_t> finalized{0};
  keel::Atomic<uint64_t> cleaned{0};
  uint64_t finalizers = 0;
  uint64_t cleanups = 0;
  {
    MutatorScope scope(heap);
    Root<Node> kept;  // what the last finalizer resurrected; the finalizer thread's
    keel::Thread collector([&] {
      name_thread("collects");
      heap.collect();
      heap.collect();
    });
    for (uint64_t i = 1; i <= 6; ++i) {
      PreciseLocal<Node> child = make_numbered<Node>(100 + i);
      PreciseLocal<Node> node = make_numbered<Node>(i);
      node->next = child.get();
      if (rng.below(3) != 0) {
        ++finalizers;
        set_finalizer(node.get(), [&, i](Node* dead) {
          check_node(dead, i, "a finalizer's object");
          check_node(dead->next.get(), 100 + i, "what a finalizer's object reaches");
          kept = dead;
          finalized.fetch_add(1, std::memory_order_relaxed);
        });
      }
      if (rng.below(2) != 0) {
        ++cleanups;
        add_cleanup(
            node.get(), [&](int) { cleaned.fetch_add(1, std::memory_order_relaxed); }, 1);
      }
      if (rng.below(2) != 0) blocking([] { keel::ThisThread::yield(); });
    }
    blocking([&] { collector.join(); });
    // A finalizer's object dies a second time before its cleanups run, and what was born black lives a cycle
    // longer.
    for (int i = 0; i < 4; ++i) {
      heap.collect();
      require(heap.run_finalizers(kPatienceNs), "finalizers did not run");
      if (kept) check_node(kept->next.get(), 100 + kept->number, "what was resurrected");
    }
    kept.reset();
    for (int i = 0; i < 3; ++i) {
      heap.collect();
      require(heap.run_finalizers(kPatienceNs), "finalizers did not run");
    }
    require(finalized.load(std::memory_order_relaxed) == finalizers, "%llu of %llu finalizers ran",
            static_cast<unsigned long long>(finalized.load(std::memory_order_relaxed)),
            static_cast<unsigned long long>(finalizers));
    require(cleaned.load(std::memory_order_relaxed) == cleanups, "%llu of %llu cleanups ran",
            static_cast<unsigned long long>(cleaned.load(std::memory_order_relaxed)),
            static_cast<unsigned long long>(cleanups));
  }
  require_empty(heap);
}

// Weak pointers are locked while marking ends: a lock gives the whole object or null, and null for ever
// after.
void run_weak(const Variant& variant, uint64_t seed) {
  Heap heap(tiny_heap(variant));
  Rng rng(seed);
  constexpr size_t kObjects = 3;
  std::array<Weak<Node>, kObjects> weak;
  keel::Atomic<uint32_t> finalized{0};
  bool finalizable = false;
  {
    MutatorScope scope(heap);
    std::array<Root<Node>, kObjects> strong;
    for (uint64_t i = 0; i < kObjects; ++i) {
      strong[i] = make_numbered<Node>(i);
      strong[i]->next = make_numbered<Node>(100 + i);
      weak[i] = Weak<Node>(strong[i].get());
    }
    if (rng.below(2) != 0) {
      finalizable = true;
      set_finalizer(strong[0].get(), [&](Node* dead) {
        check_node(dead, 0, "a finalizer's object");
        require(weak[0].lock() == nullptr, "a weak pointer answers for an object that is finalized");
        finalized.fetch_add(1, std::memory_order_relaxed);
      });
    }
    keel::Thread locker([&, own_seed = rng.next()] {
      name_thread("locks");
      MutatorScope attached(heap);
      Rng own(own_seed);
      std::array<bool, kObjects> gone{};
      for (int i = 0; i < 12; ++i) {
        const size_t at = own.below(kObjects);
        PreciseLocal<Node> node = weak[at].lock();
        if (node.get() == nullptr) {
          gone[at] = true;
          continue;
        }
        require(!gone[at], "a weak pointer answers again after null");
        make_numbered<Node>(1);
        if (own.below(2) != 0) blocking([] { keel::ThisThread::yield(); });
        check_node(node.get(), at, "a locked weak pointer's object");
        check_node(node->next.get(), 100 + at, "what a locked weak pointer's object reaches");
      }
    });
    keel::Thread collector([&] {
      name_thread("collects");
      heap.collect();
      heap.collect();
    });
    for (Root<Node>& root : strong) {
      make_numbered<Node>(2);
      root.reset();
    }
    blocking([&] {
      locker.join();
      collector.join();
    });
    for (int i = 0; i < 3; ++i) {
      heap.collect();
      require(heap.run_finalizers(kPatienceNs), "finalizers did not run");
    }
    for (const Weak<Node>& w : weak) require(w.lock() == nullptr, "a weak pointer answers for a dead object");
    require(finalized.load(std::memory_order_relaxed) == (finalizable ? 1U : 0U),
            "the finalizer ran %u times", finalized.load(std::memory_order_relaxed));
  }
  require_empty(heap);
}

}  // namespace keel::explore
