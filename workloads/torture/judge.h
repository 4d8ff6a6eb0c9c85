// Judge: looks at everything while all actors stand still, and at the end.
//
// What it holds true: every graph, map, stall and the ballast are as their shadows say; the heap's structure
// and accounts are sound (Heap::check); the identities of the statistics hold; and after collections that
// leave nothing to finalize, HeapAlloc is what the shadows say: to the byte under precise roots, at least
// that under conservative ones. When everything has been dropped, the heap is empty (conservative: but for
// what stale words keep), and every finalizer and cleanup has run as often as it should.
#pragma once

#include "allocator/base/units.h"
#include "workloads/torture/actor_actions.h"
#include "workloads/torture/graph_actions.h"
#include "workloads/torture/graph_ends.h"

namespace keel::torture {

template <bool kPrecise>
class Judge {
 public:
  Judge(Stage<kPrecise>& stage, std::vector<std::unique_ptr<Actor<kPrecise>>>& actors)
      : stage_(stage), actors_(actors) {}

  /// All actors stand still. Not attached.
  void look();
  /// All actors have ended. Not attached.
  void close();

  [[nodiscard]] uint64_t looks() const { return looks_; }
  [[nodiscard]] uint64_t most_retained_bytes() const { return most_retained_; }
  [[nodiscard]] uint64_t left_bytes() const { return left_; }

 private:
  // What stale words on the stacks of the threads that are left may keep: the main thread's, the finalizer's.
  static constexpr uint64_t kStaleBytes = 1 << 20;

  void look_attached();
  void collect_until_settled();
  void compare_live();
  void check_stats();
  void drop_all();
  template <typename F>
  void guarded(const char* what, F&& f);

