// Chunk stack: a stack of grey chunks that needs no lock, so no thread can hold one while it waits for a
// core.
//
// The chunks are a bounded array, so one word holds the top's index and a tag that changes with every push
// and pop: Treiber's stack (IBM RJ 5118, 1986) without its ABA fault, since a thread that was away while the
// top came and went sees another tag. What a thread reads of a chunk it does not own is the index below it,
// which is atomic; a stale one is thrown away by the compare-and-swap that follows.
//
// [grey.stack]: every change of the top is an acq_rel read-modify-write, so they form one release sequence:
// who pops a chunk sees what its pusher wrote into it. Threads: any.
#pragma once

#include <cstdint>

#include "allocator/base/atomic.h"
#include "allocator/base/build.h"
#include "allocator/base/race_points.h"

namespace keel {

/// A grey object: address in the low 48 bits, layout in the high 16.
using GreyObject = uint64_t;

struct GreyChunk {
  static constexpr uint32_t kRoom = 510;  // 4 KiB with the header
  // Few under the explorer: its heaps are tiny, and chunks must fill, change hands and run out there too.
  static constexpr uint32_t kCapacity = kExploreBuild ? 6 : kRoom;
  Atomic<uint32_t> below;  // on a stack: 1 + index of the next one; 0: none
  uint32_t count;
  uint64_t unused;
  GreyObject objects[kRoom];
};

class ChunkStack {
 public:
  explicit ChunkStack(GreyChunk* memory) : memory_(memory) {}
  ChunkStack(const ChunkStack&) = delete;
  ChunkStack& operator=(const ChunkStack&) = delete;

  void push(GreyChunk* chunk) {
    const auto index = static_cast<uint32_t>(chunk - memory_) + 1;
    uint64_t top = top_.load(std::memory_order_relaxed);
    do {
      // relaxed [grey.stack]: published by the exchange.
      chunk->below.store(index_of(top), std::memory_order_relaxed);
    } while (!top_.compare_exchange_weak(top, next_tag(top) | index, std::memory_order_seq_cst,
                                         std::memory_order_relaxed));
  }

  /// Null if there is none.
  GreyChunk* pop() {
    uint64_t top = top_.load(std::memory_order_acquire);
    while (index_of(top) != 0) {
      GreyChunk* chunk = &memory_[index_of(top) - 1];
      const uint32_t below = chunk->below.load(std::memory_order_relaxed);
      race_point(RacePoint::kChunkPopped);
      if (top_.compare_exchange_weak(top, next_tag(top) | below, std::memory_order_acq_rel,
                                     std::memory_order_acquire)) {
        return chunk;
      }
    }
    return nullptr;
  }

  /// Takes all of them, linked by `below`; null if there is none.
  GreyChunk* pop_all() {
    uint64_t top = top_.load(std::memory_order_acquire);
    while (!top_.compare_exchange_weak(top, next_tag(top), std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
    }
    return at(index_of(top));
  }
  /// The one below a chunk that pop_all() gave.
  [[nodiscard]] GreyChunk* below(const GreyChunk* chunk) const {
    return at(chunk->below.load(std::memory_order_relaxed));
  }

  /// seq_cst [grey.wait]: see GreyPool::wait_for_work().
  [[nodiscard]] bool empty() const { return index_of(top_.load(std::memory_order_seq_cst)) == 0; }
  /// relaxed [grey.hint].
  [[nodiscard]] bool seems_empty() const { return index_of(top_.load(std::memory_order_relaxed)) == 0; }

 private:
  static uint32_t index_of(uint64_t top) { return static_cast<uint32_t>(top); }
  static uint64_t next_tag(uint64_t top) { return (top & ~uint64_t{0xffffffff}) + (uint64_t{1} << 32); }
  [[nodiscard]] GreyChunk* at(uint32_t index) const { return index == 0 ? nullptr : &memory_[index - 1]; }

  GreyChunk* const memory_;
  Atomic<uint64_t> top_{0};  // tag in the high half, 1 + index in the low one
};

}  // namespace keel
