// CONFIG: barriers=hybrid roots=precise
//
// What a user of the library can get wrong: one sentence each, with the line that did it.
#include "collector/api/misuse.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "collector/api/heap.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

HeapConfig precise() {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  return c;
}

template <typename F>
void attached(F&& f) {
  Heap heap(precise());
  MutatorScope scope(heap, "tester");
  f();
}

std::string at_line(int line, const std::string& sentence) {
  return "misuse_test.cc:" + std::to_string(line) + ": " + sentence;
}

TEST(MisuseDeathTest, FinalizersAreForTheStartOfHeapObjects) {
  int line = __LINE__ + 1;
  const auto interior = [] { set_finalizer(&make<Node>()->number, [](uint64_t*) {}); };
  EXPECT_DEATH(attached(interior),
               at_line(line, "set_finalizer: 0x[0-9a-f]+ points 8 bytes into an object \\(16 B"));
  line = __LINE__ + 1;
  const auto middle = [] { set_finalizer(make_array<uint64_t>(100000) + 500, [](uint64_t*) {}); };
  EXPECT_DEATH(attached(middle),
               at_line(line, "set_finalizer: 0x[0-9a-f]+ points 4000 bytes into an object"));
  line = __LINE__ + 3;
  const auto foreign = [] {
    auto outside = std::make_unique<uint64_t>(1);
    set_finalizer(outside.get(), [](uint64_t*) {});
  };
  EXPECT_DEATH(attached(foreign), at_line(line, "set_finalizer: 0x[0-9a-f]+ is not in the heap"));
  line = __LINE__ + 3;
  const auto twice = [] {
    Node* node = make<Node>();
    for (int i = 0; i < 2; ++i) set_finalizer(node, [](Node*) {});
  };
  EXPECT_DEATH(attached(twice),
               at_line(line, "set_finalizer: .* has a finalizer already, set at .*misuse_test.cc:") +
                   std::to_string(line));
}

TEST(MisuseDeathTest, CleanupsAndWeakPointersAreForHeapObjects) {
  int line = __LINE__ + 3;
  const auto argument = [] {
    Node* node = make<Node>();
    add_cleanup(
        node, [](Node*) {}, node);
  };
  EXPECT_DEATH(attached(argument), at_line(line, "add_cleanup: .* points into the object itself"));
  line = __LINE__ + 3;
  const auto foreign = [] {
    Node outside{};
    const Weak<Node> weak(&outside);
  };
  EXPECT_DEATH(attached(foreign), at_line(line, "Weak: 0x[0-9a-f]+ is not in the heap"));
}

TEST(MisuseDeathTest, AThreadAttachesOnceAndLeavesWithoutLocals) {
  int line = __LINE__ + 1;
  const auto twice = [] { const MutatorScope again(*Heap::current(), "again"); };
  EXPECT_DEATH(attached(twice), at_line(line,
                                        "attach: this thread is attached already, as 'tester', since "
                                        ".*misuse_test.cc:[0-9]+"));
  line = __LINE__ + 4;
  const auto held = [] {
    Heap heap(precise());
    std::optional<MutatorScope> scope(std::in_place, heap, "holder");
    const PreciseLocal<Node> local = make<Node>();
    scope.reset();
  };
  const std::string place =
      KEEL_DEBUG_CHECKS ? "misuse_test.cc:" + std::to_string(line) : "a debug build says where";
  EXPECT_DEATH(held(), place + ".*: detach: thread 'holder' still holds a local made here");
}

TEST(MisuseDeathTest, RootsAndFinalizersNeedAnAttachedThread) {
  int line = __LINE__ + 1;
  const auto root = [] { const Root<Node> r(reinterpret_cast<Node*>(64)); };
  EXPECT_DEATH(root(), at_line(line, "Root: this thread is not attached"));
  line = __LINE__ + 1;
  const auto finalizer = [] { set_finalizer(reinterpret_cast<Node*>(64), [](Node*) {}); };
  EXPECT_DEATH(finalizer(), at_line(line, "set_finalizer: this thread is not attached"));
}

// Optimised builds do not look at every store: there is nothing to test in them.
TEST(MisuseDeathTest, APtrHoldsNoStackAddressAndIsStoredByAttachedThreadsOnly) {
  if (!KEEL_DEBUG_CHECKS) GTEST_SKIP() << "debug builds check stores";
  int line = __LINE__ + 4;
  const auto stack = [] {
    const PreciseLocal<Node> node = make<Node>();
    Node on_stack{};
    node->next = &on_stack;
  };
  EXPECT_DEATH(attached(stack),
               "misuse_test.cc:" + std::to_string(line) +
                   ".*is stored in a Ptr, but it is the address of something on this thread's stack");
  line = __LINE__ + 7;
  const auto unattached = [] {
    Heap heap(precise());
    Node* node = nullptr;
    std::optional<MutatorScope> scope(std::in_place, heap, "gone");
    node = make<Node>();
    scope.reset();
    node->next = node;
  };
  EXPECT_DEATH(unattached(), "misuse_test.cc:" + std::to_string(line) + ".*by a thread that is not attached");
}

}  // namespace
}  // namespace keel
