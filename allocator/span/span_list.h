// Span list: spans chained through themselves, the last one put in the first one out.
//
// Filing a span takes no memory, so that sweeping and the retiring of a thread's cache cannot fail half-way.
// Threads: the caller holds the lock of the list.
#pragma once

#include <cstdint>

#include "allocator/span/span.h"

namespace keel {

class SpanList {
 public:
  /// Precondition: the span is in no list.
  void push(Span& span) noexcept {
    span.next_listed = first_;
    first_ = &span;
    ++size_;
  }
  /// Null if there is none.
  Span* pop() noexcept {
    Span* span = first_;
    if (span == nullptr) return nullptr;
    first_ = span->next_listed;
    span->next_listed = nullptr;
    --size_;
    return span;
  }
  [[nodiscard]] uint64_t size() const { return size_; }

 private:
  Span* first_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace keel
