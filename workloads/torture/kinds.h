// Kinds: one C++ type for every way a layout can look to the marker, and what the oracle must know to check
// any object of any of them without being told more than (kind, size, id).
//
// Every object is a row of 8-byte words. Which of them are edges follows from the kind; every other word
// holds a value that follows from the object's id and the word's number, so an object that was freed, moved
// or mixed up with another is not what its id says. Of a large object a fixed sample of words is written and
// checked: a 1 GiB array costs a few pages. Threads: attached mutators; one writer an object.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "allocator/base/rng.h"
#include "collector/api/heap.h"

namespace keel::torture {

/// What an edge points to: the first or any other byte of an object of any kind.
struct Any {
  unsigned char byte;
};
using Edge = Ptr<Any>;

enum class Kind : uint8_t {
  kBlock,    // pointer-free, fixed
  kWide,     // pointer-free, 16-aligned
  kWideRow,  // an array of these
  kLine,     // two edges in a 64-aligned cache line
  kLineRow,  // an array of these
  kBytes,    // pointer-free, of any length, exactly
  kText,     // pointer-free array with its byte of slack
  kNode,     // two edges in four words: one unit
  kScatter,  // four edges in thirty words: one unit with gaps
  kLong,     // three edges in a hundred words: an object whose map is longer than 64 words
  kRow,      // an array of nodes: repeated units
  kLongRow,  // an array of long units
  kEdges,    // an array of edges: all pointers
  kTail,     // a node with pointer-free bytes behind it
  kWord,     // words that may be pointers: every second one is, scanned conservatively
  kKinds,    // how many there are
};
inline constexpr size_t kKindCount = static_cast<size_t>(Kind::kKinds);
const char* to_string(Kind kind);

/// What makes an object what it is.
struct Body {
  Kind kind = Kind::kBlock;
  uint64_t size = 1;  // elements of an array; bytes of kBytes, kText and of a tail; words of kWord; else 1
  uint64_t id = 0;
};

/// At most so many edges of one object are used: those of a large array are spread over it, its ends
/// included.
inline constexpr size_t kMostEdges = 12;

/// Bytes of the object itself; every byte of it may be pointed to.
uint64_t object_bytes(const Body& body);
/// What HeapAlloc counts for it: its slot, or its pages.
uint64_t charged_bytes(const Body& body);
/// How many of its edges are used.
size_t edge_count(const Body& body);
/// The used edge `place` of the object.
Edge& edge_at(Any* object, const Body& body, size_t place);

/// Allocates: zeroed, nothing written yet. A safepoint. Throws OutOfMemory.
Any* allocate(const Body& body);
/// Empty, or what is not zero or not aligned in a fresh object.
std::string check_fresh(const Any* object, const Body& body);
/// Writes the words that follow from the id.
void write_words(Any* object, const Body& body);
/// Empty, or the first word that is not what the id says; unused edges must be null, used ones are not
/// looked at.
std::string check_words(const Any* object, const Body& body);

/// A kind and a size whose object has at most `most_bytes` bytes (at least 1 KiB); small ones are likely.
Body draw_body(Rng& rng, uint64_t id, uint64_t most_bytes);
/// The same without edges.
Body draw_leaf(Rng& rng, uint64_t id, uint64_t most_bytes);
/// Log-uniform in [low, high].
uint64_t draw_size(Rng& rng, uint64_t low, uint64_t high);

}  // namespace keel::torture