  Stage<kPrecise>& stage_;
  std::vector<std::unique_ptr<Actor<kPrecise>>>& actors_;
  uint64_t looks_ = 0;
  uint64_t most_retained_ = 0;
  uint64_t left_ = 0;
};

template <bool kPrecise>
template <typename F>
void Judge<kPrecise>::guarded(const char* what, F&& f) {
  if (stage_.session.stop_requested()) return;
  try {
    f();
  } catch (const Fault& fault) {
    std::string trails;
    for (const auto& actor : actors_) trails += "\n    " + actor->name() + ": " + actor->trail().text();
    stage_.trouble.report(std::string("the judge, ") + what, fault.what(), trails);
  }
}

template <bool kPrecise>
void Judge<kPrecise>::look() {
  if (stage_.session.stop_requested()) return;
  // On a thread of its own: what its stack held goes with it.
  Thread([this] {
    MutatorScope scope(stage_.heap, "judge");
    guarded("all actors standing", [this] { look_attached(); });
  }).join();
  ++looks_;
}

template <bool kPrecise>
void Judge<kPrecise>::look_attached() {
  for (auto& actor : actors_) actor->check();
  for (auto& graph : stage_.pool) graph->check();
  stage_.commons.check_all();
  const std::string fault = stage_.heap.check();
  if (!fault.empty()) throw Fault("Heap::check: " + fault);
  collect_until_settled();
  compare_live();
  check_stats();
}

// Finalizers make work for the next collection: what they bring back is dropped, what hung on it is next.
template <bool kPrecise>
void Judge<kPrecise>::collect_until_settled() {
  constexpr int kMostRounds = 40;  // chains of finalizable objects are shorter than this
  constexpr int64_t kPatienceNs = 120 * kSecond;
  uint64_t before = ~uint64_t{0};
  for (int round = 0; round < kMostRounds; ++round) {
    stage_.heap.collect();
    const FinalizerCounts counts = stage_.heap.stats().finalizers;
    const bool idle = counts.finalizers_queued == counts.finalizers_executed &&
                      counts.cleanups_queued == counts.cleanups_executed;
    if (!idle && !stage_.heap.run_finalizers(kPatienceNs))
      throw Fault("finalizers did not come to an end in 120 s");
    stage_.ends.drop_revived();
    const uint64_t objects = stage_.heap.stats().heap_objects;
    if (objects == before) return;
    before = objects;
    if (stage_.session.stop_requested()) return;
  }
}

template <bool kPrecise>
void Judge<kPrecise>::compare_live() {
  std::unordered_map<uint64_t, uint64_t> bytes_of;
  uint64_t expected = stage_.ends.kept_bytes();
  for (const auto& actor : actors_) actor->add_live(bytes_of, expected);
  for (const auto& graph : stage_.pool) graph->add_live(bytes_of);
  stage_.commons.add_live(bytes_of);
  for (const auto& [id, bytes] : bytes_of) expected += bytes;
  const uint64_t found = stage_.heap.stats().heap_alloc_bytes;
  if (stage_.session.stop_requested()) return;
  if (found < expected || (kPrecise && found != expected)) {
    throw Fault("after collecting, HeapAlloc is " + std::to_string(found) + " B; what is reachable has " +
                std::to_string(expected) + " B");
  }
  most_retained_ = std::max(most_retained_, found - expected);
}

template <bool kPrecise>
void Judge<kPrecise>::check_stats() {
  const HeapStats s = stage_.heap.stats();
  auto expect = [](bool holds, const char* identity) {
    if (!holds) throw Fault(std::string("stats: ") + identity + " does not hold");
  };
  expect(s.heap_objects == s.mallocs - s.frees, "HeapObjects = Mallocs - Frees");
  expect(s.heap_idle_bytes + s.heap_in_use_bytes == s.heap_sys_bytes, "HeapSys = HeapIdle + HeapInuse");
  expect(s.heap_alloc_bytes <= s.heap_in_use_bytes, "HeapAlloc <= HeapInuse");
  expect(s.heap_released_bytes <= s.heap_idle_bytes, "HeapReleased <= HeapIdle");
  expect(s.heap_alloc_bytes <= s.total_alloc_bytes, "HeapAlloc <= TotalAlloc");
  uint64_t bytes = 0;
  uint64_t objects = 0;
  for (const HeapStats::BySize& size : s.by_size) {
    expect(size.frees <= size.mallocs, "Frees <= Mallocs of a size");
    objects += size.mallocs - size.frees;
    bytes += (size.mallocs - size.frees) * size.slot_bytes;
  }
  expect(objects <= s.heap_objects && bytes <= s.heap_alloc_bytes, "the sum of BySize <= the whole");
  // Large objects are used to the byte and allocated to the page.
  uint64_t used = 0;
  uint64_t in_layouts = 0;
  for (const LayoutStats& layout : stage_.heap.layouts()) {
    used += layout.used_bytes;
    in_layouts += layout.objects;
  }
  expect(used <= s.heap_alloc_bytes, "the sum of the layouts <= HeapAlloc");
  expect(in_layouts == s.heap_objects, "the sum of the layouts' objects = HeapObjects");
}

template <bool kPrecise>
void Judge<kPrecise>::drop_all() {
  for (auto& actor : actors_) actor->drop_all();
  stage_.pool.clear();
  stage_.commons.drop_all();
}

template <bool kPrecise>
void Judge<kPrecise>::close() {
  look();
  Thread([this] {
    MutatorScope scope(stage_.heap, "close");
    drop_all();
    if (!stage_.settings.drop_at_end || stage_.session.stop_requested()) stage_.ends.close();
  }).join();
  if (!stage_.settings.drop_at_end || stage_.session.stop_requested()) return;
  Thread([this] {
    MutatorScope scope(stage_.heap, "judge");
    guarded("everything dropped", [this] {
      collect_until_settled();
      left_ = stage_.heap.stats().heap_alloc_bytes - stage_.ends.kept_bytes();
      if (left_ > (kPrecise ? 0 : kStaleBytes))
        throw Fault("everything was dropped, and HeapAlloc is " + format_size(left_));
      if (kPrecise) {
        const std::string left = stage_.ends.left_over();
        if (!left.empty()) throw Fault("everything was dropped, and only " + left);
      }
      const std::string fault = stage_.heap.check();
      if (!fault.empty()) throw Fault("Heap::check: " + fault);
    });
    stage_.ends.close();
  }).join();
}

}  // namespace keel::torture
