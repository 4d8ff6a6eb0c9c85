// Sentences for mistakes; see collector/api/misuse.h.
#include "collector/api/misuse.h"

#include <cstdarg>
#include <cstdio>

#include "collector/crash/thread_stacks.h"
#include "collector/cycle/heap_core.h"
#include "collector/roots/stack_frame.h"

namespace keel {
namespace {
constexpr const char* kNoObject =
    "is to be kept, but no object is there: it is one past the end of its object, or its object was freed";
}  // namespace

void misuse(SourcePlace where, uintptr_t about, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  give_up({where.file, where.line, text, about});
}

namespace detail {

void misuse_in_region(const char* what, const char* thread, SourcePlace where) {
  if (where.line == 0) {
    CrashWriter(STDERR_FILENO, -1).line("keel: a use of the heap that must not be, made here:");
    write_callers();
    where.file = "(above)";
  }
  misuse(where, 0, "%s: thread '%s' is in a blocking region, where it must not touch the heap", what, thread);
}

void check_null_store() {
  if (const Mutator* self = Mutator::current()) self->refuse_in_region("a store to a Ptr");
}

void check_pointer_store(const void* target) {
  check_null_store();
  Mutator* self = Mutator::current();
  const auto address = reinterpret_cast<uintptr_t>(target);
  const char* fault = nullptr;
  if (self == nullptr) {
    fault = "is stored in a Ptr by a thread that is not attached: the collector does not hear of it";
  } else if (address >= stack_pointer() && address < self->stack_base()) {
    fault = "is stored in a Ptr, but it is the address of something on this thread's stack";
  } else if (!self->core().memory.may_be_in_object(address)) {
    fault = kNoObject;
  }
  if (fault == nullptr) return;
  CrashWriter(STDERR_FILENO, -1).line("keel: a pointer store that must not be, made here:");
  write_callers();
  misuse({"(above)", 0}, address, "%p %s", target, fault);
}

void check_kept_pointer(const void* target, SourcePlace where) {
  Mutator* self = Mutator::current();
  const auto address = reinterpret_cast<uintptr_t>(target);
  if (self == nullptr || self->core().memory.may_be_in_object(address)) return;
  misuse(where, address, "%p %s", target, kNoObject);
}

}  // namespace detail
}  // namespace keel
