// A graph on the heap and its shadow in malloc'd memory: what the collector must keep, known independently of
// it.
//
// Node n of a graph has four fields and perhaps a pointer-free blob; the shadow holds the same edges as
// numbers, and each node's address disguised, so that it keeps nothing alive. A graph is used by one thread
// at a time and handed over whole.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

#include "allocator/base/rng.h"
#include "collector/api/heap.h"

namespace keel::stress {

struct Blob {
  std::array<uint64_t, 5> words;
};

struct Node {
  uint64_t id;
  std::array<Ptr<Node>, 4> kids;
  Ptr<Blob> blob;
  uint64_t check;
};

inline uint64_t checksum(uint64_t id) { return id * 0x9e3779b97f4a7c15 ^ 0x5bd1e995; }

template <bool kPrecise>
class ShadowGraph {
 public:
  template <typename T>
  using Local = LocalFor<kPrecise, T>;
  static constexpr int kNone = -1;
  static constexpr size_t kMostNodes = 256;

  explicit ShadowGraph(uint64_t graph_id) : id_(graph_id) {
    Local<Node> root = new_node(true);
    root_ = static_cast<Node*>(root);
  }

  /// One random operation. Threads: the owner.
  void mutate(Rng& rng) {
    switch (rng.below(8)) {
      case 0:
      case 1:
      case 2:
        add(rng);
        break;
      case 3:
        unlink(rng);
        break;
      case 4:
      case 5:
        move(rng);
        break;
      case 6:
        connect(rng);
        break;
      default:
        replace_blob(rng);
        break;
    }
    if (shadow_.size() > 4 * kMostNodes) compact();
  }

  /// Compares every reachable node with its shadow; empty if all agree.
  std::string verify() {
    std::vector<int> seen(shadow_.size(), 0);
    return verify_from(0, seen);
  }

  /// Addresses of all objects that must be alive.
  void live_objects(std::unordered_set<uintptr_t>& out) const {
    for (int n : reachable()) {
      out.insert(reveal(shadow_[static_cast<size_t>(n)].address));
      if (shadow_[static_cast<size_t>(n)].blob != 0) out.insert(reveal(shadow_[static_cast<size_t>(n)].blob));
    }
  }

 private:
  struct Shadow {
    std::array<int, 4> kids{kNone, kNone, kNone, kNone};
    uintptr_t address = 0;  // disguised
    uintptr_t blob = 0;     // disguised, 0 for none
  };
  static uintptr_t disguise(const void* p) { return ~reinterpret_cast<uintptr_t>(p); }
  static uintptr_t reveal(uintptr_t d) { return ~d; }

  Local<Node> new_node(bool with_blob) {
    Local<Node> node = make<Node>();
    const uint64_t id = id_ << 32 | shadow_.size();
    node->id = id;
    node->check = checksum(id);
    shadow_.push_back({});
    shadow_.back().address = disguise(node);
    if (with_blob) set_blob(node, shadow_.size() - 1);
    return node;
  }

  void set_blob(Local<Node>& node, size_t n) {
    Local<Blob> blob = make<Blob>();
    for (uint64_t& word : blob->words) word = node->id;
    node->blob = static_cast<Blob*>(blob);
    shadow_[n].blob = disguise(blob);
  }

  // Walks down from the root along both graphs; the node found is reachable.
  int walk(Rng& rng, Local<Node>& at) {
    int n = 0;
    at = root_.get();
    for (uint64_t steps = rng.below(12); steps > 0; --steps) {
      const size_t k = rng.below(4);
      const int next = shadow_[static_cast<size_t>(n)].kids[k];
      if (next == kNone) break;
      at = at->kids[k].get();
      n = next;
    }
    return n;
  }

  void set_kid(Local<Node>& parent, int p, size_t k, Node* child, int c) {
    parent->kids[k] = child;
    shadow_[static_cast<size_t>(p)].kids[k] = c;
  }

  void add(Rng& rng) {
    Local<Node> parent = nullptr;
    const int p = walk(rng, parent);
    Local<Node> child = new_node(rng.below(3) == 0);
    set_kid(parent, p, rng.below(4), child, static_cast<int>(shadow_.size()) - 1);
  }

