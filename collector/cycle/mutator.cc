// The mutator's slow paths: polling, refilling, blocking; see collector/api/mutator.h.
#include "collector/api/mutator.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "collector/cycle/heap_core.h"
#include "collector/roots/fake_stack.h"
#include "collector/roots/stack_frame.h"

namespace keel {

Mutator::Mutator(HeapCore& core, uint32_t id, std::string name, SourcePlace where)
    : core_(core),
      cache_(core.memory),
      marker_(core.memory, core.pool, Marker::Owner::kMutator),
      id_(id),
      name_(std::move(name)),
      thread_id_(static_cast<int>(syscall(SYS_gettid))),
      where_(where) {
  if (crash_reporting()) crash_stack_.install();
}

// One interruption, split into what the thread waited for others, its own stack, and the rest.
void Mutator::record_interruption(int64_t begin_ns, int64_t waited_ns) {
  PauseRecord pause;
  pause.own_stack_ns = std::exchange(own_stack_ns_, 0);
  const int64_t end_ns = now_ns();
  recent_.add(to_string(PauseKind::kHandshake), core_.memory.cycle() + 1, begin_ns, end_ns - begin_ns);
  if (core_.config.listener == nullptr) return;
  pause.cycle = core_.memory.cycle() + 1;
  pause.kind = PauseKind::kHandshake;
  pause.thread = id_;
  pause.begin_ns = begin_ns;
  pause.duration_ns = end_ns - begin_ns;
  pause.wait_ns = waited_ns;
  core_.config.listener->on_pause(listener_data_, pause);
}

// From here down nothing is the callers'.
void Mutator::stand_at(uintptr_t sp) {
  stopped_sp_ = defect(Defect::kRegistersNotSpilled) ? sp + kSpilledBytes : sp;
  fake_stack_ = current_fake_stack();
}

void Mutator::poll_slow() {
  if (in_region_) return;  // blocked already: whatever is pending is the collector's to do
  keel_call_with_spilled_registers(
      [](void* p, void*, void*, uintptr_t sp) {
        auto* self = static_cast<Mutator*>(p);
        self->stand_at(sp);
        const int64_t begin = now_ns();
        const int64_t waited = self->core_.world.poll(*self);
        self->record_interruption(begin, waited);
      },
      this, nullptr, nullptr);
}

void* Mutator::allocate_slow(LayoutId layout) {
  refuse_in_region("an allocation");
  core_.refill(*this, layout);
  void* slot = cache_.try_allocate(layout, layout_of(layout).slot_bytes);
  KEEL_DCHECK(slot != nullptr, "allocation: a fresh hole has no slot");
  return slot;
}

void* Mutator::allocate_large(LayoutId layout, uint64_t bytes) {
  refuse_in_region("an allocation");
  safepoint();
  return core_.allocate_large(*this, layout, bytes);
}

void Mutator::run_blocked(void (*call)(void*), void* argument) {
  if (in_region_ && !defect(Defect::kNestedBlockingDeadlock)) {
    call(argument);
    return;
  }
  keel_call_with_spilled_registers(
      [](void* self, void* f, void* p, uintptr_t sp) {
        static_cast<Mutator*>(self)->run_region(reinterpret_cast<void (*)(void*)>(f), p, sp);
      },
      this, reinterpret_cast<void*>(call), argument);
}

void Mutator::run_region(void (*call)(void*), void* argument, uintptr_t sp) {
  stand_at(sp);
  in_region_ = true;
  core_.world.enter_blocked(*this);
  struct Leave {
    Mutator& self;
    ~Leave() {
      const int64_t waited = self.core_.world.leave_blocked(self);
      self.in_region_ = false;
      if (waited != 0) self.record_interruption(now_ns() - waited, waited);
      self.safepoint();
    }
  } leave{*this};
  call(argument);
}

}  // namespace keel
