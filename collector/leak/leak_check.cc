// Looking through registry, roots and specials; see collector/api/leak_check.h.
#include "collector/api/leak_check.h"

#include <algorithm>

#include "allocator/base/clock.h"
#include "allocator/base/thread.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

// goleak's (options.go): up to 100 ms between two looks.
constexpr int64_t kFirstWaitNs = 1'000'000;
constexpr int64_t kLongestWaitNs = 100'000'000;

std::string hexadecimal(uintptr_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%#zx", static_cast<size_t>(value));
  return text;
}

std::string describe_target(HeapCore& core, uintptr_t pointer) {
  const PageTable& table = core.memory.table();
  const Span* span = table.contains(pointer) ? table.find(pointer) : nullptr;
  if (span == nullptr) return "root of " + hexadecimal(pointer) + ", which is not in the heap";
  const Layout& layout = layout_of(span->layout);
  const std::string size =
      layout.large() ? std::to_string(span->object_bytes) + " B large" : describe_layout(layout);
  return "root of an object (" + size + ") at " + hexadecimal(pointer);
}

}  // namespace

std::vector<Leak> find_leaks(Heap& heap) {
  HeapCore& core = heap.core();
  std::vector<Leak> leaks;
  if (core.closed) return leaks;  // in a child after fork() nothing here is the child's
  blocking([&] {
    core.world.for_each_mutator([&](const Mutator& m) {
      if (&m == Mutator::current() || m.belongs_to_collector()) return;
      leaks.push_back({Leak::Kind::kMutator,
                       "mutator " + std::to_string(m.id()) + " '" + m.name() + "' is attached", m.where()});
    });
    core.roots.for_each_in_use([&](uintptr_t pointer, SourcePlace where) {
      if (pointer != 0) leaks.push_back({Leak::Kind::kRoot, describe_target(core, pointer), where});
    });
    core.specials.for_each_function([&](bool finalizer, const char* type, SourcePlace where) {
      leaks.push_back({finalizer ? Leak::Kind::kFinalizer : Leak::Kind::kCleanup,
                       std::string(finalizer ? "finalizer" : "cleanup") + " of a " + type + " that never ran",
                       where});
    });
    core.finalizers.for_each_waiting([&](bool finalizer, const char* type, SourcePlace where) {
      leaks.push_back({finalizer ? Leak::Kind::kFinalizer : Leak::Kind::kCleanup,
                       std::string(finalizer ? "finalizer" : "cleanup") + " of a " + type + " that is queued",
                       where});
    });
  });
  return leaks;
}

std::string to_string(const std::vector<Leak>& leaks) {
  std::string text;
  for (const Leak& leak : leaks) {
    text +=
        "  " + std::string(leak.where.file) + ":" + std::to_string(leak.where.line) + ": " + leak.what + "\n";
  }
  return text;
}

std::vector<Leak> wait_for_no_leaks(Heap& heap, const LeakOptions& options) {
  const int64_t end = now_ns() + options.patience_ns;
  for (int64_t wait = kFirstWaitNs;; wait = std::min(2 * wait, kLongestWaitNs)) {
    if (options.collect) heap.collect();
    std::vector<Leak> leaks = find_leaks(heap);
    std::erase_if(leaks, [&](const Leak& leak) {
      const std::string line = to_string({leak});
      return std::any_of(options.known.begin(), options.known.end(),
                         [&](const std::string& known) { return line.find(known) != std::string::npos; });
    });
    if (leaks.empty() || now_ns() >= end) return leaks;
    blocking([wait] { ThisThread::sleep_ns(wait); });
  }
}

}  // namespace keel
