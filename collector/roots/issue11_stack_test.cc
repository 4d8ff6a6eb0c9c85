// CONFIG: barriers=hybrid transitions=all roots=conservative
//
// What is scanned is the stack and nothing else: not the barrier's buffer, not thread-local storage; and all
// of it, registers included, also under AddressSanitizer's fake frames.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <optional>
#include <thread>

#include "collector/cycle/heap_core.h"
#include "collector/roots/stack_frame.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

constexpr uint64_t kNodes = 1'000'000;

class StackScan : public testing::TestWithParam<const char*> {
 protected:
  HeapConfig config() const {
    HeapConfig c;
    c.transitions = GetParam();
    return c;
  }
};

__attribute__((noinline)) void build(Root<Node>& head) {
  for (uint64_t i = 0; i < kNodes; ++i) {
    Node* node = make<Node>();
    node->next = head.get();
    head = node;
  }
}

// Every node goes through the barrier's buffer, and its last entries stay in it.
__attribute__((noinline)) void drop_while_marking(Root<Node>& head) {
  while (!t_barrier.marking) safepoint();
  for (int i = 0; i < 2000; ++i) head = head->next.get();
  head.reset();
}

TEST_P(StackScan, AListDroppedWhileMarkingIsFreedByTheSecondCollection) {
  Heap heap(config());
  std::atomic<bool> stop{false};
  std::latch dropped{1};
  std::latch leave{1};
  std::thread thread([&] {
    MutatorScope scope(heap);
    Root<Node> head;
    build(head);
    std::thread collector([&] {
      while (!stop) heap.collect();
    });
    drop_while_marking(head);
    stop = true;
    blocking([&] {
      collector.join();
      dropped.count_down();
      leave.wait();
    });
  });
  dropped.wait();
  heap.collect();
  heap.collect();
  EXPECT_LT(heap.stats().heap_objects, 100U);
  leave.count_down();
  thread.join();
}

INSTANTIATE_TEST_SUITE_P(Transitions, StackScan, testing::Values("stw", "handshake"),
                         [](const auto& test) { return std::string(test.param); });

thread_local Node* t_node = nullptr;
thread_local std::array<uintptr_t, 512> t_words{};

// A second thread's static thread-local storage lies in the mapping of its stack.
TEST(Stack, EndsBelowThreadLocalStorage) {
  Heap heap;
  const auto check = [&heap](bool first_thread) {
    MutatorScope scope(heap);
    const uintptr_t base = Mutator::current()->stack_base();
    const int local = 0;
    EXPECT_GT(base, reinterpret_cast<uintptr_t>(&scope));
    EXPECT_GT(base, reinterpret_cast<uintptr_t>(&local));
    if (first_thread) return;
    EXPECT_LE(base, reinterpret_cast<uintptr_t>(&t_node));
    EXPECT_LE(base, reinterpret_cast<uintptr_t>(&t_words));
    EXPECT_LE(base, reinterpret_cast<uintptr_t>(&t_barrier));
    EXPECT_LE(base, static_cast<uintptr_t>(pthread_self()));
  };
  check(true);
  std::thread(check, false).join();
}

// 24 KiB of static thread-local storage in this program do not make a thread's scan longer.
TEST(Stack, AThreadsScanIsItsFramesOnly) {
  HeapConfig config;
  Heap heap(config);
  std::latch inside{1};
  std::latch leave{1};
  uintptr_t frames = 0;
  std::thread thread([&] {
    MutatorScope scope(heap);
    frames = Mutator::current()->stack_base() - stack_pointer();
    blocking([&] {
      inside.count_down();
      leave.wait();
    });
  });
  inside.wait();
  EXPECT_LT(frames, 16384U) << "a thread that has just begun";
  heap.collect();
  leave.count_down();
  thread.join();
}

#if defined(__x86_64__)
__attribute__((noinline)) uintptr_t make_hidden() {
  Node* node = make<Node>();
  node->number = 77;
  return ~reinterpret_cast<uintptr_t>(node);
}

// Calls stand(argument) with the object in r12 and nowhere else, then reads its number.
__attribute__((noinline)) uint64_t number_after(uintptr_t hidden, void (*stand)(void*), void* argument) {
  uint64_t number = 0;
  asm volatile(
      "movq %%rsp, %%rbx\n\tsubq $512, %%rsp\n\tandq $-64, %%rsp\n\t"
      "movq %[hidden], %%r12\n\tnotq %%r12\n\tmovq %[argument], %%rdi\n\tcall *%[stand]\n\t"
      "movq %%rbx, %%rsp\n\tmovq 8(%%r12), %[number]"
      : [number] "=r"(number)
      : [hidden] "r"(hidden), [stand] "r"(stand), [argument] "r"(argument)
      : "rbx", "r12", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
  return number;
}

// A caller's register is a root, whether the thread stands at a safepoint or in a blocking region.
TEST_P(StackScan, ARegisterOfACallerKeepsItsObject) {
  HeapConfig poisoned = config();
  poisoned.debug.poison = true;
  Heap heap(poisoned);
  MutatorScope scope(heap);
  const auto at_safepoint = [](void* h) {
    std::atomic<bool> done{false};
    std::thread collector([&] {
      for (int i = 0; i < 2; ++i) static_cast<Heap*>(h)->collect();
      done = true;
    });
    while (!done) safepoint();
    collector.join();
  };
  const auto in_region = [](void* h) {
    for (int i = 0; i < 2; ++i) static_cast<Heap*>(h)->collect();
  };
  EXPECT_EQ(number_after(make_hidden(), at_safepoint, &heap), 77U);
  EXPECT_EQ(number_after(make_hidden(), in_region, &heap), 77U);
}
#endif

}  // namespace
}  // namespace keel
