// `mark_graph`: how long a full collection of a large live graph takes, and nothing else.
//
// What it presses on: the marker. N nodes of two pointers and a number (24 bytes) in a random graph: every
// node hangs on the tree of its index, and its second pointer goes to a random node, so the marker meets each
// node about twice and in no order the prefetcher of the machine could know. After set-up, --collections full
// collections are timed from outside: collect() on Keel (which includes its sweep), GC_gcollect() on Boehm.
// Live bytes: N slots and the root array, in closed form.
#include <algorithm>
#include <vector>

#include "allocator/base/clock.h"
#include "allocator/base/rng.h"
#include "allocator/base/units.h"
#include "workloads/backends/heap_backend.h"
#include "workloads/common/session.h"
#include "workloads/common/set_up.h"
#ifdef KEEL_FOR_BOEHM
#include "workloads/backends/boehm_backend.h"
#else
#include "workloads/backends/keel_backend.h"
#include "workloads/common/boehm_start.h"
#endif

namespace {

using namespace keel;

template <typename B>
struct GraphNode {
  typename B::template Field<GraphNode> first;
  typename B::template Field<GraphNode> second;
  uint64_t number;
};

template <typename B>
struct NodeSlot {
  typename B::template Field<GraphNode<B>> node;
};

/// The graph, as far as it was made; `root` holds it.
template <typename B>
void make_graph(SetUp& set_up, uint64_t nodes, uint64_t seed, typename B::template Root<GraphNode<B>>& root) {
  using Node = GraphNode<B>;
  const uint64_t steps = 4 * nodes;
  // The array only serves to build; the graph hangs on node 0 afterwards.
  typename B::template Root<NodeSlot<B>> all;
  all.reset(B::template make_array<NodeSlot<B>>(nodes));
  for (uint64_t i = 0; i < nodes && set_up.next_alone(i, steps); ++i) {
    typename B::template Local<Node> node = B::template make<Node>();
    node->number = i;
    all.get()[i].node = static_cast<Node*>(node);
  }
  if (set_up.stopped()) return;
  Rng rng(seed);
  // A random order of the nodes, so that the tree does not follow the addresses.
  std::vector<uint32_t> order(nodes);
  for (uint64_t i = 0; i < nodes; ++i) order[i] = static_cast<uint32_t>(i);
  for (uint64_t i = nodes; i-- > 1 && set_up.next_alone(2 * nodes - i, steps);)
    std::swap(order[i], order[rng.below(i + 1)]);
  auto at = [&](uint64_t i) { return all.get()[order[i]].node.get(); };
  // Node i hangs on node (i - 1) / 2 when it is a left child, or on its left sibling: a tree with one field.
  for (uint64_t i = 1; i < nodes && set_up.next_alone(2 * nodes + i, steps); ++i) {
    if (i % 2 == 1) {
      at((i - 1) / 2)->first = at(i);
    } else {
      at(i - 1)->second = at(i);
    }
  }
  for (uint64_t i = 0; i < nodes && set_up.next_alone(3 * nodes + i, steps); i += 2)
    at(i)->second = at(rng.below(nodes));
  root.reset(at(0));
}

/// Walks the tree: every node is there.
template <typename B>
void check_graph(Session& session, GraphNode<B>* root, uint64_t nodes) {
  using Node = GraphNode<B>;
  uint64_t seen = 0;
  std::vector<Node*> work;
  if (root != nullptr) work.push_back(root);
  std::vector<bool> found(nodes, false);
  while (!work.empty() && !session.stop_requested()) {
    Node* node = work.back();
    work.pop_back();
    if (node == nullptr || node->number >= nodes || found[node->number]) continue;
    found[node->number] = true;
    ++seen;
    work.push_back(node->first.get());
    work.push_back(node->second.get());
  }
  if (session.stop_requested()) return;  // not to its end
  session.set_self_check(seen == nodes,
                         std::to_string(seen) + " of " + std::to_string(nodes) + " nodes reachable");
}

template <typename B>
int run_on(const CommonOptions& options, uint64_t nodes, uint64_t collections) {
  using Node = GraphNode<B>;
  Session session("mark_graph", options);
  typename B::Runtime runtime(options, session.recorder());
  const Result<bool> started = session.recorder().start([&] { return runtime.sample(); });
  if (!started) exit_bad_input("mark_graph", started.error());
  std::vector<int64_t> times;
  const uint64_t live = nodes * B::slot_bytes(sizeof(Node));
  {
    typename B::Thread scope(runtime, "main");
    typename B::template Root<Node> root;
    try {
      SetUp set_up(session, 1);
      set_up.expect(
          {live + B::array_bytes(nodes * sizeof(NodeSlot<B>)), "--nodes", nodes * sizeof(uint32_t)});
      make_graph<B>(set_up, nodes, options.seed, root);
    } catch (const std::bad_alloc& e) {
      session.fail_out_of_memory(e.what());
    }
    if (!session.stop_requested()) {
      runtime.collect();
      session.recorder().note_rss_start();
      session.recorder().begin_measured();
      for (uint64_t i = 0; i < collections && !session.stop_requested(); ++i) {
        const int64_t begin = now_ns();
        runtime.collect();
        times.push_back(now_ns() - begin);
      }
      session.recorder().end_measured();
      check_graph<B>(session, root.get(), nodes);
    }
    root.reset();
  }
  std::vector<int64_t> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  if (!options.quiet && !sorted.empty() && options.report_path != "-") {
    std::printf("mark_graph: %s: full collection of %llu nodes: median %s, %zu collections\n",
                to_string(options.collector), static_cast<unsigned long long>(nodes),
                human_duration(static_cast<double>(sorted[sorted.size() / 2])).c_str(), sorted.size());
  }
  return session.finish([&](nlohmann::json& out) {
    runtime.sections(out);
    if (times.empty()) return;
    out["results"] = {{"collection_ns", times}, {"nodes", nodes}, {"live_bytes", live}};
    out["run"]["operations"] = times.size();
  });
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t nodes = 5'000'000;
  uint64_t collections = 5;
  OptionParser parser("mark_graph", "Full collections of a large live graph, timed from outside.");
  parser.count("--nodes", nodes, 1, 4'000'000'000, "nodes of 24 bytes");
  parser.count("--collections", collections, 1, 1000000, "collections timed");
  CommonOptions options = parser.parse(argc, argv);
  if (options.collector == Collector::kMalloc) {
    exit_bad_input("mark_graph", "option --collector: malloc has no collections to time; keel, boehm do");
  }
  if (options.ballast_bytes != 0)
    exit_bad_input("mark_graph", "option --ballast does not apply to mark_graph");
#ifdef KEEL_FOR_BOEHM
  return run_on<BoehmBackend>(options, nodes, collections);
#else
  if (options.collector != Collector::kKeel) start_boehm("mark_graph", argv);
  if (options.heap.roots == Roots::kPrecise) return run_on<KeelBackend<true>>(options, nodes, collections);
  return run_on<KeelBackend<false>>(options, nodes, collections);
#endif
}
