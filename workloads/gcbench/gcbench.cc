// `gcbench`: the benchmark of Ellis, Kovac and Boehm, written from its description.
//
// What it presses on: allocation and short-lived trees of many sizes beside a long-lived tree and a large
// pointer-free array. One operation is one repetition on one thread: a stretch tree two deeper than the rest
// and dropped at once; a long-lived tree and an array of 500,000 doubles; then, for depth 4, 6, ... N, as
// many trees as make twice the stretch tree's nodes, built top-down and bottom-up. Live bytes while the loops
// run: the long-lived tree and the array.
#include <algorithm>

#include "allocator/base/rng.h"
#include "workloads/common/dispatch.h"
#include "workloads/common/tree.h"

namespace {

using namespace keel;

constexpr uint64_t kLeastDepth = 4;
constexpr uint64_t kArraySize = 500'000;

struct GcBenchSettings {
  uint64_t depth = 16;  // of the long-lived tree and the largest short-lived ones
};

template <typename B>
struct BenchNode {
  typename B::template Field<BenchNode> left;
  typename B::template Field<BenchNode> right;
  int i;
  int j;
};

template <typename B>
class GcBench {
 public:
  using Backend = B;
  using Settings = GcBenchSettings;
  using Node = BenchNode<B>;
  static constexpr const char* kNoMalloc = nullptr;

  GcBench(const CommonOptions&, const Settings& settings) : settings_(settings) {}

  /// The stretch tree, or what is there later with the largest short-lived one.
  static Footprint footprint(const CommonOptions& options, const Settings& s) {
    const uint64_t node = B::slot_bytes(sizeof(Node));
    const uint64_t later = 2 * tree_size(s.depth) * node + B::array_bytes(kArraySize * sizeof(double));
    return {static_cast<uint64_t>(options.threads) * std::max(tree_size(s.depth + 2) * node, later),
            "--depth or --threads (trees are of each thread)"};
  }

  class Thread {
   public:
    Thread(GcBench& work, size_t, SetUp&) : depth_(work.settings_.depth) {}
    void operation() {
      stretch();
      typename B::template Local<Node> long_lived = B::template make<Node>();
      populate<B, Node>(long_lived, depth_);
      typename B::template Local<double> array = B::template make_array<double>(kArraySize);
      for (uint64_t i = 1; i < kArraySize / 2; ++i) array[i] = 1.0 / static_cast<double>(i);
      for (uint64_t depth = kLeastDepth; depth <= depth_; depth += 2) construct(depth);
      intact_ = intact_ && count_nodes<Node>(long_lived) == tree_size(depth_) && array[1000] == 1.0 / 1000;
      release_tree<B, Node>(long_lived);
      B::release(static_cast<double*>(array));
    }
    [[nodiscard]] bool intact() const { return intact_; }

   private:
    __attribute__((noinline)) void stretch() {
      typename B::template Local<Node> tree = make_tree<B, Node>(depth_ + 2);
      release_tree<B, Node>(tree);
    }
    __attribute__((noinline)) void construct(uint64_t depth) {
      const uint64_t count = 2 * tree_size(depth_ + 2) / tree_size(depth);
      for (uint64_t i = 0; i < count; ++i) {
        typename B::template Local<Node> tree = B::template make<Node>();
        populate<B, Node>(tree, depth);
        release_tree<B, Node>(tree);
      }
      for (uint64_t i = 0; i < count; ++i) {
        typename B::template Local<Node> tree = make_tree<B, Node>(depth);
        if (i == 0) intact_ = intact_ && count_nodes<Node>(tree) == tree_size(depth);
        release_tree<B, Node>(tree);
      }
    }
    const uint64_t depth_;
    bool intact_ = true;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (const Thread* thread : threads) verdict.expect(thread->intact(), "a tree has lost nodes");
    if (verdict.passed) verdict.detail = "every tree counted has all its nodes";
  }
  nlohmann::json results(const std::vector<Thread*>& threads) const {
    return {{"depth", settings_.depth},
            {"live_bytes", threads.size() * (tree_size(settings_.depth) * B::slot_bytes(sizeof(Node)) +
                                             B::array_bytes(kArraySize * sizeof(double)))}};
  }

 private:
  const Settings settings_;
};

}  // namespace

int main(int argc, char** argv) {
  GcBenchSettings settings;
  uint64_t repetitions = 10;
  OptionParser parser("gcbench",
                      "The Ellis-Kovac-Boehm benchmark: trees of many sizes beside long-lived data.");
  parser.count("--depth", settings.depth, 4, 26, "of the long-lived tree and the largest others");
  parser.count("--repetitions", repetitions, 1, 1000000, "on each thread; --duration, --operations instead");
  CommonOptions options = parser.parse(argc, argv);
  parser.repeat_by_default(options, repetitions);
  return dispatch<GcBench>("gcbench", argv, options, settings);
}
