// operator new and delete by malloc; see failing_new.h.
#include "allocator/base/failing_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

#include "allocator/base/system_calls.h"

namespace keel {
namespace {
// relaxed [fail.count]: only the number matters.
std::atomic<uint64_t> g_count{0};
std::atomic<uint64_t> g_fails{0};

bool fails_now() noexcept {
  const uint64_t number = g_count.fetch_add(1, std::memory_order_relaxed) + 1;
  return number == g_fails.load(std::memory_order_relaxed) || planned_error(SystemCall::kNew) != 0;
}
}  // namespace

void fail_new_for_testing(uint64_t number) {
  g_count.store(0, std::memory_order_relaxed);
  g_fails.store(number, std::memory_order_relaxed);
}

uint64_t news_for_testing() { return g_count.load(std::memory_order_relaxed); }

bool new_failed_for_testing() {
  const uint64_t number = g_fails.load(std::memory_order_relaxed);
  return number != 0 && number <= news_for_testing();
}

}  // namespace keel

void* operator new(size_t bytes) {
  void* block = keel::fails_now() ? nullptr : std::malloc(bytes);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
