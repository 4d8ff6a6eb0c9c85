// `graph_churn`: random surgery on pointers.
//
// What it presses on: the write barrier, and everything that could hide an object from a marker. Each thread
// has a table of nodes with four edges. An operation swaps edges of two nodes through locals, cuts one, links
// one to a random node, or puts a new node in a table slot; the old one lives on as long as an edge leads to
// it. So pointers move between heap, stack and table all the time, and nobody knows when a node dies. Live
// bytes: counted by a walk at the end, at least table and nodes.
#include <unordered_set>

#include "allocator/base/rng.h"
#include "workloads/common/dispatch.h"

namespace {

using namespace keel;

struct ChurnSettings {
  uint64_t nodes = 200'000;
  uint64_t surgeries = 64;  // an operation
};

constexpr size_t kEdges = 4;

template <typename B>
struct ChurnNode {
  std::array<typename B::template Field<ChurnNode>, kEdges> edges;
  uint64_t number;
  uint64_t check;
};
template <typename B>
struct ChurnSlot {
  typename B::template Field<ChurnNode<B>> node;
};

template <typename B>
class GraphChurn {
 public:
  using Backend = B;
  using Settings = ChurnSettings;
  using Node = ChurnNode<B>;
  static constexpr const char* kNoMalloc =
      "nobody knows when a node dies: only a collector can run graph_churn";

  /// At least: what hangs on old edges comes on top.
  static Footprint footprint(const CommonOptions& options, const Settings& s) {
    const uint64_t each = B::slot_bytes(sizeof(Node)) + sizeof(void*);
    return {static_cast<uint64_t>(options.threads) * s.nodes * each,
            "--nodes or --threads (nodes are of each thread)"};
  }

  GraphChurn(const CommonOptions& options, const Settings& settings)
      : settings_(settings), seed_(options.seed) {}

  class Thread {
   public:
    Thread(GraphChurn& work, size_t t, SetUp& set_up) : work_(work), rng_(work.seed_ * 0x10001 + t) {
      const uint64_t nodes = work.settings_.nodes;
      table_.reset(B::template make_array<ChurnSlot<B>>(nodes));
      for (uint64_t i = 0; i < nodes && set_up.next(t, i, 2 * nodes); ++i) renew(i);
      for (uint64_t i = 0; i < nodes && set_up.next(t, nodes + i, 2 * nodes); ++i)
        node(i)->edges[rng_.below(kEdges)] = node(random());
    }
    void operation() {
      for (uint64_t i = 0; i < work_.settings_.surgeries; ++i) {
        switch (rng_.below(8)) {
          case 0:
            renew(random());
            break;
          case 1:
            node(random())->edges[rng_.below(kEdges)] = nullptr;
            break;
          case 2:
          case 3:
            node(random())->edges[rng_.below(kEdges)] = node(random());
            break;
          default:
            swap(node(random())->edges[rng_.below(kEdges)], node(random())->edges[rng_.below(kEdges)]);
        }
      }
      damaged_ = damaged_ || !whole(node(random()));
    }
    // Everything that the table reaches.
    bool walk(uint64_t& found) {
      std::unordered_set<const Node*> seen;
      std::vector<const Node*> work;
      for (uint64_t i = 0; i < work_.settings_.nodes; ++i) work.push_back(node(i));
      while (!work.empty()) {
        const Node* at = work.back();
        work.pop_back();
        if (!seen.insert(at).second) continue;
        if (!whole(at)) return false;
        for (const auto& edge : at->edges) {
          if (edge.get() != nullptr) work.push_back(edge.get());
        }
      }
      found += seen.size();
      return !damaged_;
    }

   private:
    using Field = typename B::template Field<Node>;
    static bool whole(const Node* at) { return at->check == ~(at->number * 0x9e3779b97f4a7c15); }
    Node* node(uint64_t i) { return table_.get()[i].node.get(); }
    uint64_t random() { return rng_.below(work_.settings_.nodes); }
    // For a moment both pointers are on the stack only: what a marker must not miss.
    static void swap(Field& a, Field& b) {
      typename B::template Local<Node> from_a = a.get();
      typename B::template Local<Node> from_b = b.get();
      a = nullptr;
      b = static_cast<Node*>(from_a);
      a = static_cast<Node*>(from_b);
    }
    void renew(uint64_t i) {
      typename B::template Local<Node> fresh = B::template make<Node>();
      fresh->number = ++made_;
      fresh->check = ~(made_ * 0x9e3779b97f4a7c15);
      if (Node* old = node(i)) fresh->edges[0] = old->edges[1].get();
      table_.get()[i].node = static_cast<Node*>(fresh);
    }
    GraphChurn& work_;
    Rng rng_;
    typename B::template Root<ChurnSlot<B>> table_;
    uint64_t made_ = 0;
    bool damaged_ = false;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (Thread* thread : threads) verdict.expect(thread->walk(reachable_), "a reachable node is damaged");
    if (verdict.passed) verdict.detail = std::to_string(reachable_) + " reachable nodes intact";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    return {{"reachable_nodes", reachable_},
            {"live_bytes", reachable_ * B::slot_bytes(sizeof(Node)) +
                               threads.size() * B::array_bytes(settings_.nodes * sizeof(void*))}};
  }

 private:
  const Settings settings_;
  const uint64_t seed_;
  uint64_t reachable_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  ChurnSettings settings;
  OptionParser parser("graph_churn", "Random surgery on the pointers of a graph.");
  parser.count("--nodes", settings.nodes, 2, 1'000'000'000, "nodes in each thread's table");
  parser.count("--surgeries", settings.surgeries, 1, 1'000'000, "pointer changes an operation");
  const CommonOptions options = parser.parse(argc, argv);
  return dispatch<GraphChurn>("graph_churn", argv, options, settings);
}
