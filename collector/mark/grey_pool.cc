// Chunks, waiting and quiescence; see grey_pool.h.
#include "collector/mark/grey_pool.h"

#include <new>

#include "allocator/base/check.h"
#include "allocator/base/os_memory.h"

namespace keel {

GreyPool::GreyPool(uint32_t max_chunks)
    : max_chunks_(max_chunks),
      memory_(static_cast<GreyChunk*>(os::reserve_metadata(size_t{max_chunks} * sizeof(GreyChunk)))) {
  if (memory_ == nullptr) throw std::bad_alloc();
}

GreyPool::~GreyPool() { os::unreserve(memory_, size_t{max_chunks_} * sizeof(GreyChunk)); }

GreyChunk* GreyPool::take_empty() {
  MutexLock lock(mu_);
  GreyChunk* chunk = free_;
  if (chunk != nullptr) {
    free_ = chunk->next;
  } else if (fresh_ < max_chunks_) {
    chunk = &memory_[fresh_++];
  } else {
    return nullptr;
  }
  chunk->next = nullptr;
  chunk->count = 0;
  return chunk;
}

void GreyPool::put_empty(GreyChunk* chunk) {
  MutexLock lock(mu_);
  chunk->next = free_;
  free_ = chunk;
}

void GreyPool::put_full(GreyChunk* chunk) {
  KEEL_DCHECK(chunk->count > 0, "grey: an empty chunk handed in as work");
  bool wake = false;
  {
    MutexLock lock(mu_);
    chunk->next = full_;
    full_ = chunk;
    ++found_;
    full_count_.fetch_add(1, std::memory_order_relaxed);
    wake = waiting_.load(std::memory_order_relaxed) != 0;
  }
  if (wake) work_.notify_all();
}

GreyChunk* GreyPool::take_full() {
  if (empty()) return nullptr;
  MutexLock lock(mu_);
  GreyChunk* chunk = full_;
  if (chunk == nullptr) return nullptr;
  full_ = chunk->next;
  full_count_.fetch_sub(1, std::memory_order_relaxed);
  return chunk;
}

void GreyPool::become_busy() {
  MutexLock lock(mu_);
  ++busy_;
}

void GreyPool::become_idle() {
  bool quiet = false;
  {
    MutexLock lock(mu_);
    --busy_;
    quiet = busy_ == 0 && full_ == nullptr;
  }
  if (quiet) quiet_.notify_all();
}

bool GreyPool::wait_for_work(int64_t ns) {
  MutexLock lock(mu_);
  if (full_ != nullptr) return true;
  waiting_.fetch_add(1, std::memory_order_relaxed);
  work_.wait_for(mu_, ns);
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return full_ != nullptr;
}

bool GreyPool::wait_until_quiet(int64_t ns) {
  MutexLock lock(mu_);
  if (busy_ == 0 && full_ == nullptr) return true;
  quiet_.wait_for(mu_, ns);
  return busy_ == 0 && full_ == nullptr;
}

bool GreyPool::quiet() {
  MutexLock lock(mu_);
  return busy_ == 0 && full_ == nullptr;
}

void GreyPool::wake_all() {
  work_.notify_all();
  quiet_.notify_all();
}

uint64_t GreyPool::take_found_work() {
  MutexLock lock(mu_);
  const uint64_t found = found_ + (announced_.exchange(false, std::memory_order_relaxed) ? 1 : 0);
  found_ = 0;
  return found;
}

void GreyPool::release_idle() {
  MutexLock lock(mu_);
  // A few chunks stay: small heaps use them every cycle.
  constexpr uint32_t kKeep = 64;
  if (fresh_ <= kKeep || full_ != nullptr) return;
  uint32_t free_chunks = 0;
  for (GreyChunk* chunk = free_; chunk != nullptr; chunk = chunk->next) ++free_chunks;
  if (free_chunks != fresh_) return;  // a mutator keeps one
  os::release(memory_, size_t{fresh_} * sizeof(GreyChunk));
  free_ = nullptr;
  fresh_ = 0;
}

}  // namespace keel
