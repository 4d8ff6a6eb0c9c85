// The gateway of allocation and what handshakes do to a mutator; see heap_core.h.
#include "collector/cycle/heap_core.h"

#include <algorithm>
#include <cstring>

#include "allocator/base/clock.h"
#include "allocator/base/defects.h"
#include "allocator/base/machine.h"
#include "allocator/base/os_memory.h"
#include "allocator/base/race_points.h"
#include "collector/roots/fake_stack.h"
#include "collector/roots/stack_base.h"

namespace keel {
namespace {

// An assist does at least this much scan work, so that entering it pays; what it does beyond the debt is
// credit. measured: 16 KiB is ~10 us on the reference machine, small against a time slice.
constexpr double kAssistQuantum = 16 * 1024;
// How much a mutator allocates while marking before it adjusts the assist ratio: the cycle thread, which does
// so every millisecond, may wait for a core (Go: every span).
constexpr uint64_t kReviseBytes = 32 * kKiB;
// A mutator that waits looks again this often: whether there is something it can scan itself, and whether the
// collector is waiting for another one.
constexpr int64_t kLookAgainNs = 1'000'000;
// Those who wait for the collector go on when it has been waiting for one mutator for so long: that one is
// away from its safepoints, and must not stop the others.
constexpr int64_t kMostAbsenceNs = 20'000'000;
// Under stress, holes are this small, so that the slow path runs often.
constexpr uint32_t kStressHoleSlots = 8;
constexpr const char* kDoesNotFit = "does not fit after a collection";

PacerConfig pacer_config(const HeapConfig& c) {
  PacerConfig pacing;
  pacing.rule = c.goal;
  pacing.gogc_percent = c.gogc_percent;
  pacing.fixed_bytes = c.fixed_goal_bytes;
  pacing.membalancer_price = c.membalancer_per_mib / static_cast<double>(kMiB);
  pacing.memory_limit_bytes = c.memory_limit_bytes;
  return pacing;
}

// Bytes of a hole or a large object that may hold pointers.
uint64_t scannable_bytes(const Layout& layout, uint64_t bytes) {
  if (layout.noscan()) return 0;
  if (layout.large()) return bytes;
  return bytes / layout.slot_bytes * layout.prefix_words * kWordBytes;
}

}  // namespace

HeapCore::HeapCore(Heap& h, const HeapConfig& c)
    : heap(h),
      config(c),
      barrier(*find_barrier(c.barrier)),
      memory({c.range_bytes, c.max_heap_bytes, c.huge_pages, c.debug.poison}),
      pool(c.grey_chunks),
      finalizers(*this),
      specials(memory, finalizers),
      pacer(pacer_config(c)),
      keeper(memory, pacer, allocated.bytes, usable_cores()) {
  if (config.debug.checkmark) config.record_roots = true;
  set_race_yields(config.debug.stress != 0 ? 64 : 0);
  sweeper = std::make_unique<Sweeper>(memory, specials);
  memory.set_sweep_hook(sweeper.get());
  memory.set_away_hook(&away);
  const int cores = usable_cores();
  const auto count = config.mark_workers != 0 ? config.mark_workers : static_cast<uint32_t>(cores);
  workers = std::make_unique<MarkWorkers>(memory, pool, world, assists, cores, count);
  cycle = std::make_unique<Cycle>(*this);
}

std::array<Mutex*, 5> HeapCore::fork_locks() {
  return {&finalizers.fork_lock(), &roots.fork_lock(), &layouts_fork_lock(), &memory.pages().fork_lock(),
          &cycle->fork_lock()};
}

// Rule 10. Only the forking thread exists in the child, locks may be held by threads that do not, and nobody
// collects: the heap is closed. Reading it works; allocation throws, leaving and closing touch nothing.
// Whatever the collector wanted of this thread, or was doing for it, is nobody's business any more.
void HeapCore::close_after_fork() {
  closed = true;
  t_barrier.marking = t_barrier.stack_grey = false;
  t_barrier.next = t_barrier.buffer;
  if (t_mutator == nullptr) return;
  if (!defect(Defect::kForkWithStopPending)) World::abandon(*t_mutator, t_mutator->in_region_);
  t_mutator->cache_.abandon();
}

void HeapCore::check_open() const {
  if (closed) throw OutOfMemory("the heap is closed in a child after fork(): no collector runs here");
}

HeapCore::~HeapCore() {
  finalizers.stop();
  cycle->stop();
  cycle.reset();
  workers.reset();
  sweeper.reset();
}

void HeapCore::attach(std::string name, SourcePlace where) {
  if (t_mutator != nullptr) {
    misuse(where, 0, "attach: this thread is attached already, as '%s', since %s:%d", t_mutator->name(),
           t_mutator->where_.file, t_mutator->where_.line);
  }
  const uint32_t id = next_mutator.fetch_add(1, std::memory_order_relaxed);
  auto owned = std::unique_ptr<Mutator>(new Mutator(*this, id, std::move(name), where));
  Mutator& self = *owned;
  self.stack_base_ = stack_base_of_this_thread();
  self.barrier_ = &t_barrier;
  if (closed) {
    attach_closed(std::move(owned));
    return;
  }
  t_barrier.sink = &self.marker_;
  t_barrier.use(self.barrier_buffer_, config.debug.stress != 0 ? 2 : BarrierState::kCapacity);
  t_barrier.slow = barrier.slow_path;
  if (config.debug.stress != 0) self.cache_.limit_holes(std::min(config.debug.stress, kStressHoleSlots));
  self.stress_left_ = config.debug.stress;
  if (config.listener != nullptr) self.listener_data_ = config.listener->on_attach(id, self.name_.c_str());
  struct Told {  // the listener, of a thread that did not attach after all
    GcListener* listener;
    void* data;
    ~Told() {
      if (listener != nullptr) listener->on_detach(data);
    }
  } told{config.listener, self.listener_data_};
  // A thread that attaches while marking takes its state under the registry lock: every begun round is
  // acknowledged, its stack is empty and so already black (rule 1).
  world.attach(std::move(owned), [this](Mutator& m) {
    m.cache_.set_cycle(memory.cycle());
    m.weak_cycle_ = memory.cycle() + (phase == Phase::kEnding ? 1 : 0);
    if (phase != Phase::kOff && phase != Phase::kEnding && !defect(Defect::kAttachedWithoutBarrier))
      raise_barrier(m);
    if (phase >= Phase::kBlack && !defect(Defect::kAttachedWhite)) begin_black(m);
    if (phase >= Phase::kMark) m.barrier_->stack_grey = false;
    attached.fetch_add(1, std::memory_order_relaxed);
  });
  told.listener = nullptr;
  self.recent_.add("attached", memory.cycle(), now_ns());
  t_mutator = &self;
}

// In a child after fork(): the thread may hold Roots and is refused memory; the registry is not told.
void HeapCore::attach_closed(std::unique_ptr<Mutator> self) {
  self->attached_closed_ = true;
  t_mutator = self.release();
}

void HeapCore::detach() {
  Mutator& self = *t_mutator;
  if (closed) {
    // The registry's own may be in the middle of anything, and stay.
    t_mutator = nullptr;
    if (self.attached_closed_) delete &self;
    return;
  }
  self.refuse_in_region("detach", self.where_);
  if (self.locals_ != nullptr) {
    misuse(
        self.locals_->where.place(), self.locals_->pointer,
        "detach: thread '%s' still holds a local made here; locals must go before the MutatorScope (%s:%d)",
        self.name_.c_str(), self.where_.file, self.where_.line);
  }
  GcListener* listener = config.listener;
  void* listener_data = self.listener_data_;
  t_mutator = nullptr;
  // No T* survives detaching: from here on the stack is empty to the collector.
  self.stopped_sp_ = self.stack_base_;
  self.fake_stack_ = nullptr;
  world.detach(self, [this](Mutator& m) {
    if (phase != Phase::kOff) {
      if (!defect(Defect::kLeavesWithItsGrey)) hand_in_grey(m, false);
      m.barrier_->marking = m.barrier_->stack_grey = false;
    }
    pacer.subtract_live(m.cache_.flush());
    take_counts(m);
    gather(m);
    attached.fetch_sub(1, std::memory_order_relaxed);
  });
  if (listener != nullptr) listener->on_detach(listener_data);
}

Marker* HeapCore::active_marker(Mutator& self) { return self.barrier_->marking ? &self.marker_ : nullptr; }

void HeapCore::set_phase(Phase next) {
  phase = next;
  marking.store(next != Phase::kOff && next != Phase::kBarrier, std::memory_order_relaxed);
}

void HeapCore::raise_barrier(Mutator& m) {
  m.marker_.begin_cycle();
  m.marker_.reset_stack_counts();
  m.barrier_->shaded = m.barrier_->flushes = 0;
  m.barrier_->stack_grey = true;
  m.barrier_->marking = barrier.traits.concurrent;
}

// Holes published, allocation black.
void HeapCore::begin_black(Mutator& m) {
  take_counts(m);
  m.black_bytes_ = m.black_objects_ = 0;
  m.assist_debt_ = 0;
  m.cache_.begin_black();
  take_counts(m);
}

// This stack: once, or again if the barrier leaves stacks grey.
void HeapCore::scan_roots(Mutator& m) {
  race_point(RacePoint::kBeforeStackScan);
  const int64_t begin = now_ns();
  std::vector<RootHit> own_hits;
  if (config.record_roots) m.marker_.record_hits(&own_hits);
  if (config.roots == Roots::kPrecise) {
    for (LocalLink* local = m.locals_; local != nullptr; local = local->next) {
      if (defect(Defect::kLocalSkipped) && local == m.locals_) continue;
      m.marker_.visit(local->pointer);
    }
  } else {
    const auto* sp = reinterpret_cast<const uintptr_t*>(round_up(m.stopped_sp_, kWordBytes));
    const auto* base = reinterpret_cast<const uintptr_t*>(m.stack_base_);
    m.marker_.scan_stack_words(sp, base);
    scan_fake_frames(m.marker_, m.fake_stack_, sp, base);
  }
  m.marker_.record_hits(nullptr);
  m.marker_.flush();
  const bool again = !m.barrier_->stack_grey;
  m.barrier_->stack_grey = false;
  {
    MutexLock lock(gathered_mu);
    gathered.stack_words += m.marker_.stack_words();
    if (again) gathered.rescanned_words += m.marker_.stack_words();
    gathered.stack_hits += m.marker_.stack_hits();
    hits.insert(hits.end(), own_hits.begin(), own_hits.end());
  }
  m.marker_.reset_stack_counts();
  m.own_stack_ns_ += now_ns() - begin;
}

void HeapCore::hand_in_grey(Mutator& m, bool rescan) {
  if (!defect(Defect::kNoFlushAtTermination)) m.barrier_->flush();
  if (rescan && !defect(Defect::kStackNotRescanned)) scan_roots(m);
  m.marker_.flush();
}

// Nothing is grey: what the barrier still holds is marked, and black objects born up to here are counted.
void HeapCore::lower_barrier(Mutator& m) {
  m.barrier_->flush();
  KEEL_DCHECK(!m.marker_.holds_work(), "mark termination: mutator %u holds grey objects", m.id_);
  m.barrier_->marking = m.barrier_->stack_grey = false;
  m.weak_cycle_ = memory.cycle() + 1;
  take_counts(m);
  gather(m);
}

// The mutator's sums of this cycle go to the cycle's.
void HeapCore::gather(Mutator& m) {
  MutexLock lock(gathered_mu);
  gathered.marks.add(m.marker_.take_counts());
  gathered.black_bytes += std::exchange(m.black_bytes_, 0);
  gathered.black_objects += std::exchange(m.black_objects_, 0);
  gathered.shaded += std::exchange(m.barrier_->shaded, 0);
  gathered.flushes += std::exchange(m.barrier_->flushes, 0);
}

void HeapCore::retire_cache(Mutator& m, uint32_t next) {
  m.cache_.flush();
  take_counts(m);
  gather(m);
  m.cache_.set_cycle(next);
}

void HeapCore::take_counts(Mutator& m) {
  m.cache_.publish();
  const AllocationCounts counts = m.cache_.take_counts();
  allocated.bytes.fetch_add(counts.bytes, std::memory_order_relaxed);
  allocated.objects.fetch_add(counts.objects, std::memory_order_relaxed);
  m.black_bytes_ += counts.black_bytes;
  m.black_objects_ += counts.black_objects;
}

// As Go's gcAssistAlloc(): pays with the credit of background workers, else by scanning; if there is neither
// and the heap is past its goal, waits until somebody has paid or marking is over. No debt is forgiven.
void HeapCore::assist(Mutator& self) {
  if (self.assist_debt_ <= 0) return;
  if (keeper.limiting()) {
    self.assist_debt_ = 0;
    return;
  }
  self.assist_debt_ -= pacer.steal_credit(self.assist_debt_);
  if (self.assist_debt_ <= 0) return;
  const int64_t begin = now_ns();
  const uint32_t in_cycle = memory.cycle() + 1;
  uint64_t scanned = 0;
  for (;;) {
    scanned += scan_for_debt(self);
    if (self.assist_debt_ <= 0 || !must_wait()) break;
    wait_for_credit(self);
  }
  const int64_t duration = now_ns() - begin;
  self.recent_.add(to_string(PauseKind::kAssist), in_cycle, begin, duration);
  if (config.listener == nullptr) return;
  PauseRecord pause;
  pause.cycle = in_cycle;
  // An interruption in which it scanned nothing is one of waiting.
  pause.kind = scanned != 0 ? PauseKind::kAssist : PauseKind::kAllocationStall;
  pause.thread = self.id_;
  pause.begin_ns = begin;
  pause.duration_ns = duration;
  config.listener->on_pause(self.listener_data_, pause);
}

// Scans what the pool has, as long as it owes. The time counts as the collector's, waiting does not (Go's
// assistTime).
uint64_t HeapCore::scan_for_debt(Mutator& self) {
  uint64_t scanned = 0;
  const uint32_t in_cycle = memory.cycle() + 1;
  const int64_t begin = now_ns();
  while (self.assist_debt_ > 0 && marking.load(std::memory_order_relaxed) && pool.try_become_busy()) {
    const uint64_t done = self.marker_.drain(
        static_cast<uint64_t>(std::max(kAssistQuantum, std::min(self.assist_debt_, 4 * kAssistQuantum))));
    self.marker_.flush();
    pool.become_idle();
    if (done == 0) break;  // somebody else was there first
    self.assist_debt_ -= static_cast<double>(done);
    scanned += done;
    assist_scan_bytes.fetch_add(done, std::memory_order_relaxed);
    self.safepoint();
  }
  if (scanned == 0) return 0;
  const int64_t used = now_ns() - begin;
  keeper.add_assist(used);
  if (memory.cycle() + 1 == in_cycle) {
    gathered_assist_ns.fetch_add(static_cast<uint64_t>(used), std::memory_order_relaxed);
  }
  return scanned;
}

// Waiting makes sense: somebody marks, and the collector does not wait for a mutator that is away. And it is
// needed: the heap is past its goal; before, a debt is kept and that is all (Go's assists wait then, too).
bool HeapCore::must_wait() const {
  return marking.load(std::memory_order_relaxed) && pacer.live_bytes() > pacer.goal_bytes() &&
         assists.is_open() && !keeper.limiting() && world.away_ns() < kMostAbsenceNs;
}

// In a blocking region: the collector does for this thread what it asks of all. Workers go all out meanwhile.
void HeapCore::wait_for_credit(Mutator& self) {
  AssistQueue::Debtor debtor(assists, self.assist_debt_);
  workers->hurry();
  // With many in the queue most wake up for nothing: they look less often.
  const int64_t most = kLookAgainNs * (1 + assists.debtors() / 4);
  blocking([&debtor, most] { debtor.sleep(most); });
  self.assist_debt_ = debtor.leave();
}

// The heap is past its goal and marking has not begun, though it was asked for: the cycle thread waits for a
// core, or for a mutator. Leaves the core to it.
void HeapCore::wait_for_mark(Mutator& self) {
  const int64_t begin = now_ns();
  while (cycle->requested() && !marking.load(std::memory_order_relaxed) && !cycle->put_off() &&
         world.away_ns() < kMostAbsenceNs) {
    blocking([this] { cycle->wait_until_marking(kLookAgainNs); });
  }
  record_pause(self, PauseKind::kAllocationStall, begin);
}

// Sweeps as many spans as this allocation owes.
void HeapCore::sweep_share(Mutator& self, uint64_t bytes) {
  const double owed = pacer.sweep_ratio() * static_cast<double>(bytes);
  int spans = static_cast<int>(std::min(owed + 0.5, 64.0));
  if (spans <= 0) return;
  const int64_t begin = now_ns();
  // Looked at again each time: sweeping a large span has a blocking region, in which marking may begin.
  for (; spans > 0 && !marking.load(std::memory_order_relaxed); --spans) {
    if (!memory.sweep_one(self.cache_.cycle())) {
      pacer.set_sweep_ratio(0);
      break;
    }
  }
  record_pause(self, PauseKind::kSweep, begin);
}

void HeapCore::record_pause(Mutator& self, PauseKind kind, int64_t begin_ns) {
  const int64_t end_ns = now_ns();
  self.recent_.add(to_string(kind), memory.cycle() + 1, begin_ns, end_ns - begin_ns);
  if (config.listener == nullptr) return;
  PauseRecord pause;
  pause.cycle = memory.cycle() + 1;
  pause.kind = kind;
  pause.thread = self.id_;
  pause.begin_ns = begin_ns;
  pause.duration_ns = end_ns - begin_ns;
  config.listener->on_pause(self.listener_data_, pause);
}

// What `take` takes, or nothing: then two collections that began after the request have not made room for it.
// Two, because what a finalizer held goes with the second.
template <typename Take>
auto HeapCore::take_room(Mutator& self, Take&& take) {
  auto taken = decltype(take()){};
  if (!room.shut()) taken = take();  // no safepoint since the look at the gate [room.gate]
  if (taken) return taken;
  const int64_t begin = now_ns();
  {
    RoomQueue::Place place(room, cycle->begun());
    blocking([&place] { place.wait_for_turn(); });
    while (!(taken = take()) && !place.refused(cycle->swept())) {
      blocking([this] { cycle->collect(); });
    }
    if (taken) place.served(cycle->begun());
  }
  record_pause(self, PauseKind::kAllocationStall, begin);
  return taken;
}

void HeapCore::stress(Mutator& self) {
  const uint64_t slots = std::min<uint64_t>(config.debug.stress, kStressHoleSlots);
  self.stress_left_ -= std::min(self.stress_left_, slots);
  if (self.stress_left_ != 0) return;
  self.stress_left_ = config.debug.stress;
  blocking([this] { cycle->collect(); });
}

void HeapCore::account(Mutator& self, const Layout& layout, uint64_t bytes) {
  if (pacer.add_live(bytes, scannable_bytes(layout, bytes))) {
    cycle->request(pacer.limited() ? CycleTrigger::kMemoryLimit : CycleTrigger::kHeap);
  }
  if (self.cache_.cycle() != memory.cycle()) next_cycle_bytes.fetch_add(bytes, std::memory_order_relaxed);
  self.unlooked_bytes_ += bytes;
  if (self.unlooked_bytes_ >= MemoryKeeper::kLookBytes) {
    self.unlooked_bytes_ = 0;
    keeper.look();
  }
}

// What an allocation owes the cycle that marks.
void HeapCore::charge(Mutator& self, uint64_t bytes) {
  if (!config.assists || !marking.load(std::memory_order_relaxed)) return;
  self.unrevised_bytes_ += bytes;
  if (self.unrevised_bytes_ >= kReviseBytes) {
    self.unrevised_bytes_ = 0;
    revise_ratio();
  }
  self.assist_debt_ += static_cast<double>(bytes) * pacer.ratio();
}

void HeapCore::revise_ratio() {
  pacer.revise(workers->scanned_bytes() + assist_scan_bytes.load(std::memory_order_relaxed));
}

// What an allocation owes before it takes memory. It may block: nothing may be held that a collection would
// take back.
void HeapCore::pay(Mutator& self) {
  if (marking.load(std::memory_order_relaxed)) {
    assist(self);
  } else if (cycle->requested() && pacer.live_bytes() > pacer.goal_bytes()) {
    wait_for_mark(self);
  }
}

void HeapCore::refill(Mutator& self, LayoutId layout) {
  check_open();
  if (config.debug.stress != 0) stress(self);
  pay(self);
  if (!marking.load(std::memory_order_relaxed)) sweep_share(self, kPageBytes);
  const size_t bytes = take_room(self, [&] { return self.cache_.refill(layout); });
  if (bytes == 0) throw_out_of_memory(layout_of(layout).slot_bytes, kDoesNotFit);
  take_counts(self);
  account(self, layout_of(layout), bytes);
  charge(self, bytes);
}

void* HeapCore::allocate_large(Mutator& self, LayoutId layout, uint64_t bytes) {
  check_open();
  if (bytes > memory.table().range_bytes()) throw_out_of_memory(bytes, "is more than the heap has addresses");
  if (config.debug.stress != 0) stress(self);
  charge(self, bytes);
  pay(self);
  void* object = take_room(self, [&] { return self.cache_.allocate_large(layout, bytes); });
  if (object == nullptr) throw_out_of_memory(bytes, kDoesNotFit);
  take_counts(self);
  account(self, layout_of(layout), round_up(bytes, kPageBytes));
  return object;
}

void HeapCore::throw_out_of_memory(uint64_t bytes, const char* why) {
  char commit[128];
  const PageHeapStats pages = memory.pages().stats();
  std::string text = "out of memory: " + format_size(bytes) + " " + why;
  if (config.max_heap_bytes != 0) text += "; --max-heap is " + format_size(config.max_heap_bytes);
  const HeapStats s = stats();
  text += "; heap: " + human_size(static_cast<double>(pages.in_use_bytes)) + " in spans, " +
          human_size(static_cast<double>(s.heap_alloc_bytes)) + " allocated in " +
          std::to_string(s.heap_objects) + " objects, " + std::to_string(s.num_gc) + " collections, " +
          human_size(static_cast<double>(pages.reserved_bytes - pages.committed_bytes)) +
          " of addresses left";
  if (const int error = memory.pages().last_error())
    text += std::string("; mprotect: ") + std::strerror(error);
  if (*os::describe_commit_limit(commit, sizeof commit) != 0) text += std::string("; ") + commit;
  throw OutOfMemory(text);
}

HeapStats HeapCore::stats() const {
  const PageHeapStats pages = memory.pages().stats();
  HeapStats s;
  // Freed first: what is freed was allocated before.
  const uint64_t freed_bytes = memory.freed().bytes.load(std::memory_order_relaxed);
  s.frees = memory.freed().objects.load(std::memory_order_relaxed);
  s.total_alloc_bytes = std::max(freed_bytes, allocated.bytes.load(std::memory_order_relaxed));
  s.mallocs = std::max(s.frees, allocated.objects.load(std::memory_order_relaxed));
  s.heap_alloc_bytes = s.total_alloc_bytes - freed_bytes;
  s.heap_objects = s.mallocs - s.frees;
  s.heap_sys_bytes = pages.committed_bytes;
  s.heap_in_use_bytes = pages.in_use_bytes;
  s.heap_idle_bytes = pages.committed_bytes - pages.in_use_bytes;
  s.heap_released_bytes = pages.released_bytes;
  const HeapMemory::MetadataBytes tables = memory.metadata_by_kind();
  s.gc_sys_bytes = tables.bits;
  s.span_in_use_bytes = tables.spans;
  s.span_sys_bytes = tables.spans;
  s.other_sys_bytes = tables.page_table;
  s.cache_bytes = ThreadCache::kMetadataBytes * attached.load(std::memory_order_relaxed);
  for (size_t i = 1; i < kSizeClassCount; ++i) {
    const HeapMemory::SizeCounts& counts = memory.by_size(i);
    const uint64_t frees = counts.frees.load(std::memory_order_relaxed);
    s.by_size.push_back(
        {kSizeClasses[i].slot_bytes, std::max(frees, counts.mallocs.load(std::memory_order_relaxed)), frees});
  }
  s.reserved_bytes = pages.reserved_bytes;
  s.reserved_unused_bytes = pages.reserved_bytes - pages.committed_bytes;
  s.next_gc_bytes = pacer.goal_bytes();
  s.heap_live_bytes = pacer.live_bytes();
  s.finalizers = finalizers.counts();
  s.last_gc_unix_ns = cycle->last_gc_unix_ns();
  s.pause_total_ns = cycle->pause_total_ns();
  s.num_gc = cycle->completed();
  s.num_forced_gc = cycle->forced();
  s.gc_cpu_fraction = cycle->gc_cpu_fraction();
  s.gc_cpu_ns = cycle->total_cpu_ns();
  return s;
}

}  // namespace keel
