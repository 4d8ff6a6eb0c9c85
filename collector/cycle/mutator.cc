// The mutator's slow paths: polling, refilling, blocking; see collector/api/mutator.h.
#include "collector/api/mutator.h"

#include "collector/cycle/heap_core.h"
#include "collector/roots/fake_stack.h"
#include "collector/roots/stack_frame.h"

namespace keel {

Mutator::Mutator(HeapCore& core, uint32_t id, std::string name)
    : core_(core), cache_(core.memory), marker_(core.memory, core.pool), id_(id), name_(std::move(name)) {}

// The frame of this function is the end of what is scanned: callers keep what they need in callee-saved
// registers, spilled here, or in their own frames, above.
void Mutator::poll_slow() {
  SpilledRegisters registers;
  spill_registers(registers);
  stopped_sp_ = stack_pointer();
  fake_stack_ = current_fake_stack();
  core_.world.poll(*this);
  asm volatile("" : : "r"(&registers) : "memory");
}

void* Mutator::allocate_slow(LayoutId layout) {
  core_.refill(*this, layout);
  void* slot = cache_.try_allocate(layout, layout_of(layout).slot_bytes);
  KEEL_DCHECK(slot != nullptr, "allocation: a fresh hole has no slot");
  return slot;
}

void* Mutator::allocate_large(LayoutId layout, uint64_t bytes) {
  safepoint();
  return core_.allocate_large(*this, layout, bytes);
}

__attribute__((noinline)) void Mutator::run_blocked(void (*call)(void*), void* argument) {
  SpilledRegisters registers;
  spill_registers(registers);
  stopped_sp_ = stack_pointer();
  fake_stack_ = current_fake_stack();
  core_.world.enter_blocked(*this);
  struct Leave {
    Mutator& self;
    ~Leave() {
      self.core_.world.leave_blocked(self);
      self.safepoint();
    }
  } leave{*this};
  call(argument);
  asm volatile("" : : "r"(&registers) : "memory");
}

}  // namespace keel
