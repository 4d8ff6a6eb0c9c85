// The kinds' types and their words; see kinds.h.
#include "workloads/torture/kinds.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "allocator/base/units.h"

namespace keel::torture {

struct Block {
  std::array<uint64_t, 5> words;
};
struct alignas(16) Wide {
  std::array<uint64_t, 6> words;
};
struct alignas(64) Line {
  Edge left;
  std::array<uint64_t, 6> words;
  Edge right;
};
struct Node {
  uint64_t first;
  Edge left;
  Edge right;
  uint64_t last;
};
struct Scatter {
  std::array<uint64_t, 3> a;
  Edge one;
  std::array<uint64_t, 7> b;
  Edge two;
  Edge three;
  std::array<uint64_t, 16> c;
  Edge four;
};
struct Long {
  std::array<uint64_t, 3> a;
  Edge one;
  std::array<uint64_t, 66> b;
  Edge two;
  std::array<uint64_t, 28> c;
  Edge three;
};

namespace {

enum class Form : uint8_t { kSingle, kArray, kTail, kBytes, kWords };

struct Shape {
  const char* name;
  Form form;
  uint32_t unit_words;
  std::array<uint32_t, 4> edges;  // word offsets in a unit
  uint32_t edges_per_unit;
  uint32_t alignment;
  uint32_t slack;  // bytes beyond the object that its allocation asks for
};

constexpr std::array<Shape, kKindCount> kShapes{{
    {"block", Form::kSingle, 5, {}, 0, 8, 0},
    {"wide", Form::kSingle, 6, {}, 0, 16, 0},
    {"row of wides", Form::kArray, 6, {}, 0, 16, 1},
    {"line", Form::kSingle, 8, {0, 7}, 2, 64, 0},
    {"row of lines", Form::kArray, 8, {0, 7}, 2, 64, 1},
    {"bytes", Form::kBytes, 1, {}, 0, 8, 0},
    {"text", Form::kBytes, 1, {}, 0, 8, 1},
    {"node", Form::kSingle, 4, {1, 2}, 2, 8, 0},
    {"scatter", Form::kSingle, 30, {3, 11, 12, 29}, 4, 8, 0},
    {"long", Form::kSingle, 100, {3, 70, 99}, 3, 8, 0},
    {"row of nodes", Form::kArray, 4, {1, 2}, 2, 8, 1},
    {"row of longs", Form::kArray, 100, {3, 70, 99}, 3, 8, 1},
    {"row of edges", Form::kArray, 1, {0}, 1, 8, 1},
    {"node with a tail", Form::kTail, 4, {1, 2}, 2, 8, 0},
    {"conservative words", Form::kWords, 2, {0}, 1, 8, 0},
}};
static_assert(sizeof(Node) == 4 * 8 && sizeof(Scatter) == 30 * 8 && sizeof(Long) == 100 * 8);

const Shape& shape_of(const Body& body) { return kShapes[static_cast<size_t>(body.kind)]; }

uint64_t units(const Body& body) {
  const Shape& shape = shape_of(body);
  switch (shape.form) {
    case Form::kArray:
      return body.size;
    case Form::kWords:
      return body.size / shape.unit_words;
    default:
      return 1;
  }
}
uint64_t edges_in(const Body& body) { return units(body) * shape_of(body).edges_per_unit; }

uint64_t mixed(uint64_t id, uint64_t i) {
  uint64_t z = id * 0x9e3779b97f4a7c15 + i * 0xd6e8feb86659fd93 + 0x5bd1e995;
  z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93;
  return z ^ (z >> 29);
}

// What word i holds. A word that may be taken for a pointer is kept out of every heap's addresses.
uint64_t word_of(const Body& body, uint64_t i) {
  const uint64_t word = mixed(body.id, i);
  return body.kind == Kind::kWord ? (word & 0x7fffffff) | 1 : word;
}

// The word of used edge `place`: all of them where there are few; else one in each of kMostEdges equal parts,
// the first and the last edge among them.
uint64_t edge_word(const Body& body, size_t place) {
  const Shape& shape = shape_of(body);
  const uint64_t all = edges_in(body);
  uint64_t edge = place;
  if (all > kMostEdges) {
    const uint64_t part = all / kMostEdges;
    edge = place * part + (place == 0 ? 0 : mixed(body.id, ~uint64_t{place}) % part);
    if (place == kMostEdges - 1) edge = all - 1;
  }
  return edge / shape.edges_per_unit * shape.unit_words + shape.edges[edge % shape.edges_per_unit];
}

bool is_edge(const Body& body, uint64_t word) {
  const Shape& shape = shape_of(body);
  if (word >= units(body) * shape.unit_words) return false;  // a tail
  for (uint32_t e = 0; e < shape.edges_per_unit; ++e) {
    if (word % shape.unit_words == shape.edges[e]) return true;
  }
  return false;
}

// Calls visit(i) for every word, or for a sample that depends on the id alone; stops when it says so.
template <typename Visit>
void for_sample(const Body& body, Visit&& visit) {
  constexpr uint64_t kAll = 512;
  constexpr uint64_t kEnds = 32;
  const uint64_t words = object_bytes(body) / 8;
  if (words <= kAll) {
    for (uint64_t i = 0; i < words; ++i) {
      if (!visit(i)) return;
    }
    return;
  }
  for (uint64_t k = 0; k < kEnds; ++k) {
    if (!visit(k) || !visit(words - 1 - k) || !visit(mixed(body.id ^ 0xfeed, k) % words)) return;
  }
}

const uint64_t* words_of(const Any* object) { return reinterpret_cast<const uint64_t*>(object); }

std::string at_word(const char* what, uint64_t i, uint64_t found, uint64_t expected) {
  char text[160];
  std::snprintf(text, sizeof text, "word %llu %s: 0x%llx instead of 0x%llx",
                static_cast<unsigned long long>(i), what, static_cast<unsigned long long>(found),
                static_cast<unsigned long long>(expected));
  return text;
}

}  // namespace

const char* to_string(Kind kind) { return kShapes[static_cast<size_t>(kind)].name; }

uint64_t object_bytes(const Body& body) {
  const Shape& shape = shape_of(body);
  const uint64_t unit_bytes = uint64_t{shape.unit_words} * 8;
  switch (shape.form) {
    case Form::kSingle:
      return unit_bytes;
    case Form::kArray:
      return body.size * unit_bytes;
    case Form::kTail:
      return unit_bytes + body.size;
    case Form::kBytes:
      return body.size;
    case Form::kWords:
      return body.size * 8;
  }
  return 0;
}

uint64_t charged_bytes(const Body& body) {
  const uint64_t bytes = object_bytes(body) + shape_of(body).slack;
  const uint32_t alignment = shape_of(body).alignment;
  const uint8_t size_class = alignment == 64   ? aligned_size_class_of<64>(bytes)
                             : alignment == 16 ? aligned_size_class_of<16>(bytes)
                                               : size_class_of(bytes);
  return size_class == 0 ? round_up(bytes, kPageBytes) : kSizeClasses[size_class].slot_bytes;
}

size_t edge_count(const Body& body) { return std::min<uint64_t>(kMostEdges, edges_in(body)); }

Edge& edge_at(Any* object, const Body& body, size_t place) {
  return reinterpret_cast<Edge*>(object)[edge_word(body, place)];
}

Any* allocate(const Body& body) {
  void* object = nullptr;
  switch (body.kind) {
    case Kind::kBlock:
      object = make<Block>();
      break;
    case Kind::kWide:
      object = make<Wide>();
      break;
    case Kind::kWideRow:
      object = make_array<Wide>(body.size);
      break;
    case Kind::kLine:
      object = make<Line>();
      break;
    case Kind::kLineRow:
      object = make_array<Line>(body.size);
      break;
    case Kind::kBytes:
      object = make_bytes(body.size);
      break;
    case Kind::kText:
      object = make_array<unsigned char>(body.size);
      break;
    case Kind::kNode:
      object = make<Node>();
      break;
    case Kind::kScatter:
      object = make<Scatter>();
      break;
    case Kind::kLong:
      object = make<Long>();
      break;
    case Kind::kRow:
      object = make_array<Node>(body.size);
      break;
    case Kind::kLongRow:
      object = make_array<Long>(body.size);
      break;
    case Kind::kEdges:
      object = make_array<Edge>(body.size);
      break;
    case Kind::kTail:
      object = make_with_tail<Node>(body.size);
      break;
    case Kind::kWord: {
      // No C++ type maps to conservative words: the layout is asked for by its map.
      PointerMap map;
      map.kind = MapKind::kConservative;
      object = detail::allocate_object<alignof(void*)>(register_layout(body.size * 8, map), body.size * 8);
      break;
    }
    case Kind::kKinds:
      break;
  }
  return static_cast<Any*>(object);
}

std::string check_fresh(const Any* object, const Body& body) {
  const auto address = reinterpret_cast<uintptr_t>(object);
  if (address % shape_of(body).alignment != 0)
    return "is not aligned to " + std::to_string(shape_of(body).alignment) + " bytes";
  std::string fault;
  for_sample(body, [&](uint64_t i) {
    if (words_of(object)[i] != 0) fault = at_word("of a fresh object", i, words_of(object)[i], 0);
    return fault.empty();
  });
  const uint64_t bytes = object_bytes(body);
  for (uint64_t i = bytes / 8 * 8; fault.empty() && i < bytes; ++i) {
    if ((object + i)->byte != 0) fault = "byte " + std::to_string(i) + " of a fresh object is not zero";
  }
  return fault;
}

void write_words(Any* object, const Body& body) {
  auto* words = reinterpret_cast<uint64_t*>(object);
  for_sample(body, [&](uint64_t i) {
    if (!is_edge(body, i)) words[i] = word_of(body, i);
    return true;
  });
  const uint64_t bytes = object_bytes(body);
  for (uint64_t i = bytes / 8 * 8; i < bytes; ++i)
    (object + i)->byte = static_cast<unsigned char>(word_of(body, i));
}

std::string check_words(const Any* object, const Body& body) {
  std::array<uint64_t, kMostEdges> used{};
  const size_t edges = edge_count(body);
  for (size_t place = 0; place < edges; ++place) used[place] = edge_word(body, place);
  std::string fault;
  for_sample(body, [&](uint64_t i) {
    if (is_edge(body, i)) {
      if (std::find(used.begin(), used.begin() + edges, i) != used.begin() + edges) return true;
      const auto found = reinterpret_cast<uintptr_t>(reinterpret_cast<const Edge*>(object)[i].get());
      if (found != 0) fault = at_word("(an unused edge)", i, found, 0);
    } else if (words_of(object)[i] != word_of(body, i)) {
      fault = at_word("of its contents", i, words_of(object)[i], word_of(body, i));
    }
    return fault.empty();
  });
  const uint64_t bytes = object_bytes(body);
  for (uint64_t i = bytes / 8 * 8; fault.empty() && i < bytes; ++i) {
    if ((object + i)->byte != static_cast<unsigned char>(word_of(body, i)))
      fault = "byte " + std::to_string(i) + " of its contents is wrong";
  }
  return fault;
}

uint64_t draw_size(Rng& rng, uint64_t low, uint64_t high) {
  const double from = std::log2(static_cast<double>(low));
  const double to = std::log2(static_cast<double>(high) + 1);
  const auto size = static_cast<uint64_t>(std::exp2(from + (to - from) * rng.uniform()));
  return std::clamp(size, low, high);
}

Body draw_body(Rng& rng, uint64_t id, uint64_t most_bytes) {
  // Nodes most of all: a graph needs edges.
  static constexpr Kind kMix[] = {Kind::kNode, Kind::kNode,  Kind::kNode, Kind::kNode,    Kind::kScatter,
                                  Kind::kRow,  Kind::kEdges, Kind::kTail, Kind::kLongRow, Kind::kLong,
                                  Kind::kWord, Kind::kWord,  Kind::kLine, Kind::kLineRow, Kind::kBlock};
  Body body{kMix[rng.below(std::size(kMix))], 1, id};
  switch (body.kind) {
    case Kind::kRow:
      body.size = rng.below(8) == 0 ? 0 : draw_size(rng, 1, most_bytes / sizeof(Node));
      break;
    case Kind::kLongRow:
      body.size = rng.below(8) == 0 ? 0 : draw_size(rng, 1, std::max<uint64_t>(1, most_bytes / sizeof(Long)));
      break;
    case Kind::kLineRow:
      body.size = draw_size(rng, 1, most_bytes / sizeof(Line)) - 1;
      break;
    case Kind::kEdges:
      body.size = rng.below(8) == 0 ? 0 : draw_size(rng, 1, most_bytes / sizeof(Edge));
      break;
    case Kind::kTail:
      body.size = draw_size(rng, 1, most_bytes) - 1;
      break;
    case Kind::kWord:
      body.size = 2 * draw_size(rng, 1, 64);
      break;
    case Kind::kBlock:
      return draw_leaf(rng, id, most_bytes);
    default:
      break;
  }
  return body;
}

Body draw_leaf(Rng& rng, uint64_t id, uint64_t most_bytes) {
  static constexpr Kind kMix[] = {Kind::kBlock, Kind::kWide, Kind::kWideRow, Kind::kBytes, Kind::kText};
  Body body{kMix[rng.below(std::size(kMix))], 1, id};
  if (body.kind == Kind::kWideRow) body.size = draw_size(rng, 1, most_bytes / sizeof(Wide)) - 1;
  if (body.kind == Kind::kBytes) body.size = draw_size(rng, 1, most_bytes);
  if (body.kind == Kind::kText) body.size = draw_size(rng, 1, most_bytes) - 1;
  return body;
}

}  // namespace keel::torture
