// Heap, address and threads; see heap_sections.h.
#include "collector/crash/heap_sections.h"

#include <optional>

#include "allocator/base/clock.h"
#include "allocator/base/poison.h"
#include "allocator/span/span_bits.h"
#include "collector/cycle/heap_core.h"

namespace keel {
namespace {

using Count = unsigned long long;  // what %llu takes

constexpr uint64_t kShownWords = 16;
// Spans of slots are shorter; a free page farther from its dead span's start keeps its secret.
constexpr uint64_t kLookBackPages = 64;

const char* to_string(HeapCore::Phase phase) {
  switch (phase) {
    case HeapCore::Phase::kOff:
      return "not marking";
    case HeapCore::Phase::kBarrier:
      return "starting: barriers go on";
    case HeapCore::Phase::kBlack:
      return "starting: allocation is black, stacks are scanned";
    case HeapCore::Phase::kMark:
      return "marking";
    case HeapCore::Phase::kEnding:
      return "ending: barriers are off, allocation is still black";
  }
  return "?";
}

const char* kind_of(const Layout& layout) {
  switch (layout.kind) {
    case MapKind::kNoscan:
      return "pointer-free";
    case MapKind::kAllPointers:
      return "all pointers";
    case MapKind::kOneUnit:
      return "pointers";
    case MapKind::kRepeated:
    case MapKind::kLong:
      return "array of units";
    case MapKind::kConservative:
      return "scanned conservatively";
  }
  return "?";
}

// "48 B, pointers in words 0 2 of 3": like describe_layout(), which allocates.
void write_layout(const Layout& layout, uint64_t slot_bytes, CrashWriter& out) {
  char words[256] = "";
  size_t used = 0;
  if (layout.kind == MapKind::kOneUnit || layout.kind == MapKind::kRepeated) {
    for (uint32_t i = 0; i < layout.unit_words && i < 64 && used + 8 < sizeof words; ++i) {
      if ((layout.bits >> i & 1) == 0) continue;
      const int n = std::snprintf(words + used, sizeof words - used, " %u", i);
      used += static_cast<size_t>(std::max(n, 0));
    }
  }
  out.line("  layout %u: %llu B a slot, %s%s%s", layout.id, static_cast<Count>(slot_bytes), kind_of(layout),
           used != 0 ? ", Ptr in words" : "", words);
}

void write_words(uintptr_t start, uint64_t bytes, uintptr_t address, CrashWriter& out) {
  const uint64_t words = bytes / kWordBytes;
  const uint64_t at = (address - start) / kWordBytes;
  const uint64_t first = words <= kShownWords || at < kShownWords / 2 ? 0 : at - kShownWords / 2;
  for (uint64_t i = first; i < words && i < first + kShownWords; ++i) {
    const uint64_t word = *reinterpret_cast<const volatile uint64_t*>(start + i * kWordBytes);
    out.line("  %c word %3llu  0x%016llx%s", i == at ? '>' : ' ', static_cast<Count>(i),
             static_cast<Count>(word), poisoned_address(word) != 0 ? "  poison" : "");
  }
}

// Reading words of a span that is gone: pages given back read as zero, so nothing is lost but the words.
void write_freed(const FreedSlots::Freed& freed, uintptr_t address, CrashWriter& out) {
  out.line("  FREE: the object at 0x%llx, byte %llu of it, was freed by the sweep of cycle %u",
           static_cast<Count>(freed.slot), static_cast<Count>(address - freed.slot), freed.cycle);
  write_layout(layout_of(freed.layout), freed.bytes, out);
  write_words(freed.slot, freed.bytes, address, out);
}

void write_free_page(const HeapCore& core, uintptr_t address, CrashWriter& out) {
  const PageTable& table = core.memory.table();
  out.line("  on a page that no span uses");
  const uint64_t page = table.page_of(address);
  for (uint64_t back = 0; back <= kLookBackPages && back <= page; ++back) {
    const Span& span = table.span_at(page - back);
    if (span.pages <= back || span.start != table.address_of(page - back)) continue;
    const Layout& layout = layout_of(span.layout);
    const uint64_t slot_bytes = layout.large() ? span.bytes() : layout.slot_bytes;
    out.line("  the last span here, at 0x%llx, went with all its objects in the sweep of cycle %u",
             static_cast<Count>(span.start), span.swept_cycle.load(std::memory_order_relaxed));
    write_layout(layout, slot_bytes, out);
    return;
  }
}

void write_slot(const HeapCore& core, const Span& span, uintptr_t address, CrashWriter& out) {
  const Layout& layout = layout_of(span.layout);
  const uint64_t slot_bytes = layout.large() ? span.bytes() : layout.slot_bytes;
  out.line("  span [0x%llx, 0x%llx): %u of %u slots live, swept in cycle %u%s",
           static_cast<Count>(span.start), static_cast<Count>(span.start + span.bytes()), span.live_slots,
           layout.slots, span.swept_cycle.load(std::memory_order_relaxed),
           span.cached.load(std::memory_order_relaxed) ? ", in a thread cache" : "");
  write_layout(layout, slot_bytes, out);
  const uint64_t slot = (address - span.start) / slot_bytes;
  if (slot >= layout.slots) {
    out.line("  behind the last slot");
    return;
  }
  const uint64_t page = core.memory.page_of(span);
  const bool allocated = test_bit(core.memory.alloc_bits(page), static_cast<uint32_t>(slot));
  const bool marked = test_bit(core.memory.mark_bits(page), static_cast<uint32_t>(slot));
  const uintptr_t start = span.start + slot * slot_bytes;
  out.line(
      "  slot %llu at 0x%llx, byte %llu of it: allocation bit %s%s, mark bit %s", static_cast<Count>(slot),
      static_cast<Count>(start), static_cast<Count>(address - start), allocated ? "set" : "clear",
      !allocated && span.cached.load(std::memory_order_relaxed) ? " (its owner may have handed it out since)"
                                                                : "",
      marked ? "set" : "clear");
  write_words(start, slot_bytes, address, out);
}

void write_events(const RecentEvents& events, CrashWriter& out) {
  const int64_t now = now_ns();
  events.for_each([&](const RecentEvents::Event& event) {
    char length[40] = "";
    if (event.duration_ns != 0) {
      std::snprintf(length, sizeof length, ", %lld us", static_cast<long long>(event.duration_ns / 1000));
    }
    out.line("    %8lld us ago  cycle %u  %s%s", static_cast<long long>((now - event.begin_ns) / 1000),
             event.cycle, event.what == nullptr ? "?" : event.what, length);
  });
}

const char* state_name(uint32_t state) {
  switch (state) {
    case World::kRunning:
      return "running";
    case World::kBlocked:
      return "blocked";
    case World::kHeld:
      return "held by the collector";
    default:
      return "?";
  }
}

}  // namespace

void write_heap_state(const HeapCore& core, CrashWriter& out) {
  out.line("heap: %s, %u cycles completed, barrier %s, transitions %s", to_string(core.phase),
           core.memory.cycle(), core.config.barrier.c_str(), core.config.transitions.c_str());
  out.line("  live %llu B, trigger %llu B, goal %llu B", static_cast<Count>(core.pacer.live_bytes()),
           static_cast<Count>(core.pacer.trigger_bytes()), static_cast<Count>(core.pacer.goal_bytes()));
  PageHeapStats pages;
  if (core.memory.pages().try_stats(pages)) {
    out.line("  in spans %llu B, mapped %llu B, released %llu B", static_cast<Count>(pages.in_use_bytes),
             static_cast<Count>(pages.committed_bytes), static_cast<Count>(pages.released_bytes));
  }
  const PageTable& table = core.memory.table();
  out.line("  range [0x%llx, 0x%llx)", static_cast<Count>(table.base()),
           static_cast<Count>(table.base() + table.range_bytes()));
}

void write_address(const HeapCore& core, uintptr_t address, CrashWriter& out) {
  const PageTable& table = core.memory.table();
  out.line("address 0x%llx:", static_cast<Count>(address));
  if (!table.contains(address)) {
    out.line("  not in the heap%s", address < kPageBytes ? ": a field of a null pointer" : "");
    return;
  }
  if (const FreedSlots* slots = core.memory.freed_slots()) {
    if (const std::optional<FreedSlots::Freed> freed = slots->find(address)) {
      write_freed(*freed, address, out);
      return;
    }
  }
  const Span* span = table.find(address);
  if (span == nullptr) {
    write_free_page(core, address, out);
  } else {
    write_slot(core, *span, address, out);
  }
}

void write_threads(const HeapCore& core, CrashWriter& out) {
  out.line("the cycle thread's last events:");
  write_events(core.cycle->recent(), out);
  core.world.for_each_without_lock([&out](const Mutator& mutator) {
    const uint32_t pending = World::pending(mutator);
    out.line("mutator %u '%s' (thread %d): %s%s%s%s", mutator.id(), mutator.name(), mutator.thread_id(),
             state_name(World::state(mutator)),
             (pending & World::kHandshake) != 0 ? ", owes a handshake" : "",
             (pending & World::kStop) != 0 ? ", is to stop" : "",
             &mutator == Mutator::current() ? "; the dying thread" : "");
    write_events(mutator.recent(), out);
  });
}

}  // namespace keel
