// Mutator: a thread that uses the heap. Allocation, safepoints, blocking regions, attaching and leaving.
//
// A thread attaches with MutatorScope and is then *running*: the collector waits for it at safepoints, which
// are every allocation and every safepoint() call. In blocking(f) it is *blocked*: the collector acts for the
// thread meanwhile, so f must not touch the heap. Allocating, storing a Ptr, making, assigning or destroying
// a Root or a Local, finalizers, cleanups and Weak are refused there with a sentence (all of them in debug
// builds, those with a slow path in any). Regions nest, and every function of Heap may be called inside one.
// A T* does not survive detaching; a Root does.
//
// Not roots, keep them in a Root<T>: thread_locals, alternate signal stacks, coroutine frames, malloc'd
// memory.
#pragma once

#include <cstdint>
#include <new>
#include <string>
#include <utility>

#include "allocator/base/atomic.h"
#include "allocator/base/source_place.h"
#include "allocator/cache/thread_cache.h"
#include "barriers/api/barrier_state.h"
#include "collector/api/misuse.h"
#include "collector/crash/alternate_stack.h"
#include "collector/crash/recent_events.h"
#include "collector/mark/marker.h"

namespace keel {

class Heap;
class HeapCore;
class Mutator;
class World;

/// Memory is out after a collection has tried. what() names the size, the limit and what the heap holds.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string text) : text_(std::move(text)) {}
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

/// A precise root on the stack: a link in its mutator's list. Made by Local<T> under precise roots.
struct LocalLink {
  uintptr_t pointer = 0;
  LocalLink* previous = nullptr;
  LocalLink* next = nullptr;
  [[no_unique_address]] DebugPlace where;
};

inline constinit thread_local Mutator* t_mutator = nullptr;

class Mutator {
 public:
  /// The calling thread's mutator, or null if it is not attached.
  static Mutator* current() noexcept { return t_mutator; }

  /// A zeroed slot of a small layout. A safepoint. Throws OutOfMemory. Cost: ~2 ns when the hole has room.
  void* allocate(LayoutId layout, size_t slot_bytes) {
    check_running("an allocation");
    // relaxed [world.pending]: only says "look"; the slow path synchronises.
    if (pending_.load(std::memory_order_relaxed) != 0) [[unlikely]]
      poll_slow();
    void* slot = cache_.try_allocate(layout, slot_bytes);
    return slot != nullptr ? slot : allocate_slow(layout);
  }

  /// A zeroed large object of `bytes` bytes. A safepoint. Throws OutOfMemory.
  void* allocate_large(LayoutId layout, uint64_t bytes);

  /// Lets the collector act if it wants to; nothing in a blocking region. Cost: one load and a branch.
  void safepoint() {
    if (pending_.load(std::memory_order_relaxed) != 0) [[unlikely]]
      poll_slow();
  }

  /// Runs `call(argument)` in a blocking region; inside one, just runs it.
  void run_blocked(void (*call)(void*), void* argument);

  /// Fatal in a blocking region: `what` touches the heap. Nothing in release builds.
  void check_running(const char* what, SourcePlace where = {"(above)", 0}) const {
    if constexpr (KEEL_DEBUG_CHECKS) refuse_in_region(what, where);
  }
  /// The same in every build, for slow paths.
  void refuse_in_region(const char* what, SourcePlace where = {"(above)", 0}) const {
    if (in_region_) [[unlikely]]
      detail::misuse_in_region(what, name_.c_str(), where);
  }

  void link_local(LocalLink& local) {
    check_running("Local", local.where.place());
    local.previous = nullptr;
    local.next = locals_;
    if (locals_ != nullptr) locals_->previous = &local;
    locals_ = &local;
  }
  void unlink_local(LocalLink& local) {
    check_running("Local", local.where.place());
    (local.previous != nullptr ? local.previous->next : locals_) = local.next;
    if (local.next != nullptr) local.next->previous = local.previous;
  }

