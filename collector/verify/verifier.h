// A second opinion on the heap: mark again and compare (checkmark), walk the structure and the byte accounts.
//
// World stopped, on the cycle thread. Each check is itself tested by hiding an object or breaking a structure
// on purpose (verifier_test.cc): a checker nobody tests is decoration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "collector/api/mutator.h"

namespace keel {

class HeapCore;

class Verifier {
 public:
  explicit Verifier(HeapCore& core) : core_(core) {}
  ~Verifier();
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  /// Traces from the Root table, the stack words this cycle recorded and the precise locals, into a bitmap of
  /// its own. Fatal, with parent and child named: an object reached that the cycle did not mark. Call before
  /// finish_mark(). Under conservative roots, unmarked targets of a fresh look at the stacks are only
  /// counted: a stack may hold a new copy of a pointer that died.
  void check_marks();

  /// Spans tile the pages in use, entries lead to them, bits and counts agree, and
  ///   in_use + free == committed,  sum of span bytes == in_use,  allocated - freed == live slots (bytes,
  ///   objects).
  /// Empty if all holds, else the first fault. Precondition: counts taken, no sweep running.
  std::string check_structure();

  [[nodiscard]] uint64_t unmarked_stack_targets() const { return unmarked_stack_targets_; }
  /// Bytes of the second mark's bits that are resident. For tests, after check_marks().
  [[nodiscard]] uint64_t resident_bytes() const;
  /// Slot bytes that this cycle's stack words reach and the Root table does not.
  [[nodiscard]] uint64_t stack_only_bytes() const { return stack_only_bytes_; }

 private:
  struct Reached {
    uintptr_t parent;  // object, or 0 for a root
    uintptr_t field;   // address of the word
    uintptr_t object;  // base
  };
  void reach(uintptr_t pointer, uintptr_t parent, uintptr_t field);
  void scan(uintptr_t object);
  void trace();

  HeapCore& core_;
  // Laid out as the mark bits, which is to say by pages: zero memory of the system that becomes resident
  // where a span has an object, and goes as a whole. So it costs what objects and spans cost, whatever a
  // ballast covers.
  uint64_t* seen_ = nullptr;
  uint64_t seen_words_ = 0;
  std::vector<Reached> work_;
  uint64_t unmarked_stack_targets_ = 0;
  uint64_t seen_bytes_ = 0;
  uint64_t stack_only_bytes_ = 0;
};

/// Called in the stop before check_marks(), so that a test can hide an object: null for none.
void set_before_checkmark_for_testing(void (*hook)(HeapCore&, void*), void* context);
/// Clears the mark of an object in the cycle now ending. World stopped.
void hide_mark_for_testing(HeapCore& core, const void* object);

}  // namespace keel
