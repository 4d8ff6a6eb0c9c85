// Alternate signal stack: so that a thread whose own stack has overflowed can still say so.
//
// Taken when a thread attaches while a CrashReporter exists, unless the thread has one (a sanitizer's, the
// program's). Not a root: the stack scanner does not look here. Threads: the one whose stack it is.
#pragma once

#include <signal.h>
#include <sys/mman.h>

#include <cstddef>

namespace keel {

class AlternateStack {
 public:
  AlternateStack() = default;
  ~AlternateStack() {
    if (memory_ == nullptr) return;
    stack_t off{};
    off.ss_flags = SS_DISABLE;
    sigaltstack(&off, nullptr);
    munmap(memory_, kBytes);
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;

  /// No effect if there is one, or no memory.
  void install() {
    stack_t now{};
    if (sigaltstack(nullptr, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0) return;
    void* memory =
        mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return;
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = kBytes;
    if (sigaltstack(&stack, nullptr) != 0) {
      munmap(memory, kBytes);
      return;
    }
    memory_ = memory;
  }

 private:
  static constexpr size_t kBytes = 128 * 1024;  // the report's frames, dladdr and the unwinder: ~20 KiB
  void* memory_ = nullptr;
};

/// Whether a CrashReporter exists. Threads: any.
bool crash_reporting();

}  // namespace keel
