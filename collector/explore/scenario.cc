// Parts that scenarios share; see scenario.h.
#include "collector/explore/scenario.h"

#include <pthread.h>

#include <utility>

namespace keel::explore {

HeapConfig tiny_heap(const Variant& variant) {
  HeapConfig config;
  config.transitions = variant.transitions;
  config.barrier = variant.barrier;
  config.roots = Roots::kPrecise;
  config.debug.poison = true;
  config.periodic_ns = 0;
  config.range_bytes = 64 * kMiB;
  config.mark_workers = 1;
  config.grey_chunks = 64;
  return config;
}

void name_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

void require_empty(Heap& heap) {
  // What was born while the last cycle marked goes with the next one.
  heap.collect();
  heap.collect();
  const std::string fault = heap.check();
  require(fault.empty(), "heap.check(): %s", fault.c_str());
  const HeapStats stats = heap.stats();
  require(stats.heap_objects == 0 && stats.mallocs == stats.frees, "%llu objects left: %llu made, %llu freed",
          static_cast<unsigned long long>(stats.heap_objects), static_cast<unsigned long long>(stats.mallocs),
          static_cast<unsigned long long>(stats.frees));
}

void Chains::check_chain(const Node* head, const std::vector<uint64_t>& numbers) {
  const Node* node = head;
  for (uint64_t number : numbers) {
    check_node(node, number, "a chain");
    node = node->next.get();
  }
  require(node == nullptr, "a chain goes on behind its end");
}

void Chains::check() const {
  for (size_t i = 0; i < Row::kSlots; ++i) check_chain(row_->slots[i].get(), numbers_[i]);
  check_chain(held_.get(), held_numbers_);
}

void Chains::change(Rng& rng) {
  const size_t at = rng.below(Row::kSlots);
  Ptr<Node>& slot = row_->slots[at];
  std::vector<uint64_t>& numbers = numbers_[at];
  switch (rng.below(8)) {
    case 0:
    case 1: {
      // Hidden: only the new node, born perhaps black, leads to the old chain.
      if (numbers.size() == kLongest) break;
      PreciseLocal<Node> old = slot.get();
      slot = nullptr;
      PreciseLocal<Node> fresh = make_numbered<Node>(next_number_);
      fresh->next = old.get();
      slot = fresh.get();
      numbers.insert(numbers.begin(), next_number_++);
      break;
    }
    case 2:
      slot = nullptr;
      numbers.clear();
      break;
    case 3:
      // Swapped with what only the local leads to, for a while.
      {
        Node* taken = slot.get();
        slot = held_.get();
        held_ = taken;
        std::swap(numbers, held_numbers_);
      }
      break;
    case 4: {
      const size_t to = rng.below(Row::kSlots);
      PreciseLocal<Node> moved = slot.get();
      slot = row_->slots[to].get();
      row_->slots[to] = moved.get();
      std::swap(numbers_[at], numbers_[to]);
      break;
    }
    case 5: {
      // What only the local led to is hidden behind a new node, and the local lets go of it.
      if (held_numbers_.size() == kLongest) break;
      PreciseLocal<Node> fresh = make_numbered<Node>(next_number_);
      fresh->next = held_.get();
      held_ = nullptr;
      slot = fresh.get();
      numbers = std::exchange(held_numbers_, {});
      numbers.insert(numbers.begin(), next_number_++);
      break;
    }
    case 6:
      make_numbered<Node>(0);
      safepoint();
      break;
    default:
      blocking([] { keel::ThisThread::yield(); });
  }
}

void Chains::swap_with(Shared& shared, Rng& rng) {
  const size_t at = rng.below(Row::kSlots);
  const size_t there = rng.below(Row::kSlots);
  blocking([&] { shared.mu.lock(); });
  {
    // No safepoint: the lock is held.
    Node* mine = row_->slots[at].get();
    row_->slots[at] = shared.row->slots[there].get();
    shared.row->slots[there] = mine;
  }
  std::swap(numbers_[at], shared.numbers[there]);
  shared.mu.unlock();
}

}  // namespace keel::explore
