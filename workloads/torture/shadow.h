// Shadow: the oracle. What the program knows of its objects, in malloc'd memory, independently of the heap.
//
// A ShadowSet is a graph: for every object its kind, size and id, its address (disguised, so that it keeps
// nothing alive), and its edges as numbers. What is reachable in the set from the roots that its owner names
// must be whole on the heap, with these contents and these edges; what is not may be gone, and some of it is
// still recorded because a weak pointer or a finalizer may bring it back.
//
// Threads: one at a time; a set is handed over whole.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "workloads/torture/kinds.h"

namespace keel::torture {

/// The oracle and the heap disagree. what() is the whole story: object, age, path from its root.
class Fault : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A finalizer, outside the heap: how often it was set (and not taken away) and how often it ran.
struct Will {
  // relaxed [session.stop]: counts; the oracle reads them of objects that it holds, or after all is quiet.
  std::atomic<uint32_t> due{0};
  std::atomic<uint32_t> runs{0};
  std::atomic<bool> armed{false};  // set, not taken away, not run
};

inline constexpr int kNobody = -1;

struct ShadowEdge {
  int target = kNobody;
  uint64_t offset = 0;  // of the byte pointed to
};

struct Shadow {
  Body body;
  uintptr_t disguised = 0;
  std::array<ShadowEdge, kMostEdges> edges;
  uint64_t born = 0;           // the number of its maker's action
  uint32_t thread = 0;         // its maker
  bool frozen = false;         // its edges do not change
  std::shared_ptr<Will> will;  // if it ever had a finalizer
  uint32_t runs_seen = 0;      // how often that had run; a reachable object's has not run since

  [[nodiscard]] Any* address() const { return reinterpret_cast<Any*>(~disguised); }
  void set_address(const Any* object) { disguised = ~reinterpret_cast<uintptr_t>(object); }
};

class ShadowSet {
 public:
  int add(Shadow shadow);
  [[nodiscard]] Shadow& operator[](int n) { return objects_[static_cast<size_t>(n)]; }
  [[nodiscard]] const Shadow& operator[](int n) const { return objects_[static_cast<size_t>(n)]; }
  [[nodiscard]] size_t size() const { return objects_.size(); }
  /// HeapAlloc of every object that is recorded.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  [[nodiscard]] Any* target(const ShadowEdge& edge) const {
    return edge.target == kNobody ? nullptr : (*this)[edge.target].address() + edge.offset;
  }

  /// Numbers of what can be reached from `roots`, breadth first, each once.
  [[nodiscard]] std::vector<int> reachable(const std::vector<int>& roots) const;
  /// HeapAlloc of what can be reached.
  [[nodiscard]] uint64_t reachable_bytes(const std::vector<int>& roots) const;
  /// The same by id: sets may share what does not change.
  void add_reachable(const std::vector<int>& roots, std::unordered_map<uint64_t, uint64_t>& bytes_of) const;
  /// Forgets what cannot be reached from `roots`; the answer has every object's new number, or kNobody.
  std::vector<int> compact(const std::vector<int>& roots);
  /// What can be reached from object n, which becomes number 0.
  [[nodiscard]] ShadowSet extract(int n) const;
  /// Appends another set; the answer is what its numbers are shifted by.
  int append(const ShadowSet& other);

  /// Compares object n with the heap, which must hold it. Throws Fault. `roots` are for the path it names.
  void check(int n, const std::vector<int>& roots) const;
  /// Every object that can be reached; how many. Polls for a safepoint now and then: the caller's roots keep
  /// all of it.
  uint64_t check_all(const std::vector<int>& roots) const;
  /// Throws the Fault that object n shows `what`.
  [[noreturn]] void fail(int n, const std::string& what, const std::vector<int>& roots) const;

 private:
  [[nodiscard]] std::string path(int n, const std::vector<int>& roots) const;

  std::vector<Shadow> objects_;
  uint64_t bytes_ = 0;
};

/// "node 17 (32 B at 0x..., made by thread 2 in its action 45)".
std::string describe(const Shadow& shadow);

}  // namespace keel::torture
