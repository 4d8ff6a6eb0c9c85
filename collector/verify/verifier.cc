// The second mark and the walk; see verifier.h.
#include "collector/verify/verifier.h"

#include <bit>

#include "allocator/base/os_memory.h"
#include "allocator/span/span_bits.h"
#include "collector/cycle/heap_core.h"
#include "collector/roots/stack_frame.h"

namespace keel {
namespace {

void (*g_before)(HeapCore&, void*) = nullptr;
void* g_before_context = nullptr;

struct Place {
  Span* span = nullptr;
  uint32_t slot = 0;
};

Place place_of(const HeapMemory& memory, uintptr_t pointer) {
  Span* span = memory.table().find(pointer);
  if (span == nullptr) return {};
  const Layout& layout = layout_of(span->layout);
  return {span, layout.large() ? 0 : layout.slot_of(pointer - span->start)};
}

std::string hex(uintptr_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%#zx", value);
  return text;
}

}  // namespace

void set_before_checkmark_for_testing(void (*hook)(HeapCore&, void*), void* context) {
  g_before = hook;
  g_before_context = context;
}

void hide_mark_for_testing(HeapCore& core, const void* object) {
  const Place at = place_of(core.memory, reinterpret_cast<uintptr_t>(object));
  clear_bits(core.memory.mark_bits(core.memory.page_of(*at.span)), at.slot, at.slot + 1);
}

Verifier::~Verifier() {
  if (seen_ != nullptr) os::unreserve(seen_, seen_words_ * sizeof(uint64_t));
}

uint64_t Verifier::resident_bytes() const {
  return os::resident_bytes(seen_, seen_words_ * sizeof(uint64_t));
}

void Verifier::reach(uintptr_t pointer, uintptr_t parent, uintptr_t field) {
  const PageTable& table = core_.memory.table();
  if (!table.contains(pointer)) return;
  const Place at = place_of(core_.memory, pointer);
  KEEL_CHECK_ABOUT(pointer, at.span != nullptr,
                   "checkmark: %#zx, field %#zx of parent %#zx, points into no span", pointer, field, parent);
  const Layout& layout = layout_of(at.span->layout);
  const uint64_t page = table.page_of(at.span->start);
  const bool allocated = at.slot < layout.slots && test_bit(core_.memory.alloc_bits(page), at.slot);
  KEEL_CHECK_ABOUT(
      pointer, allocated,
      "checkmark: %#zx, field %#zx of parent %#zx, points to a free slot (%s): its object was freed, or it "
      "is one past the end of one",
      pointer, field, parent, describe_layout(layout).c_str());
  const uintptr_t object = at.span->start + uint64_t{at.slot} * layout.slot_bytes;
  const uint64_t index = page * PageTable::kBitWordsPerPage + at.slot / 64;
  const uint64_t bit = uint64_t{1} << (at.slot % 64);
  KEEL_CHECK(index < seen_words_, "checkmark: %#zx is beyond the heap's frontier", object);
  if ((seen_[index] & bit) != 0) return;
  seen_[index] |= bit;
  seen_bytes_ += layout.large() ? at.span->bytes() : layout.slot_bytes;
  if (!test_bit(core_.memory.mark_bits(page), at.slot)) {
    const Place from = place_of(core_.memory, parent);
    const std::string parent_layout =
        from.span != nullptr ? describe_layout(layout_of(from.span->layout)) : std::string("a root");
    KEEL_CHECK_ABOUT(object, false,
                     "checkmark: cycle %u missed child %#zx (%s), field +%zu of parent %#zx (%s)",
                     core_.memory.cycle() + 1, object, describe_layout(layout).c_str(),
                     parent != 0 ? static_cast<size_t>(field - parent) : 0, parent, parent_layout.c_str());
  }
  if (!layout.noscan()) work_.push_back({parent, field, object});
}

void Verifier::scan(uintptr_t object) {
  const Place at = place_of(core_.memory, object);
  const Layout& layout = layout_of(at.span->layout);
  const bool bounded = layout.prefix_words != 0;
  const uint64_t words = bounded ? layout.prefix_words : at.span->object_bytes / kWordBytes;
  for (uint64_t i = 0; i < words; ++i) {
    const uint64_t in_unit = i % layout.unit_words;
    const uintptr_t field = object + i * kWordBytes;
    const uintptr_t value = reinterpret_cast<const Slot*>(field)->load_relaxed();
    switch (layout.kind) {
      case MapKind::kNoscan:
        return;
      case MapKind::kAllPointers:
        reach(value, object, field);
        break;
      case MapKind::kOneUnit:
      case MapKind::kRepeated:
        if ((layout.bits >> in_unit & 1) != 0) reach(value, object, field);
        break;
      case MapKind::kLong:
        if ((layout.long_bits[in_unit / 64] >> (in_unit % 64) & 1) != 0) reach(value, object, field);
        break;
      case MapKind::kConservative: {
        const Place target = place_of(core_.memory, value);
        if (target.span != nullptr && target.slot < layout_of(target.span->layout).slots &&
            test_bit(core_.memory.alloc_bits(core_.memory.page_of(*target.span)), target.slot)) {
          reach(value, object, field);
        }
        break;
      }
    }
  }
}

void Verifier::check_marks() {
  if (g_before != nullptr) g_before(core_, g_before_context);
  // A page more: never empty.
  seen_words_ = (core_.memory.pages().frontier_page() + 1) * PageTable::kBitWordsPerPage;
  seen_ = static_cast<uint64_t*>(os::reserve_metadata(seen_words_ * sizeof(uint64_t)));
  KEEL_CHECK(seen_ != nullptr, "checkmark: the system has no %zu bytes of addresses for a second mark",
             static_cast<size_t>(seen_words_ * sizeof(uint64_t)));
  core_.roots.scan([this](uintptr_t pointer) { reach(pointer, 0, 0); });
  // [rule 7] What a finalizable object reaches is marked, whether the object is or not.
  core_.specials.for_each_finalizable([this](uintptr_t object, bool queued) {
    if (queued) {
      reach(object, 0, 0);
    } else {
      scan(object);
    }
  });
  trace();
  const uint64_t from_roots = seen_bytes_;
  {
    MutexLock lock(core_.gathered_mu);
    for (const RootHit& hit : core_.hits) reach(hit.object, 0, hit.where);
  }
  core_.world.for_each_stopped([this](Mutator& m) {
    for (LocalLink* local = m.locals_; local != nullptr; local = local->next) {
      reach(local->pointer, 0, reinterpret_cast<uintptr_t>(&local->pointer));
    }
    if (core_.config.roots == Roots::kPrecise) return;
    for (uintptr_t at = round_up(m.stopped_sp_, kWordBytes); at < m.stack_base_; at += kWordBytes) {
      const Place target = place_of(core_.memory, read_stack_word(at));
      if (target.span == nullptr || target.slot >= layout_of(target.span->layout).slots) continue;
      const uint64_t page = core_.memory.page_of(*target.span);
      if (test_bit(core_.memory.alloc_bits(page), target.slot) &&
          !test_bit(core_.memory.mark_bits(page), target.slot)) {
        ++unmarked_stack_targets_;
      }
    }
  });
  trace();
  stack_only_bytes_ = seen_bytes_ - from_roots;
}

void Verifier::trace() {
  while (!work_.empty()) {
    const Reached next = work_.back();
    work_.pop_back();
    scan(next.object);
  }
}

std::string Verifier::check_structure() {
  HeapMemory& memory = core_.memory;
  const char* pages_fault = memory.pages().check_identities();
  if (*pages_fault != 0) return std::string("page heap: ") + pages_fault;
  std::string fault;
  uint64_t span_bytes = 0;
  uint64_t live_bytes = 0;
  uint64_t live_objects = 0;
  auto report = [&](const Span& span, const std::string& what) {
    if (fault.empty())
      fault = "span " + hex(span.start) + " (" + describe_layout(layout_of(span.layout)) + "): " + what;
  };
  memory.for_each_span([&](Span& span) {
    const Layout& layout = layout_of(span.layout);
    const uint64_t page = memory.page_of(span);
    const uint64_t wanted =
        layout.large() ? round_up(span.object_bytes, kPageBytes) >> kPageShift : layout.span_pages;
    if (span.pages != wanted)
      report(span, "has " + std::to_string(span.pages) + " pages, not " + std::to_string(wanted));
    if (memory.table().find(span.start) != &span ||
        memory.table().find(span.start + span.bytes() - 1) != &span) {
      report(span, "is not what its addresses lead to");
    }
    const uint32_t allocated = count_bits(memory.alloc_bits(page), layout.slots);
    if (allocated != span.live_slots) {
      report(span, std::to_string(allocated) + " allocation bits, but " + std::to_string(span.live_slots) +
                       " live slots");
    }
    if (allocated > layout.slots) report(span, "allocation bits beyond its slots");
    if (const std::string specials = core_.specials.check_span(span); !specials.empty())
      report(span, specials);
    span_bytes += span.bytes();
    live_objects += allocated;
    live_bytes += allocated * (layout.large() ? span.bytes() : layout.slot_bytes);
  });
  if (!fault.empty()) return fault;
  auto differ = [](const char* what, uint64_t a, uint64_t b) {
    return std::string(what) + ": " + std::to_string(a) + " != " + std::to_string(b);
  };
  // A thread that clears a large object's pages is away meanwhile, its pages no span yet.
  span_bytes += memory.unpublished_bytes();
  if (const uint64_t in_use = memory.pages().stats().in_use_bytes; span_bytes != in_use) {
    return differ("sum of span bytes != in_use", span_bytes, in_use);
  }
  if (memory.unswept_spans() != memory.count_unswept_spans())
    return differ("listed as unswept != in the lists", memory.unswept_spans(), memory.count_unswept_spans());
  const HeapStats stats = core_.stats();
  if (live_objects != stats.heap_objects)
    return differ("live slots != allocated - freed", live_objects, stats.heap_objects);
  if (live_bytes != stats.heap_alloc_bytes)
    return differ("live bytes != allocated - freed", live_bytes, stats.heap_alloc_bytes);
  return {};
}

}  // namespace keel
