// Nodes for the page heap's trees of free runs, out of memory reserved with the range: a change of the runs
// never asks the C++ heap, so it cannot fail half way, and freeing pages cannot fail at all.
//
// Reserved for as many runs as there can be, every other page free; resident as far as nodes were ever in
// use at once. Threads: one at a time (the page heap's lock). Cost: O(1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include "allocator/base/check.h"

namespace keel {

class RunNodes {
 public:
  // The larger of the two kinds of node: three links, a colour, a key and two words.
  static constexpr uint64_t kNodeBytes = 56;

  /// Two nodes a run: by address and by size.
  static constexpr uint64_t nodes_for(uint64_t pages) { return 2 * (pages / 2 + 1); }
  static constexpr uint64_t metadata_bytes(uint64_t pages) { return nodes_for(pages) * kNodeBytes; }
  /// `memory` is metadata_bytes(pages) of zeros.
  void place(void* memory, uint64_t pages) {
    memory_ = static_cast<char*>(memory);
    nodes_ = nodes_for(pages);
  }

  void* take() noexcept {
    if (free_ != nullptr) {
      Free* node = free_;
      free_ = node->next;
      return node;
    }
    KEEL_CHECK(used_ < nodes_, "page heap: more free runs than %llu pages can have",
               static_cast<unsigned long long>(nodes_));
    return memory_ + kNodeBytes * used_++;
  }
  void give(void* memory) noexcept { free_ = new (memory) Free{free_}; }

 private:
  struct Free {
    Free* next;
  };
  char* memory_ = nullptr;
  uint64_t nodes_ = 0;
  uint64_t used_ = 0;  // ever: the rest has not been touched
  Free* free_ = nullptr;
};

/// For std::map and std::set, which take one node at a time.
template <typename T>
class RunNodeAllocator {
 public:
  using value_type = T;
  explicit RunNodeAllocator(RunNodes& nodes) noexcept : nodes_(&nodes) {}
  template <typename U>
  RunNodeAllocator(const RunNodeAllocator<U>& other) noexcept : nodes_(&other.nodes()) {}

  T* allocate(size_t count) noexcept {
    static_assert(sizeof(T) <= RunNodes::kNodeBytes && alignof(T) <= alignof(uint64_t));
    KEEL_CHECK(count == 1, "page heap: %zu nodes at once", count);
    return static_cast<T*>(nodes_->take());
  }
  void deallocate(T* node, size_t) noexcept { nodes_->give(node); }

  [[nodiscard]] RunNodes& nodes() const noexcept { return *nodes_; }
  template <typename U>
  bool operator==(const RunNodeAllocator<U>& other) const noexcept {
    return nodes_ == &other.nodes();
  }

 private:
  RunNodes* nodes_;
};

}  // namespace keel
