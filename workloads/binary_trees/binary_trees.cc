// `binary_trees`: the Benchmarks Game's program, by its rules.
//
// What it presses on: allocation, and nothing but small short-lived objects beside one long-lived tree. A
// stretch tree of depth N + 1 is made, walked and dropped; a long-lived tree of depth N stays to the end; for
// depth 4, 6, ... N, 2^(N - depth + 4) trees are made bottom-up, walked and dropped one by one. One operation
// is one repetition; the threads share its trees. Live bytes: the long-lived tree.
#include <algorithm>

#include "workloads/common/dispatch.h"
#include "workloads/common/tree.h"

namespace {

using namespace keel;

constexpr uint64_t kLeastDepth = 4;

struct TreeSettings {
  uint64_t depth = 18;
};

template <typename B>
struct TreeNode {
  typename B::template Field<TreeNode> left;
  typename B::template Field<TreeNode> right;
};

template <typename B>
class BinaryTrees {
 public:
  using Backend = B;
  using Settings = TreeSettings;
  using Node = TreeNode<B>;
  static constexpr const char* kNoMalloc = nullptr;

  /// The long-lived tree beside the stretch tree.
  static Footprint footprint(const CommonOptions&, const Settings& s) {
    const uint64_t depth = depth_of(s);
    return {(tree_size(depth) + tree_size(depth + 1)) * B::slot_bytes(sizeof(Node)), "--depth"};
  }

  BinaryTrees(const CommonOptions& options, const Settings& settings, SetUp& set_up)
      : threads_(static_cast<uint64_t>(options.threads)), depth_(depth_of(settings)) {
    uint64_t made = 0;
    typename B::template Local<Node> tree =
        make_tree_while<B, Node>(depth_, [&] { return set_up.next_alone(made++, tree_size(depth_)); });
    long_lived_.reset(static_cast<Node*>(tree));
  }
  ~BinaryTrees() { release_tree<B>(long_lived_.get()); }

  class Thread {
   public:
    Thread(BinaryTrees& work, size_t t, SetUp&) : work_(work), t_(t) {}
    void operation() {
      if (t_ == 0) {
        typename B::template Local<Node> tree = make_tree<B, Node>(work_.depth_ + 1);
        intact_ = intact_ && count_nodes<Node>(tree) == tree_size(work_.depth_ + 1);
        release_tree<B, Node>(tree);
      }
      for (uint64_t depth = kLeastDepth; depth <= work_.depth_; depth += 2) make_and_walk(depth);
    }
    [[nodiscard]] bool intact() const { return intact_; }

   private:
    __attribute__((noinline)) void make_and_walk(uint64_t depth) {
      const uint64_t trees = uint64_t{1} << (work_.depth_ - depth + kLeastDepth);
      uint64_t nodes = 0;
      uint64_t mine = 0;
      for (uint64_t i = t_; i < trees; i += work_.threads_, ++mine) {
        typename B::template Local<Node> tree = make_tree<B, Node>(depth);
        nodes += count_nodes<Node>(tree);
        release_tree<B, Node>(tree);
      }
      intact_ = intact_ && nodes == mine * tree_size(depth);
    }
    BinaryTrees& work_;
    const size_t t_;
    bool intact_ = true;
  };

  void check(const std::vector<Thread*>& threads, Verdict& verdict) {
    for (const Thread* thread : threads) verdict.expect(thread->intact(), "a tree has lost nodes");
    verdict.expect(count_nodes<Node>(long_lived_.get()) == tree_size(depth_),
                   "the long-lived tree has lost nodes");
    if (verdict.passed) verdict.detail = "every tree has all its nodes";
  }
  nlohmann::json results(const std::vector<Thread*>&) const {
    return {{"depth", depth_}, {"live_bytes", tree_size(depth_) * B::slot_bytes(sizeof(Node))}};
  }

 private:
  static uint64_t depth_of(const Settings& s) { return std::max<uint64_t>(kLeastDepth + 2, s.depth); }

  const uint64_t threads_;
  const uint64_t depth_;
  typename B::template Root<Node> long_lived_;
};

}  // namespace

int main(int argc, char** argv) {
  TreeSettings settings;
  uint64_t repetitions = 3;
  OptionParser parser("binary_trees", "The Benchmarks Game's binary-trees.");
  parser.count("--depth", settings.depth, 4, 26, "of the long-lived tree (the Game's N)");
  parser.count("--repetitions", repetitions, 1, 1000000,
               "of the whole program; --duration, --operations instead");
  CommonOptions options = parser.parse(argc, argv);
  parser.repeat_by_default(options, repetitions);
  return dispatch<BinaryTrees>("binary_trees", argv, options, settings);
}