  [[nodiscard]] uint32_t id() const { return id_; }
  [[nodiscard]] HeapCore& core() { return core_; }
  [[nodiscard]] SourcePlace where() const { return where_; }
  /// The finalizer thread's.
  [[nodiscard]] bool belongs_to_collector() const { return where_.line == 0; }
  /// One past the highest address of the thread's stack.
  [[nodiscard]] uintptr_t stack_base() const { return stack_base_; }
  [[nodiscard]] const char* name() const { return name_.c_str(); }
  /// The system's number of the thread.
  [[nodiscard]] int thread_id() const { return thread_id_; }
  [[nodiscard]] const RecentEvents& recent() const { return recent_; }

 private:
  friend class World;
  friend class HeapCore;
  friend class Cycle;
  friend class MutatorScope;
  friend class Verifier;

  Mutator(HeapCore& core, uint32_t id, std::string name, SourcePlace where);

  void stand_at(uintptr_t sp);
  void run_region(void (*call)(void*), void* argument, uintptr_t sp);
  void record_interruption(int64_t begin_ns, int64_t waited_ns);
  __attribute__((noinline)) void poll_slow();
  __attribute__((noinline)) void* allocate_slow(LayoutId layout);

  HeapCore& core_;
  // [world.pending], [world.state]: see collector/world/world.h.
  Atomic<uint32_t> pending_{0};
  Atomic<uint32_t> state_{0};
  ThreadCache cache_;
  Marker marker_;
  BarrierState* barrier_ = nullptr;  // the thread's t_barrier
  BarrierState::Buffer barrier_buffer_;
  LocalLink* locals_ = nullptr;
  bool attached_closed_ = false;  // after fork(), by the child: not in the registry
  bool in_region_ = false;        // of blocking(); owner only
  uintptr_t stack_base_ = 0;      // highest address
  uintptr_t stopped_sp_ = 0;      // owner: before it stands; then the collector's to read
  void* fake_stack_ = nullptr;    // AddressSanitizer's, of this thread
  double assist_debt_ = 0;        // bytes of scan work owed; owner only
  uint64_t unlooked_bytes_ = 0;   // allocated since this thread looked at the memory limit
  uint64_t unrevised_bytes_ = 0;  // and since it adjusted the assist ratio
  uint64_t stress_left_ = 0;
  uint32_t weak_cycle_ = 0;   // the last mark that this thread knows to be over: binds Weak::lock()
  uint64_t black_bytes_ = 0;  // born marked in this cycle; taken by the collector while it holds the thread
  uint64_t black_objects_ = 0;
  int64_t own_stack_ns_ = 0;  // scanning the own stack, since the last interruption was recorded
  const uint32_t id_;
  const std::string name_;
  const int thread_id_;
  const SourcePlace where_;  // of the MutatorScope
  RecentEvents recent_;
  AlternateStack crash_stack_;
  void* listener_data_ = nullptr;
};

/// Attaches the calling thread for the scope's life. Precondition: the thread is not attached. Waits for a
/// stop or handshake in progress.
class MutatorScope {
 public:
  explicit MutatorScope(Heap& heap, std::string name = "mutator", SourcePlace where = SourcePlace::here());
  ~MutatorScope();
  MutatorScope(const MutatorScope&) = delete;
  MutatorScope& operator=(const MutatorScope&) = delete;
};

/// Runs f in a blocking region if the thread is attached (else just runs it): system calls, locks, sleeps.
/// Pointers of the caller stay alive; f itself must not touch the heap. Exceptions pass through. Regions
/// nest: the outermost one counts.
template <typename F>
auto blocking(F&& f) -> decltype(f()) {
  Mutator* self = Mutator::current();
  if (self == nullptr) return f();
  using R = decltype(f());
  if constexpr (std::is_void_v<R>) {
    self->run_blocked([](void* p) { (*static_cast<std::remove_reference_t<F>*>(p))(); }, &f);
  } else {
    struct Call {
      std::remove_reference_t<F>* f;
      alignas(R) unsigned char result[sizeof(R)];
    } call{&f, {}};
    self->run_blocked(
        [](void* p) {
          auto* c = static_cast<Call*>(p);
          new (c->result) R((*c->f)());
        },
        &call);
    R* result = std::launder(reinterpret_cast<R*>(call.result));
    R value = std::move(*result);
    result->~R();
    return value;
  }
}

/// A safepoint on request, for loops that do not allocate.
inline void safepoint() {
  if (Mutator* self = Mutator::current()) self->safepoint();
}

}  // namespace keel
