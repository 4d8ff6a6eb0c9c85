// Marking and scanning; see marker.h.
#include "collector/mark/marker.h"

#include <algorithm>
#include <bit>

#include "allocator/base/build.h"
#include "allocator/base/check.h"
#include "allocator/base/defects.h"
#include "allocator/base/race_points.h"

namespace keel {
namespace {

// A word of the heap as the marker reads it: acquire [slot.publish].
uintptr_t load_slot(const uintptr_t* word) { return reinterpret_cast<const Slot*>(word)->load_acquire(); }

// How many objects, or how many bytes, are scanned between looks at whether others are hungry. A piece of a
// large object is enough alone: an array of a few pieces must not stay with the marker that found it.
constexpr uint32_t kDonateEvery = kExploreBuild ? 2 : 32;
constexpr uint64_t kDonateBytes = 32 * 1024;

}  // namespace

Marker::~Marker() {
  KEEL_DCHECK(!holds_work(), "marker: destroyed with grey objects");
  if (top_ != nullptr) pool_.put_empty(top_);
}

void Marker::begin_cycle() {
  KEEL_DCHECK(!holds_work(), "marker: a cycle begins with grey objects of the last");
  const PageTable& table = memory_.table();
  base_ = table.base();
  range_ = table.range_bytes();
  entries_ = table.entries();
  marks_ = table.bits_base((memory_.cycle() + 1) & 1);
}

// True if the object was white. [rule 2] A pointer-bearing object that a mutator marks is grey in its own
// chunk until it hands that in; if another mutator then finds it marked and acknowledges a round, the round
// must know.
inline bool Marker::set_mark(BitWord& word, uint64_t bit, const Layout& layout) {
  if (!announces_ || layout.noscan()) return try_mark(word, bit);
  return try_mark_announced(word, bit, [this] { pool_.announce_found_work(); });
}

void Marker::mark(const Candidate& candidate) {
  auto* word = reinterpret_cast<BitWord*>(candidate.word_and_bit & ((uint64_t{1} << 56) - 1));
  const Layout& layout = layout_of(static_cast<LayoutId>(candidate.object >> 48));
  if (!set_mark(*word, uint64_t{1} << (candidate.word_and_bit >> 56), layout)) return;
  counts_.marked_bytes += layout.slot_bytes;
  ++counts_.marked_objects;
  if (!layout.noscan()) push(candidate.object);
}

void Marker::settle_ring() {
  while (ring_count_ > 0) {
    const uint32_t oldest = (ring_next_ + kRing - ring_count_) % kRing;
    --ring_count_;
    mark(ring_[oldest]);
  }
}

void Marker::visit_large(uintptr_t pointer) {
  Span* span = memory_.table().find(pointer);
  if constexpr (KEEL_DEBUG_CHECKS) {
    KEEL_CHECK_ABOUT(pointer, span != nullptr || old_words_,
                     "mark: pointer %#zx into the heap range but into no span", pointer);
  }
  // Past the end of the last object of a span, or an old word of a free slot.
  if (span != nullptr) mark_large(*span);
}

void Marker::mark_large(Span& span) {
  BitWord& word = marks_[memory_.page_of(span) * PageTable::kBitWordsPerPage];
  if (!set_mark(word, 1, layout_of(span.layout))) return;
  counts_.marked_bytes += span.bytes();
  ++counts_.marked_objects;
  if (!layout_of(span.layout).noscan()) push(span.start | uint64_t{span.layout} << 48);
}

bool Marker::visit_conservative(uintptr_t word, uintptr_t where) {
  const uintptr_t offset = word - base_;
  if (offset >= range_) return false;
  Span* span = memory_.table().find(word);
  if (span == nullptr) return false;
  const Layout& layout = layout_of(span->layout);
  const uint32_t slot = layout.large() ? 0 : layout.slot_of(word - span->start);
  const uint64_t page = memory_.page_of(*span);
  if (slot >= layout.slots || !test_bit(memory_.alloc_bits(page), slot)) return false;
  if (hits_ != nullptr) hits_->push_back({where, span->start + uint64_t{slot} * layout.slot_bytes});
  if (layout.large()) {
    mark_large(*span);
  } else {
    enqueue(marks_ + page * PageTable::kBitWordsPerPage + slot / 64, slot % 64,
            (span->start + uint64_t{slot} * layout.slot_bytes) | uint64_t{span->layout} << 48);
  }
  return true;
}

// Exempt from sanitizers: it reads red zones and words other threads' frames are writing no longer.
__attribute__((no_sanitize("address", "thread", "undefined"))) void Marker::scan_stack_words(
    const uintptr_t* begin, const uintptr_t* end) {
  for (const uintptr_t* word = begin; word < end; ++word) {
    const uintptr_t value = *word;
    if (value - base_ >= range_) continue;
    if (defect(Defect::kStackWordSkipped) && reinterpret_cast<uintptr_t>(word) / kWordBytes % 8 == 0)
      continue;
    if (visit_conservative(value, reinterpret_cast<uintptr_t>(word))) ++stack_hits_;
  }
  stack_words_ += static_cast<uint64_t>(end - begin);
}

void Marker::shade(const uintptr_t* pointers, size_t count) {
  for (size_t i = 0; i < count; ++i) visit(pointers[i]);
  settle_ring();
}

void Marker::push(GreyObject object) {
  if (top_ == nullptr || top_->count == GreyChunk::kCapacity) [[unlikely]] {
    GreyChunk* empty = pool_.take_empty();
    if (empty == nullptr) {
      overflow(object);
      return;
    }
    if (spare_ != nullptr) pool_.put_full(spare_);
    spare_ = top_;
    top_ = empty;
  }
  top_->objects[top_->count++] = object;
}

bool Marker::pop(GreyObject& object) {
  if (top_ == nullptr || top_->count == 0) [[unlikely]] {
    GreyChunk* full = spare_;
    spare_ = nullptr;
    if (full == nullptr) {
      full = pool_.take_full();
      if (full == nullptr) return false;
      race_point(RacePoint::kGreyChunkTaken);
    }
    if (top_ != nullptr) pool_.put_empty(top_);
    top_ = full;
  }
  object = top_->objects[--top_->count];
  return true;
}

void Marker::overflow(GreyObject object) {
  if (!defect(Defect::kOverflowedSpanNotFlagged)) pool_.flag(*memory_.table().find(object & kAddressMask));
}

// Somebody waits and the pool is empty: give away the spare chunk, or the older half of the top one.
void Marker::donate() {
  if (spare_ != nullptr) {
    pool_.put_full(spare_);
    spare_ = nullptr;
    return;
  }
  if (top_ == nullptr || top_->count < 4) return;
  GreyChunk* half = pool_.take_empty();
  if (half == nullptr) return;
  half->count = top_->count / 2;
  std::copy_n(top_->objects, half->count, half->objects);
  std::copy(top_->objects + half->count, top_->objects + top_->count, top_->objects);
  top_->count -= half->count;
  defect(Defect::kDonationLost) ? pool_.put_empty(half) : pool_.put_full(half);
}

bool Marker::flush() {
  if (!defect(Defect::kRingNotSettled)) settle_ring();
  bool any = false;
  if (spare_ != nullptr) {
    defect(Defect::kSpareChunkLost) ? pool_.put_empty(spare_) : pool_.put_full(spare_);
    spare_ = nullptr;
    any = true;
  }
  if (top_ != nullptr) {
    any = any || top_->count != 0;
    top_->count != 0 ? pool_.put_full(top_) : pool_.put_empty(top_);
    top_ = nullptr;
  }
  return any;
}

uint64_t Marker::drain(uint64_t budget_bytes) {
  const uint64_t start = counts_.scanned_bytes;
  GreyObject fifo[kFifo] = {};
  uint32_t next = 0;
  uint32_t pending = 0;
  uint32_t until_donate = kDonateEvery;
  uint64_t last_look = start;
  for (;;) {
    GreyObject object = 0;
    const bool may_take = counts_.scanned_bytes - start < budget_bytes;
    if (may_take && pop(object)) {
      __builtin_prefetch(reinterpret_cast<const void*>(object & kAddressMask));
      std::swap(object, fifo[next]);
      next = (next + 1) % kFifo;
      if (object == 0) {
        ++pending;
        continue;
      }
    } else if (pending > 0) {
      // Nothing to add: take the oldest that is left.
      do {
        std::swap(object, fifo[next]);
        next = (next + 1) % kFifo;
      } while (object == 0);
      --pending;
    } else if (ring_count_ > 0) {
      settle_ring();
      if (may_take) continue;
      break;
    } else {
      break;
    }
    scan(object);
    if (--until_donate == 0 || counts_.scanned_bytes - last_look >= kDonateBytes) {
      until_donate = kDonateEvery;
      last_look = counts_.scanned_bytes;
      if (pool_.hungry()) donate();
    }
  }
  return counts_.scanned_bytes - start;
}

// By the bits of the cycle before: what a cache has handed out since is not known.
bool Marker::known_allocated(const Layout& layout, uintptr_t object) const {
  const Span* span = memory_.table().find(object);
  return span != nullptr &&
         test_bit(memory_.alloc_bits(memory_.page_of(*span)), layout.slot_of(object - span->start));
}

void Marker::scan(GreyObject grey) {
  const Layout& layout = layout_of(static_cast<LayoutId>(grey >> 48));
  const uintptr_t object = grey & kAddressMask;
  if (layout.large()) [[unlikely]] {
    scan_large(layout, object);
    return;
  }
  if constexpr (KEEL_DEBUG_CHECKS) old_words_ = !known_allocated(layout, object);
  const auto* words = reinterpret_cast<const uintptr_t*>(object);
  counts_.scanned_bytes += uint64_t{layout.prefix_words} * kWordBytes;
  if (layout.kind == MapKind::kOneUnit) [[likely]] {
    for (uint64_t bits = layout.bits; bits != 0; bits &= bits - 1) {
      if (defect(Defect::kLastFieldNotScanned) && std::has_single_bit(bits)) break;
      visit(load_slot(words + std::countr_zero(bits)));
    }
  } else {
    scan_words(layout, words, 0, layout.prefix_words);
  }
  if constexpr (KEEL_DEBUG_CHECKS) old_words_ = false;
}

// Scans `count` words of an object; `words` is its word number `first_word`.
void Marker::scan_words(const Layout& layout, const uintptr_t* words, uint64_t first_word, uint64_t count) {
  switch (layout.kind) {
    case MapKind::kNoscan:
      break;
    case MapKind::kAllPointers:
      for (uint64_t i = 0; i < count; ++i) visit(load_slot(words + i));
      break;
    case MapKind::kConservative:
      for (uint64_t i = 0; i < count; ++i) {
        visit_conservative(load_slot(words + i), reinterpret_cast<uintptr_t>(words + i));
      }
      break;
    case MapKind::kOneUnit:
    case MapKind::kRepeated:
    case MapKind::kLong: {
      uint64_t in_unit = first_word % layout.unit_words;
      for (uint64_t i = 0; i < count; ++i) {
        const uint64_t map = layout.kind == MapKind::kLong ? layout.long_bits[in_unit / 64] : layout.bits;
        if ((map >> (in_unit % 64) & 1) != 0) visit(load_slot(words + i));
        if (++in_unit == layout.unit_words) in_unit = 0;
      }
      break;
    }
  }
}

void Marker::scan_large(const Layout& layout, uintptr_t at) {
  Span* span = memory_.table().find(at);
  const uint64_t all_words = span->object_bytes / kWordBytes;
  const bool single = layout.kind == MapKind::kOneUnit || layout.kind == MapKind::kLong;
  const bool whole = single && layout.prefix_words != 0;
  const uint64_t words = whole ? std::min<uint64_t>(layout.prefix_words, all_words) : all_words;
  const uint64_t first = (at - span->start) / kWordBytes;
  constexpr uint64_t kPieceWords = kPieceBytes / kWordBytes;
  if (first == 0) {
    for (uint64_t piece = defect(Defect::kPieceSkipped) ? 2 * kPieceWords : kPieceWords; piece < words;
         piece += kPieceWords) {
      push((span->start + piece * kWordBytes) | uint64_t{span->layout} << 48);
    }
  }
  const uint64_t count = std::min(kPieceWords, words - first);
  counts_.scanned_bytes += count * kWordBytes;
  scan_words(layout, reinterpret_cast<const uintptr_t*>(at), first, count);
}

// Grey without a mark: what is scanned is what the pool holds. Announced as set_mark() does, before it can be
// seen.
void Marker::shade_fields(const Span& span, uint32_t slot) {
  const Layout& layout = layout_of(span.layout);
  if (!layout.large()) {
    scan_fields(span, slot);
  } else if (!layout.noscan()) {
    if (announces_) pool_.announce_found_work();
    push(span.start | uint64_t{span.layout} << 48);
  }
}

// All of it here, not in pieces.
void Marker::scan_fields(const Span& span, uint32_t slot) {
  const Layout& layout = layout_of(span.layout);
  if (layout.large()) {
    const uint64_t words = span.object_bytes / kWordBytes;
    const bool single = layout.kind == MapKind::kOneUnit || layout.kind == MapKind::kLong;
    scan_words(layout, reinterpret_cast<const uintptr_t*>(span.start), 0,
               single && layout.prefix_words != 0 ? std::min<uint64_t>(layout.prefix_words, words) : words);
  } else {
    const uintptr_t object = span.start + uint64_t{slot} * layout.slot_bytes;
    scan_words(layout, reinterpret_cast<const uintptr_t*>(object), 0, layout.prefix_words);
  }
  settle_ring();
}

void Marker::rescan_span(Span& span) {
  const Layout& layout = layout_of(span.layout);
  const BitWord* marks = marks_ + memory_.page_of(span) * PageTable::kBitWordsPerPage;
  if (layout.large()) {
    scan_fields(span, 0);
    return;
  }
  if constexpr (KEEL_DEBUG_CHECKS) old_words_ = true;
  for (uint32_t slot = find_bit(marks, 0, layout.slots, true); slot < layout.slots;
       slot = find_bit(marks, slot + 1, layout.slots, true)) {
    const uintptr_t object = span.start + uint64_t{slot} * layout.slot_bytes;
    scan_words(layout, reinterpret_cast<const uintptr_t*>(object), 0, layout.prefix_words);
  }
  if constexpr (KEEL_DEBUG_CHECKS) old_words_ = false;
  settle_ring();
}

MarkCounts Marker::take_counts() {
  const MarkCounts counts = counts_;
  counts_ = {};
  return counts;
}

}  // namespace keel
