// Special: one thing that hangs on an object: its finalizer, a cleanup, or what the weak pointers to it
// share.
//
// Specials live outside the heap, in blocks, and hang on the span of their object (Span::specials): a span
// that has any has a list of them by slot. So the sweep of a span decides what has become of them, and
// nothing else in a cycle has to visit them but the walk that shades what finalizable objects reach.
//
//   kind          while registered                     while queued
//   kFinalizer    what the object reaches is a root    the object itself is a root: `object` is a Slot for
//   that kCleanup      keeps nothing alive                  keeps nothing alive kWeak         keeps nothing
//   alive                  never queued
//
// Threads: a special is guarded by the lock of its stripe (special_table.h) while registered, by the
// finalizer queue's while queued, and is the finalizer thread's alone while its function runs.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "allocator/base/source_place.h"
#include "barriers/api/slot.h"
#include "collector/api/finalizers.h"
#include "collector/api/inline_function.h"

namespace keel {

enum class SpecialKind : uint8_t { kFree, kFinalizer, kCleanup, kWeak };

struct Special {
  Slot object;              // a root only while a finalizer is queued or runs [rule 4]
  Special* next = nullptr;  // of the same object; in the queue; among free ones
  const char* type = nullptr;
  SourcePlace where;
  uint64_t id = 0;     // of a cleanup
  uint32_t block = 0;  // of its slab
  uint16_t stripe = 0;
  SpecialKind kind = SpecialKind::kFree;
  bool queued = false;  // its function waits or runs
  // A function, or what weak pointers share.
  std::variant<InlineFunction, std::shared_ptr<detail::WeakTarget>> what;

  [[nodiscard]] InlineFunction& function() { return *std::get_if<InlineFunction>(&what); }
  [[nodiscard]] std::shared_ptr<detail::WeakTarget>& weak() {
    return *std::get_if<std::shared_ptr<detail::WeakTarget>>(&what);
  }
};

/// The specials of one span's objects, by slot. What Span::specials leads to.
struct SpanSpecials {
  struct Object {
    uint32_t slot;
    Special* first;
  };
  std::vector<Object> objects;  // ascending slots; none without a special
};

/// A list of specials, linked by `next`, in order.
struct SpecialChain {
  Special* first = nullptr;
  Special* last = nullptr;

  void append(Special& special) {
    special.next = nullptr;
    (first == nullptr ? first : last->next) = &special;
    last = &special;
  }
  void append(const SpecialChain& other) {
    if (other.first == nullptr) return;
    (first == nullptr ? first : last->next) = other.first;
    last = other.last;
  }
  Special* pop() {
    Special* special = first;
    if (special != nullptr) first = special->next;
    return special;
  }
};

}  // namespace keel
