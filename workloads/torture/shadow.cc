// The oracle's book and its comparison with the heap; see shadow.h.
#include "workloads/torture/shadow.h"

#include <algorithm>

#include "allocator/base/units.h"
#include "collector/api/mutator.h"

namespace keel::torture {
namespace {

std::string hex(uintptr_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

std::string describe(const Shadow& s) {
  return std::string(to_string(s.body.kind)) + " " + std::to_string(s.body.id) + " (" +
         format_size(object_bytes(s.body)) + " at " + hex(~s.disguised) + ", made by thread " +
         std::to_string(s.thread) + " in its action " + std::to_string(s.born) + ")";
}

int ShadowSet::add(Shadow shadow) {
  bytes_ += charged_bytes(shadow.body);
  objects_.push_back(std::move(shadow));
  return static_cast<int>(objects_.size()) - 1;
}

std::vector<int> ShadowSet::reachable(const std::vector<int>& roots) const {
  std::vector<int> order;
  std::vector<char> seen(objects_.size(), 0);
  auto visit = [&](int n) {
    if (n == kNobody || seen[static_cast<size_t>(n)] != 0) return;
    seen[static_cast<size_t>(n)] = 1;
    order.push_back(n);
  };
  for (int root : roots) visit(root);
  for (size_t i = 0; i < order.size(); ++i) {
    for (const ShadowEdge& edge : (*this)[order[i]].edges) visit(edge.target);
  }
  return order;
}

uint64_t ShadowSet::reachable_bytes(const std::vector<int>& roots) const {
  uint64_t bytes = 0;
  for (int n : reachable(roots)) bytes += charged_bytes((*this)[n].body);
  return bytes;
}

void ShadowSet::add_reachable(const std::vector<int>& roots,
                              std::unordered_map<uint64_t, uint64_t>& bytes_of) const {
  for (int n : reachable(roots)) bytes_of[(*this)[n].body.id] = charged_bytes((*this)[n].body);
}

std::vector<int> ShadowSet::compact(const std::vector<int>& roots) {
  const std::vector<int> order = reachable(roots);
  std::vector<int> renamed(objects_.size(), kNobody);
  for (size_t i = 0; i < order.size(); ++i) renamed[static_cast<size_t>(order[i])] = static_cast<int>(i);
  std::vector<Shadow> kept;
  kept.reserve(order.size());
  bytes_ = 0;
  for (int n : order) {
    kept.push_back(std::move((*this)[n]));
    bytes_ += charged_bytes(kept.back().body);
    for (ShadowEdge& edge : kept.back().edges) {
      if (edge.target != kNobody) edge.target = renamed[static_cast<size_t>(edge.target)];
    }
  }
  objects_ = std::move(kept);
  return renamed;
}

ShadowSet ShadowSet::extract(int n) const {
  const std::vector<int> order = reachable({n});
  std::vector<int> renamed(objects_.size(), kNobody);
  for (size_t i = 0; i < order.size(); ++i) renamed[static_cast<size_t>(order[i])] = static_cast<int>(i);
  ShadowSet part;
  for (int old : order) {
    Shadow shadow = (*this)[old];
    for (ShadowEdge& edge : shadow.edges) {
      if (edge.target != kNobody) edge.target = renamed[static_cast<size_t>(edge.target)];
    }
    part.add(std::move(shadow));
  }
  return part;
}

int ShadowSet::append(const ShadowSet& other) {
  const int shift = static_cast<int>(objects_.size());
  for (Shadow shadow : other.objects_) {
    for (ShadowEdge& edge : shadow.edges) {
      if (edge.target != kNobody) edge.target += shift;
    }
    add(std::move(shadow));
  }
  return shift;
}

void ShadowSet::check(int n, const std::vector<int>& roots) const {
  const Shadow& s = (*this)[n];
  Any* object = s.address();
  const std::string fault = check_words(object, s.body);
  if (!fault.empty()) fail(n, fault, roots);
  for (size_t place = 0; place < edge_count(s.body); ++place) {
    const Any* found = edge_at(object, s.body, place).get();
    const Any* expected = target(s.edges[place]);
    if (found == expected) continue;
    fail(n,
         "edge " + std::to_string(place) + " is " + hex(reinterpret_cast<uintptr_t>(found)) + " instead of " +
             hex(reinterpret_cast<uintptr_t>(expected)),
         roots);
  }
  if (s.will != nullptr) {
    const uint32_t runs = s.will->runs.load(std::memory_order_relaxed);
    if (runs != s.runs_seen)
      fail(n, "its finalizer ran (run " + std::to_string(runs) + ") though it is reachable", roots);
  }
}

uint64_t ShadowSet::check_all(const std::vector<int>& roots) const {
  // A safepoint now and then: large sets take milliseconds, and a stop waits for this thread.
  constexpr size_t kBetweenSafepoints = 64;
  const std::vector<int> order = reachable(roots);
  for (size_t i = 0; i < order.size(); ++i) {
    check(order[i], roots);
    if (i % kBetweenSafepoints == 0) safepoint();
  }
  return order.size();
}

void ShadowSet::fail(int n, const std::string& what, const std::vector<int>& roots) const {
  throw Fault(describe((*this)[n]) + ": " + what + "\n  path: " + path(n, roots));
}

std::string ShadowSet::path(int n, const std::vector<int>& roots) const {
  std::vector<int> from(objects_.size(), kNobody);
  const std::vector<int> order = reachable(roots);
  std::vector<char> seen(objects_.size(), 0);
  for (int root : roots) {
    if (root != kNobody) seen[static_cast<size_t>(root)] = 1;
  }
  for (int parent : order) {
    for (const ShadowEdge& edge : (*this)[parent].edges) {
      if (edge.target == kNobody || seen[static_cast<size_t>(edge.target)] != 0) continue;
      seen[static_cast<size_t>(edge.target)] = 1;
      from[static_cast<size_t>(edge.target)] = parent;
    }
  }
  if (seen[static_cast<size_t>(n)] == 0) return "not reachable from the roots of its graph";
  std::string text;
  int steps = 0;
  for (int at = n; at != kNobody; at = from[static_cast<size_t>(at)], ++steps) {
    if (steps < 12)
      text = std::string(to_string((*this)[at].body.kind)) + " " + std::to_string((*this)[at].body.id) +
             (text.empty() ? "" : " -> ") + text;
  }
  return "root -> " + std::string(steps > 12 ? "... -> " : "") + text;
}

}  // namespace keel::torture