  void unlink(Rng& rng) {
    Local<Node> parent = nullptr;
    const int p = walk(rng, parent);
    set_kid(parent, p, rng.below(4), nullptr, kNone);
  }

  // The hidden object: load a child, cut its only heap pointer, allocate (a safepoint), store it elsewhere.
  void move(Rng& rng) {
    Local<Node> from = nullptr;
    const int f = walk(rng, from);
    const size_t k = rng.below(4);
    const int c = shadow_[static_cast<size_t>(f)].kids[k];
    if (c == kNone) return;
    Local<Node> child = from->kids[k].get();
    set_kid(from, f, k, nullptr, kNone);
    for (uint64_t i = rng.below(4); i > 0; --i) make<Blob>();
    Local<Node> to = nullptr;
    const int t = walk(rng, to);
    set_kid(to, t, rng.below(4), child, c);
  }

  void connect(Rng& rng) {
    Local<Node> a = nullptr;
    Local<Node> b = nullptr;
    const int na = walk(rng, a);
    const int nb = walk(rng, b);
    set_kid(a, na, rng.below(4), b, nb);
  }

  void replace_blob(Rng& rng) {
    Local<Node> node = nullptr;
    const int n = walk(rng, node);
    set_blob(node, static_cast<size_t>(n));
  }

  std::vector<int> reachable() const {
    std::vector<int> order{0};
    std::vector<char> seen(shadow_.size(), 0);
    seen[0] = 1;
    for (size_t i = 0; i < order.size(); ++i) {
      for (int kid : shadow_[static_cast<size_t>(order[i])].kids) {
        if (kid != kNone && seen[static_cast<size_t>(kid)] == 0) {
          seen[static_cast<size_t>(kid)] = 1;
          order.push_back(kid);
        }
      }
    }
    return order;
  }

  // Forgets dead shadows; cuts the graph when too much of it lives.
  void compact() {
    std::vector<int> order = reachable();
    if (order.size() > kMostNodes) {
      for (size_t k = 0; k < 4; ++k) {
        if (k % 2 == 1) continue;
        root_->kids[k] = nullptr;
        shadow_[0].kids[k] = kNone;
      }
      order = reachable();
    }
    std::vector<int> renamed(shadow_.size(), kNone);
    for (size_t i = 0; i < order.size(); ++i) renamed[static_cast<size_t>(order[i])] = static_cast<int>(i);
    std::vector<Shadow> kept;
    for (int n : order) {
      Shadow s = shadow_[static_cast<size_t>(n)];
      for (int& kid : s.kids) kid = kid == kNone ? kNone : renamed[static_cast<size_t>(kid)];
      kept.push_back(s);
    }
    shadow_ = std::move(kept);
  }

  std::string verify_from(int first, std::vector<int>& seen) {
    struct Item {
      int n;
      Node* node;
    };
    // No safepoint in here: plain pointers are enough under precise roots too.
    std::vector<Item> work{{first, root_.get()}};
    seen[static_cast<size_t>(first)] = 1;
    while (!work.empty()) {
      const Item item = work.back();
      work.pop_back();
      const Shadow& s = shadow_[static_cast<size_t>(item.n)];
      const std::string where = "graph " + std::to_string(id_) + " node " + std::to_string(item.n) + ": ";
      if (disguise(item.node) != s.address) return where + "address differs";
      if (item.node->check != checksum(item.node->id)) return where + "contents destroyed";
      if ((item.node->blob == nullptr) != (s.blob == 0)) return where + "blob appeared or vanished";
      if (s.blob != 0) {
        if (disguise(item.node->blob.get()) != s.blob) return where + "blob address differs";
        for (uint64_t word : item.node->blob->words) {
          if (word != item.node->id) return where + "blob destroyed";
        }
      }
      for (size_t k = 0; k < 4; ++k) {
        Node* kid = item.node->kids[k].get();
        if ((kid == nullptr) != (s.kids[k] == kNone))
          return where + "field " + std::to_string(k) + " differs";
        if (kid == nullptr || seen[static_cast<size_t>(s.kids[k])] != 0) continue;
        seen[static_cast<size_t>(s.kids[k])] = 1;
        work.push_back({s.kids[k], kid});
      }
    }
    return {};
  }

  uint64_t id_;
  Root<Node> root_;
  std::vector<Shadow> shadow_;
};

}  // namespace keel::stress
