// CONFIG: barriers=hybrid roots=precise
//
// A heap that closes while functions that never ran still hold Roots: they go like any other.
#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "collector/api/heap.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

HeapConfig precise() {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.debug.checkmark = c.debug.walk = true;
  return c;
}

// What a function holds: a Root, and a note of where it went.
struct Held {
  explicit Held(std::atomic<int>& n) : gone(&n), root(make<Node>()) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { gone->fetch_add(1); }
  std::atomic<int>* gone;
  Root<Node> root;
};

void register_all(std::atomic<int>& gone, Node* object) {
  set_finalizer(object, [held = std::make_shared<Held>(gone)](Node*) {});
  for (int i = 0; i < 3; ++i) {
    add_cleanup(
        object, [held = std::make_shared<Held>(gone)](int) {}, 0);
  }
}

TEST(Closing, AFunctionThatNeverRanLetsItsRootsGo) {
  std::atomic<int> gone{0};
  {
    std::optional<Heap> heap(precise());
    std::optional<Root<Node>> kept;
    {
      MutatorScope scope(*heap);
      kept.emplace(make<Node>());
      register_all(gone, kept->get());
      kept.reset();  // dead, but no collection says so
      register_all(gone, make<Node>());
    }
    EXPECT_EQ(gone, 0);
  }
  EXPECT_EQ(gone, 8) << "every function has gone, with what it held";
}

// Functions that are queued behind one that is still running when the heap closes.
TEST(Closing, AQueuedFunctionLetsItsRootsGo) {
  std::atomic<int> gone{0};
  std::atomic<bool> running{false};
  std::atomic<bool> go_on{false};
  std::thread opener;
  {
    Heap heap(precise());
    {
      MutatorScope scope(heap);
      add_cleanup(
          make<Node>(),
          [&](int) {
            running = true;
            blocking([&] {
              while (!go_on) std::this_thread::yield();
            });
            // The heap is closing, its public face is whole.
            EXPECT_EQ(Heap::current()->stats().num_gc, 2U);
          },
          0);
      heap.collect();
      blocking([&] {
        while (!running) std::this_thread::yield();
      });
      for (int i = 0; i < 5; ++i)
        add_cleanup(
            make<Node>(), [held = std::make_shared<Held>(gone)](int) {}, 0);
    }
    heap.collect();
    EXPECT_EQ(heap.stats().finalizers.cleanups_queued, 6U);
    opener = std::thread([&] { go_on = true; });
  }
  opener.join();
  EXPECT_EQ(gone, 5);
}

// What goes may register and allocate again: that goes as well.
TEST(Closing, WhatGoesMayUseTheHeap) {
  std::atomic<int> gone{0};
  struct Again {
    std::atomic<int>* gone;
    ~Again() {
      Node* node = make<Node>();
      Weak<Node> weak(node);
      EXPECT_EQ(weak.lock(), node);
      add_cleanup(
          node, [held = std::make_shared<Held>(*gone)](int) {}, 0);
      Heap::current()->collect();
    }
  };
  {
    Heap heap(precise());
    MutatorScope scope(heap);
    std::shared_ptr<Again> again(new Again{&gone});
    add_cleanup(
        make<Node>(), [again = std::move(again)](int) {}, 0);
  }
  EXPECT_EQ(gone, 1);
}

}  // namespace
}  // namespace keel
