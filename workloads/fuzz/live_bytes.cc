// operator new and delete, counted; see live_bytes.h. The program that links this has them everywhere.
#include "workloads/fuzz/live_bytes.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace keel {
namespace {

// relaxed [stats]: read by the thread that allocates.
std::atomic<size_t> g_live{0};
std::atomic<size_t> g_most{0};

void* counted(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  const size_t bytes = malloc_usable_size(block);
  const size_t live = g_live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (live > g_most.load(std::memory_order_relaxed)) g_most.store(live, std::memory_order_relaxed);
  return block;
}

void release(void* block) {
  if (block == nullptr) return;
  g_live.fetch_sub(malloc_usable_size(block), std::memory_order_relaxed);
  std::free(block);
}

}  // namespace

size_t live_bytes() { return g_live.load(std::memory_order_relaxed); }
size_t most_live_bytes() { return g_most.load(std::memory_order_relaxed); }
void reset_most_live_bytes() { g_most.store(live_bytes(), std::memory_order_relaxed); }

}  // namespace keel

void* operator new(size_t bytes) { return keel::counted(std::malloc(bytes)); }
void* operator new[](size_t bytes) { return keel::counted(std::malloc(bytes)); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  const auto a = static_cast<size_t>(alignment);
  return keel::counted(std::aligned_alloc(a, (bytes + a - 1) / a * a));
}
void* operator new[](size_t bytes, std::align_val_t alignment) { return operator new(bytes, alignment); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  void* const block = std::malloc(bytes);
  return block == nullptr ? nullptr : keel::counted(block);
}
void* operator new[](size_t bytes, const std::nothrow_t& nothrow) noexcept {
  return operator new(bytes, nothrow);
}
void operator delete(void* block, const std::nothrow_t&) noexcept { keel::release(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { keel::release(block); }
void operator delete(void* block) noexcept { keel::release(block); }
void operator delete[](void* block) noexcept { keel::release(block); }
void operator delete(void* block, size_t) noexcept { keel::release(block); }
void operator delete[](void* block, size_t) noexcept { keel::release(block); }
void operator delete(void* block, std::align_val_t) noexcept { keel::release(block); }
void operator delete[](void* block, std::align_val_t) noexcept { keel::release(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { keel::release(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { keel::release(block); }
