// Chunks, waiting and quiescence; see grey_pool.h.
#include "collector/mark/grey_pool.h"

#include <cerrno>

#include "allocator/base/check.h"
#include "allocator/base/futex.h"
#include "allocator/base/os_memory.h"

namespace keel {

GreyPool::GreyPool(uint32_t max_chunks)
    : max_chunks_(max_chunks),
      memory_(static_cast<GreyChunk*>(os::reserve_metadata(size_t{max_chunks} * sizeof(GreyChunk)))),
      full_(memory_),
      free_(memory_) {
  if (memory_ == nullptr) {
    throw os::Refused("heap: mmap for grey work", size_t{max_chunks} * sizeof(GreyChunk), errno);
  }
}

GreyPool::~GreyPool() { os::unreserve(memory_, size_t{max_chunks_} * sizeof(GreyChunk)); }

GreyChunk* GreyPool::take_empty() {
  GreyChunk* chunk = free_.pop();
  if (chunk == nullptr) {
    // relaxed: who gets the number owns the chunk, and nobody has written to it.
    uint32_t fresh = fresh_.load(std::memory_order_relaxed);
    do {
      if (fresh == max_chunks_) return nullptr;
    } while (!fresh_.compare_exchange_weak(fresh, fresh + 1, std::memory_order_relaxed));
    chunk = &memory_[fresh];
  }
  chunk->count = 0;
  return chunk;
}

void GreyPool::put_full(GreyChunk* chunk) {
  KEEL_DCHECK(chunk->count > 0, "grey: an empty chunk handed in as work");
  uint64_t state = state_.load(std::memory_order_relaxed);
  while (!state_.compare_exchange_weak(state, (state + kFull) | kFound, std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) {
  }
  full_.push(chunk);
  if (waiting_.load(std::memory_order_seq_cst) != 0) {
    work_.fetch_add(1, std::memory_order_seq_cst);
    futex_wake_all(work_);
  }
}

GreyChunk* GreyPool::take_full() {
  GreyChunk* chunk = full_.pop();
  if (chunk != nullptr) state_.fetch_sub(kFull, std::memory_order_acq_rel);
  return chunk;
}

bool GreyPool::try_become_busy() {
  uint64_t state = state_.load(std::memory_order_relaxed);
  do {
    if (full(state) == 0) return false;
  } while (!state_.compare_exchange_weak(state, state + kBusy, std::memory_order_acq_rel,
                                         std::memory_order_relaxed));
  return true;
}

void GreyPool::become_idle() {
  const uint64_t state = state_.fetch_sub(kBusy, std::memory_order_seq_cst) - kBusy;
  race_point(RacePoint::kBecameIdle);
  if (is_quiet(state) && waits_for_quiet_.load(std::memory_order_seq_cst) != 0) {
    quiet_.fetch_add(1, std::memory_order_seq_cst);
    futex_wake_all(quiet_);
  }
}

void GreyPool::wait_for_work(int64_t ns) {
  waiting_.fetch_add(1, std::memory_order_seq_cst);
  const uint32_t seen = work_.load(std::memory_order_seq_cst);
  if (full_.empty()) {
    race_point(RacePoint::kAboutToWaitForWork);
    futex_wait(work_, seen, ns);
  }
  waiting_.fetch_sub(1, std::memory_order_relaxed);
}

bool GreyPool::wait_until_quiet(int64_t ns) {
  waits_for_quiet_.fetch_add(1, std::memory_order_seq_cst);
  const uint32_t seen = quiet_.load(std::memory_order_seq_cst);
  if (!is_quiet(state_.load(std::memory_order_seq_cst))) {
    race_point(RacePoint::kAboutToWaitForQuiet);
    futex_wait(quiet_, seen, ns);
  }
  waits_for_quiet_.fetch_sub(1, std::memory_order_relaxed);
  return quiet();
}

void GreyPool::wake_all() {
  work_.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(work_);
  quiet_.fetch_add(1, std::memory_order_seq_cst);
  futex_wake_all(quiet_);
}

void GreyPool::release_idle() {
  // A few chunks stay: small heaps use them every cycle.
  constexpr uint32_t kKeep = 64;
  const uint32_t used = fresh_.load(std::memory_order_relaxed);
  if (used <= kKeep || !full_.empty()) return;
  GreyChunk* all = free_.pop_all();
  uint32_t count = 0;
  for (GreyChunk* chunk = all; chunk != nullptr; chunk = free_.below(chunk)) ++count;
  if (count == used) {
    // Nobody keeps one and, between cycles, nobody asks for one. Refused or not: chunks are filled anew.
    static_cast<void>(os::release(memory_, size_t{used} * sizeof(GreyChunk)));
    fresh_.store(0, std::memory_order_relaxed);
    return;
  }
  while (all != nullptr) {
    GreyChunk* below = free_.below(all);
    free_.push(all);
    all = below;
  }
}

}  // namespace keel
