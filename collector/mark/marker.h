// Marker: makes objects grey and scans them black. One per worker, per mutator (barrier flushes, assists) and
// one for the cycle thread; each is used by one thread at a time.
//
// The three colours: white = mark bit clear; grey = bit set and the object on some chunk, ring or overflowed
// span; black = bit set and scanned. Marking goes through two short queues, because on a heap larger than the
// caches every step is a miss:
//   visit(pointer)  finds span, slot and mark word, prefetches the word, and parks the candidate in a ring of
//   16; mark            tests and sets the bit when the candidate leaves the ring; a new pointer-bearing
//   object is pushed; scan            pops an object, prefetches it into a FIFO of 8, scans the oldest.
// (Prefetch on grey: Boehm, "Reducing garbage collector cache misses", ISMM 2000; FIFO in front of the stack:
// Cher, Hosking, Vitek, "Software prefetching for mark-sweep", ASPLOS 2004.) Objects above 128 KiB are
// scanned in pieces of that size (Go's maxObletBytes), shared like objects.
#pragma once

#include <cstdint>
#include <vector>

#include "allocator/base/atomic.h"
#include "allocator/memory/heap_memory.h"
#include "allocator/span/span_bits.h"
#include "barriers/api/barrier_state.h"
#include "collector/mark/grey_pool.h"

namespace keel {

struct MarkCounts {
  uint64_t scanned_bytes = 0;  // up to each object's last pointer: the unit of scan work
  uint64_t marked_bytes = 0;   // slot bytes newly marked
  uint64_t marked_objects = 0;

  void add(const MarkCounts& other) {
    scanned_bytes += other.scanned_bytes;
    marked_bytes += other.marked_bytes;
    marked_objects += other.marked_objects;
  }
};

/// A word of a stack (or of a conservatively scanned object) that led to an object; kept for checks and
/// tests.
struct RootHit {
  uintptr_t where;   // address of the word
  uintptr_t object;  // base of the object it kept
};

class Marker final : public GreySink {
 public:
  static constexpr uint64_t kPieceBytes = 128 * 1024;

  /// A mutator's marker announces what it finds, since it may hold grey objects while marking is declared
  /// over.
  enum class Owner : uint8_t { kWorker, kMutator };

  Marker(HeapMemory& memory, GreyPool& pool, Owner owner = Owner::kWorker)
      : memory_(memory), pool_(pool), announces_(owner == Owner::kMutator) {}
  ~Marker() override;
  Marker(const Marker&) = delete;
  Marker& operator=(const Marker&) = delete;

  /// Reads which bits are the marks of the cycle that begins. Before any other call in a cycle.
  void begin_cycle();

  /// Shades a pointer taken from a heap slot, a Root or a barrier: null, or anywhere into a live object. One
  /// past the end of an object may lead to a free slot (ptr.h): that gets a mark, which the sweep takes for
  /// what it is, and its old words are visited, which lead to objects, to free slots, or nowhere.
  void visit(uintptr_t pointer) {
    const uintptr_t offset = pointer - base_;
    if (offset >= range_) return;  // null, or not ours
    // acquire [page.publish]: pairs with PageTable::publish().
    const PageEntry entry(entries_[offset >> kPageShift].load(std::memory_order_acquire));
    if (!entry.in_use() || entry.large()) [[unlikely]] {
      visit_large(pointer);
      return;
    }
    const Layout& layout = layout_of(entry.layout());
    const uint64_t page = (offset >> kPageShift) - entry.distance();
    const uint32_t slot = layout.slot_of(offset - (page << kPageShift));
    if (slot >= layout.slots) [[unlikely]]
      return;  // past the end of the span's last slot
    BitWord* word = marks_ + page * PageTable::kBitWordsPerPage + slot / 64;
    __builtin_prefetch(word, 1);
    const uintptr_t object = base_ + (page << kPageShift) + uint64_t{slot} * layout.slot_bytes;
    enqueue(word, slot % 64, object | uint64_t{entry.layout()} << 48);
  }

