// A small heap that stands still, for the test of scripts/keel_gdb.py: root -> first -> second, and an array
// that also refers to second.
#include "collector/api/heap.h"

namespace keel_gdb {

struct Node {
  keel::Ptr<Node> next;
  uint64_t number;
};
struct Table {
  keel::Ptr<Node> entry;
};

// The debugger stops here and reads the arguments.
__attribute__((noinline)) void stand(const Node* first, const Node* second, const Table* table,
                                     uint64_t freed) {
  asm volatile("" : : "r"(first), "r"(second), "r"(table), "r"(freed) : "memory");
}

}  // namespace keel_gdb

int main() {
  using namespace keel_gdb;
  keel::HeapConfig config;
  config.roots = keel::Roots::kPrecise;
  config.debug.poison = true;
  keel::Heap heap(config);
  keel::MutatorScope scope(heap, "stander");
  keel::Root<Node> root(keel::make<Node>());
  keel::PreciseLocal<Node> second = keel::make<Node>();
  const auto freed = reinterpret_cast<uint64_t>(keel::make<Node>());
  second->number = 4711;
  root->next = second.get();
  keel::Root<Table> table(keel::make_array<Table>(20000));
  table.get()[12345].entry = second.get();
  heap.collect();
  heap.collect();
  stand(root.get(), second.get(), table.get(), freed);
  return 0;
}
