// Heap: the public face of HeapCore; see collector/api/heap.h.
#include "collector/api/heap.h"

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "allocator/base/atomic.h"
#include "allocator/base/out_of_memory.h"
#include "barriers/api/barrier_list.h"
#include "collector/api/leak_check.h"
#include "collector/api/misuse.h"
#include "collector/cycle/heap_core.h"
#include "collector/verify/verifier.h"

// For debuggers (scripts/keel_gdb.py) only: the heap of this process.
extern "C" {
keel::HeapCore* keel_debug_core = nullptr;
}

namespace keel {
namespace {
// relaxed [heap.current]: set before any mutator exists, cleared after the last has gone.
Atomic<Heap*> g_current{nullptr};

// The heap that fork() closes in the child. Its lock is the first that fork() takes, so a heap is whole or
// not there when it looks.
struct Forkable {
  Mutex mu{LockRank::kFork};
  HeapCore* core KEEL_GUARDED_BY(mu) = nullptr;
};
Forkable& forkable() {
  static Forkable* instance = new Forkable;  // never destroyed: fork() may come at any time
  return *instance;
}
void set_forkable(HeapCore* core) {
  MutexLock lock(forkable().mu);
  forkable().core = core;
}

void before_fork() KEEL_NO_THREAD_SAFETY_ANALYSIS {
  forkable().mu.lock();
  if (forkable().core == nullptr) return;
  for (Mutex* mu : forkable().core->fork_locks()) mu->lock();
}
void after_fork_in_parent() KEEL_NO_THREAD_SAFETY_ANALYSIS {
  if (forkable().core != nullptr) {
    for (Mutex* mu : forkable().core->fork_locks()) mu->unlock();
  }
  forkable().mu.unlock();
}
void after_fork_in_child() KEEL_NO_THREAD_SAFETY_ANALYSIS {
  if (forkable().core != nullptr) forkable().core->close_after_fork();
  after_fork_in_parent();
}
}  // namespace

Result<bool> HeapConfig::check() const {
  const BarrierKind* kind = find_barrier(barrier);
  if (kind == nullptr) return Error{"option --barrier: '" + barrier + "' is not one of " + barrier_names()};
  if (transitions != "stw" && transitions != "handshake") {
    return Error{"option --transitions: '" + transitions + "' is not one of stw, handshake"};
  }
  if (transitions == "handshake" && !kind->traits.sound_with_handshake) {
    const char* why = kind->traits.concurrent
                          ? "it needs all stacks at one instant, and a ragged snapshot is no snapshot"
                          : "nothing shades a pointer that a store hides, so it marks inside one stop";
    return Error{"option --barrier: '" + barrier + "' is unsound with --transitions handshake: " + why +
                 "; use stw"};
  }
  if (gogc_percent != kGogcOff && (gogc_percent < 0 || gogc_percent > kMaxGogc)) {
    return Error{"option --gogc: " + std::to_string(gogc_percent) + " is outside [0, 1000000] and not off"};
  }
  if (goal == GoalRule::kFixed && fixed_goal_bytes == 0)
    return Error{"option --goal: fixed=0B is outside [1B, ...]"};
  if (goal == GoalRule::kMembalancer && !(membalancer_per_mib > 0)) {
    return Error{"option --goal: membalancer=C needs C > 0 (in 1/MiB)"};
  }
  if (max_heap_bytes != 0 && memory_limit_bytes == 0)
    return Error{"option --memory-limit: 0B is outside [1B, ...]"};
  if (grey_chunks == 0) return Error{"grey_chunks: 0 is outside [1, 4294967295]"};
  return true;
}

Heap::Heap(const HeapConfig& config) {
  const Result<bool> checked = config.check();
  KEEL_CHECK(checked.ok(), "heap: %s", checked.error().c_str());
  forkable();  // before there is anything to undo
  Heap* none = nullptr;
  const bool first = g_current.compare_exchange_strong(none, this, std::memory_order_relaxed);
  KEEL_CHECK(first, "heap: another heap exists in this process");
  try {
    core_ = std::make_unique<HeapCore>(*this, config);
  } catch (...) {
    g_current.store(nullptr, std::memory_order_relaxed);
    throw;
  }
  keel_debug_core = core_.get();
  static const int registered = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  KEEL_CHECK(registered == 0, "heap: pthread_atfork: error %d", registered);
  set_forkable(core_.get());
}

Heap::~Heap() {
  if (core_->closed) {
    // A child after fork: the collector's threads are not here to be joined.
    set_forkable(nullptr);
    static_cast<void>(core_.release());
    keel_debug_core = nullptr;
    g_current.store(nullptr, std::memory_order_relaxed);
    return;
  }
  if (core_->config.debug.leakcheck) {
    LeakOptions options;
    options.collect = false;
    options.patience_ns = 0;
    or_give_up([&] {
      const std::vector<Leak> leaks = wait_for_no_leaks(*this, options);
      if (!leaks.empty()) {
        std::fprintf(stderr, "keel: leak check: %zu left when the heap closes:\n%s", leaks.size(),
                     to_string(leaks).c_str());
      }
    });
  }
  // While current() still answers: functions that run or go now may ask for it.
  core_->finalizers.stop();
  set_forkable(nullptr);
  keel_debug_core = nullptr;
  core_.reset();
  g_current.store(nullptr, std::memory_order_relaxed);
}

Heap* Heap::current() { return g_current.load(std::memory_order_relaxed); }

const HeapConfig& Heap::config() const { return core_->config; }

void Heap::collect() {
  if (core_->closed) return;
  blocking([this] { core_->cycle->collect(); });
}

int64_t Heap::set_gc_percent(int64_t percent) {
  KEEL_CHECK(percent >= HeapConfig::kGogcOff && percent <= HeapConfig::kMaxGogc,
             "set_gc_percent: %lld is outside [-1, 1000000]", static_cast<long long>(percent));
  if (core_->closed) return core_->pacer.gogc_percent();
  int64_t previous = 0;
  blocking([&] {
    core_->cycle->run_between([&] {
      previous = core_->pacer.gogc_percent();
      core_->pacer.set_gogc_percent(percent);
    });
  });
  return previous;
}

uint64_t Heap::set_memory_limit(uint64_t bytes) {
  if (core_->closed) return core_->pacer.memory_limit_bytes();
  uint64_t previous = 0;
  blocking([&] {
    core_->cycle->run_between([&] {
      previous = core_->pacer.memory_limit_bytes();
      core_->pacer.set_memory_limit(std::min(bytes, HeapConfig::kNoLimit));
      core_->keeper.update_goal();
    });
  });
  return previous;
}

void Heap::free_os_memory() {
  if (core_->closed) return;
  blocking([this] {
    core_->cycle->collect();
    // On this thread, beside whatever the cycle thread does: cycles begin meanwhile, and nobody waits for
    // one.
    core_->memory.pages().release_idle(0, ~uint64_t{0});
  });
}

void Heap::between_cycles(const std::function<void()>& work) {
  if (core_->closed) return work();  // no cycle ever comes
  blocking([&] { core_->cycle->run_between(work); });
}

bool Heap::run_finalizers(int64_t limit_ns) {
  if (core_->closed) return core_->finalizers.wait_until_empty(0);
  return blocking([&] { return core_->finalizers.wait_until_empty(limit_ns); });
}

HeapStats Heap::stats() const { return core_->stats(); }

std::vector<int64_t> pause_quantiles(std::vector<int64_t> pauses_ns, size_t count) {
  std::vector<int64_t> quantiles(count, 0);
  if (pauses_ns.empty() || count == 0) return quantiles;
  std::sort(pauses_ns.begin(), pauses_ns.end());
  for (size_t i = 0; i + 1 < count; ++i) quantiles[i] = pauses_ns[pauses_ns.size() * i / (count - 1)];
  quantiles.back() = pauses_ns.back();
  return quantiles;
}

GcStats Heap::gc_stats(size_t quantiles) const {
  GcStats stats = core_->cycle->recent_pauses();
  stats.pause_quantiles_ns = pause_quantiles(stats.pause_ns, quantiles);
  return stats;
}

std::vector<LayoutStats> Heap::layouts() {
  std::map<LayoutId, LayoutStats> by_layout;
  const auto walk = [&] {
    core_->memory.for_each_span([&](Span& span) {
      const Layout& layout = layout_of(span.layout);
      LayoutStats& s = by_layout[span.layout];
      const uint64_t slot_bytes = layout.large() ? span.object_bytes : layout.slot_bytes;
      ++s.spans;
      s.objects += span.live_slots;
      s.used_bytes += span.live_slots * slot_bytes;
      s.pointer_words += span.live_slots * pointer_words(layout, slot_bytes);
      s.waste_bytes += span.bytes() - span.live_slots * slot_bytes;
    });
  };
  // A closed heap stands still: as it was when its process was forked.
  core_->closed ? walk() : blocking([&] { core_->cycle->run_stopped(walk); });
  std::vector<LayoutStats> result;
  for (auto& [id, stats] : by_layout) {
    stats.layout = describe_layout(layout_of(id));
    result.push_back(std::move(stats));
  }
  return result;
}

std::string Heap::check() {
  if (core_->closed) return "not checked: the heap is closed in a child after fork()";
  std::string fault;
  blocking([&] { core_->cycle->run_stopped([&] { fault = Verifier(*core_).check_structure(); }); });
  return fault;
}

MutatorScope::MutatorScope(Heap& heap, std::string name, SourcePlace where) {
  heap.core().attach(std::move(name), where);
}
// A listener may need memory to let the thread go.
MutatorScope::~MutatorScope() {
  or_give_up([] { Mutator::current()->core().detach(); });
}

namespace detail {

void throw_beyond_addresses(size_t count, size_t size, size_t more) {
  std::string text = "out of memory: ";
  if (count != 1) text += std::to_string(count) + " x ";
  text += std::to_string(size) + " B";
  if (more != 0) text += " + " + std::to_string(more) + " B";
  throw OutOfMemory(text + " is more than there are addresses");
}

namespace {
Mutator& attached(const char* what, SourcePlace where = {"(no place known)", 0}) {
  Mutator* self = Mutator::current();
  if (self == nullptr) misuse(where, 0, "%s: this thread is not attached", what);
  self->refuse_in_region(what, where);
  return *self;
}
}  // namespace

void set_finalizer(void* object, const char* type, InlineFunction run, SourcePlace where) {
  Mutator& self = attached("set_finalizer", where);
  if (self.core().closed) return;  // nothing is ever found to be unreachable
  self.core().finalizers.start();
  self.core().specials.set_finalizer(object, type, std::move(run), where, HeapCore::active_marker(self));
}

bool clear_finalizer(void* object) {
  HeapCore& core = attached("clear_finalizer").core();
  return !core.closed && core.specials.clear_finalizer(object);
}

CleanupKey add_cleanup(void* pointer, const char* type, InlineFunction run, SourcePlace where) {
  Mutator& self = attached("add_cleanup", where);
  if (self.core().closed) return {};
  self.core().finalizers.start();
  return self.core().specials.add_cleanup(pointer, type, std::move(run), where);
}

void check_cleanup_argument(const void* object, const void* argument, SourcePlace where) {
  attached("add_cleanup", where).core().specials.check_cleanup_argument(object, argument, where);
}

void stop_cleanup(const CleanupKey& key) {
  HeapCore& core = attached("Cleanup").core();
  if (!core.closed) core.specials.stop_cleanup(key);
}

std::shared_ptr<WeakTarget> weak_target(void* pointer, uintptr_t& offset, SourcePlace where) {
  Mutator& self = attached("Weak", where);
  if (!self.core().closed) {
    return self.core().specials.weak_target(pointer, offset, HeapCore::weak_cycle(self), where);
  }
  // The table's lock may never be released here. Equal to its copies only.
  auto target = std::make_shared<WeakTarget>();
  offset = 0;
  // relaxed [weak.target]: never cleared.
  target->object.store(reinterpret_cast<uintptr_t>(pointer), std::memory_order_relaxed);
  return target;
}

uintptr_t lock_weak(WeakTarget& target) {
  Mutator& self = attached("Weak");
  // relaxed [weak.target]: in the child of a fork nothing is cleared any more, and no lock may be taken.
  if (self.core().closed) return target.object.load(std::memory_order_relaxed);
  return self.core().specials.lock_weak(target, HeapCore::weak_cycle(self), HeapCore::active_marker(self));
}

Slot* acquire_root_slot(SourcePlace where) { return attached("Root", where).core().roots.acquire(where); }

void release_root_slot(Slot* slot) { attached("Root").core().roots.release(slot); }

void check_root_use(SourcePlace where) { attached("Root", where); }

}  // namespace detail

const char* to_string(GoalRule rule) {
  switch (rule) {
    case GoalRule::kGogc:
      return "gogc";
    case GoalRule::kFixed:
      return "fixed";
    case GoalRule::kMembalancer:
      return "membalancer";
  }
  return "";
}

const char* to_string(CycleTrigger trigger) {
  switch (trigger) {
    case CycleTrigger::kHeap:
      return "heap";
    case CycleTrigger::kForced:
      return "forced";
    case CycleTrigger::kMemoryLimit:
      return "memory_limit";
    case CycleTrigger::kPeriodic:
      return "periodic";
  }
  return "";
}

const char* to_string(WorkerKind kind) {
  switch (kind) {
    case WorkerKind::kDedicated:
      return "dedicated";
    case WorkerKind::kFractional:
      return "fractional";
    case WorkerKind::kIdle:
      return "idle";
  }
  return "?";
}

const char* to_string(PauseKind kind) {
  switch (kind) {
    case PauseKind::kSweepTermination:
      return "sweep_termination";
    case PauseKind::kMarkTermination:
      return "mark_termination";
    case PauseKind::kHandshake:
      return "handshake";
    case PauseKind::kAssist:
      return "assist";
    case PauseKind::kSweep:
      return "sweep";
    case PauseKind::kAllocationStall:
      return "allocation_stall";
  }
  return "";
}

}  // namespace keel