  /// Shades what a word that may or may not be a pointer refers to, if it is an allocated slot (rule 3).
  /// True if it led to an object.
  bool visit_conservative(uintptr_t word, uintptr_t where);

  /// Scans words [begin, end) of a stack.
  void scan_stack_words(const uintptr_t* begin, const uintptr_t* end);

  /// GreySink: what a mutator's barrier remembered.
  void shade(const uintptr_t* pointers, size_t count) override;

  /// Scans grey objects of its own and of the pool until `budget_bytes` of scan work is done or none is left.
  /// Returns the scan work done. The caller is busy (GreyPool).
  uint64_t drain(uint64_t budget_bytes);

  /// Shades what an object refers to, without marking the object: of finalizable ones. A large object is left
  /// to whoever drains, in pieces; cost: one object's words at most.
  void shade_fields(const Span& span, uint32_t slot);

  /// Scans the marked objects of a span whose grey objects did not fit the pool.
  void rescan_span(Span& span);

  /// Hands every grey object it holds to the pool. True if there was any.
  bool flush();
  [[nodiscard]] bool holds_work() const {
    return (top_ != nullptr && top_->count != 0) || spare_ != nullptr || ring_count_ != 0;
  }

  /// Counts since the last call.
  MarkCounts take_counts();

  /// Where conservative hits are written while set (null: not kept).
  void record_hits(std::vector<RootHit>* hits) { hits_ = hits; }
  [[nodiscard]] uint64_t stack_words() const { return stack_words_; }
  [[nodiscard]] uint64_t stack_hits() const { return stack_hits_; }
  void reset_stack_counts() { stack_words_ = stack_hits_ = 0; }

 private:
  // Few under the explorer, for the reason that chunks are small there.
  static constexpr uint32_t kRing = kExploreBuild ? 2 : 16;
  static constexpr uint32_t kFifo = kExploreBuild ? 2 : 8;
  static constexpr uintptr_t kAddressMask = (uint64_t{1} << 48) - 1;

  struct Candidate {
    uint64_t word_and_bit;  // mark word in the low 56 bits, bit number above
    GreyObject object;
  };

  void enqueue(BitWord* word, uint32_t bit, GreyObject object) {
    Candidate& place = ring_[ring_next_];
    const Candidate oldest = place;
    place = {reinterpret_cast<uintptr_t>(word) | uint64_t{bit} << 56, object};
    ring_next_ = (ring_next_ + 1) % kRing;
    if (ring_count_ == kRing) {
      mark(oldest);
    } else {
      ++ring_count_;
    }
  }
  bool set_mark(BitWord& word, uint64_t bit, const Layout& layout);
  void mark(const Candidate& candidate);
  void settle_ring();
  void visit_large(uintptr_t pointer);
  void mark_large(Span& span);

  void push(GreyObject object);
  bool pop(GreyObject& object);
  void overflow(GreyObject object);
  void donate();
  void scan(GreyObject object);
  [[nodiscard]] bool known_allocated(const Layout& layout, uintptr_t object) const;
  void scan_fields(const Span& span, uint32_t slot);
  void scan_words(const Layout& layout, const uintptr_t* words, uint64_t first_word, uint64_t count);
  void scan_large(const Layout& layout, uintptr_t at);

  HeapMemory& memory_;
  GreyPool& pool_;
  const bool announces_;
  uintptr_t base_ = 0;
  uint64_t range_ = 0;
  const Atomic<uint64_t>* entries_ = nullptr;
  BitWord* marks_ = nullptr;

  GreyChunk* top_ = nullptr;    // pushes and pops
  GreyChunk* spare_ = nullptr;  // full, or null
  Candidate ring_[kRing] = {};
  uint32_t ring_next_ = 0;
  uint32_t ring_count_ = 0;
  MarkCounts counts_;
  uint64_t stack_words_ = 0;
  uint64_t stack_hits_ = 0;
  std::vector<RootHit>* hits_ = nullptr;
  // Debug builds: what is scanned may be a free slot that somebody's past-the-end pointer led to.
  bool old_words_ = false;
};

}  // namespace keel
