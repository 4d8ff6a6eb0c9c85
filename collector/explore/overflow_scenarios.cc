// Grey pools of very few chunks: what is left for the last stop, and who still holds work in it.
#include "collector/explore/scenario.h"
#include "collector/explore/scenario_parts.h"

namespace keel::explore {
namespace {

// Made with tails of different lengths, so that one tree has objects in many spans.
struct Branch {
  static constexpr size_t kWidth = 8;
  std::array<Ptr<Branch>, kWidth> below;
  uint64_t number;
  uint64_t canary;
};

// A tree built from its leaves up: each new branch takes some of those that nothing leads to yet. The model
// says who is below whom.
class Tree {
 public:
  static constexpr size_t kBranches = 160;
  explicit Tree(Rng& rng) {
    std::vector<size_t> loose;
    std::vector<Root<Branch>> held;
    for (size_t n = 0; n < kBranches; ++n) {
      PreciseLocal<Branch> branch = make_branch(n, kTails[rng.below(kTails.size())]);
      const bool leaf = rng.below(3) != 0;
      const size_t takes = leaf ? 0 : std::min<size_t>(2 + rng.below(Branch::kWidth - 1), loose.size());
      for (size_t i = 0; i < takes; ++i) {
        const size_t at = rng.below(loose.size());
        branch->below[i] = held[at].get();
        below_[n].push_back(loose[at]);
        loose.erase(loose.begin() + static_cast<ptrdiff_t>(at));
        held.erase(held.begin() + static_cast<ptrdiff_t>(at));
      }
      loose.push_back(n);
      held.emplace_back(branch.get());
    }
    for (size_t i = 0; i < loose.size(); ++i) tops_.push_back(std::move(held[i]));
    top_numbers_ = loose;
  }
  void check() const {
    for (size_t i = 0; i < tops_.size(); ++i) check_below(tops_[i].get(), top_numbers_[i]);
  }

 private:
  static constexpr std::array<size_t, 6> kTails = {0, 100, 300, 700, 1400, 3000};
  static Branch* make_branch(uint64_t number, size_t tail) {
    auto* branch = make_with_tail<Branch>(tail);
    branch->number = number;
    branch->canary = canary(number);
    return branch;
  }
  static uint64_t canary(uint64_t number) { return ~number * 0x9e3779b97f4a7c15ULL; }
  void check_below(const Branch* branch, size_t n) const {
    check_node(branch, n, "a branch");
    for (size_t i = 0; i < below_[n].size(); ++i) check_below(branch->below[i].get(), below_[n][i]);
  }

  std::vector<Root<Branch>> tops_;
  std::vector<size_t> top_numbers_;
  std::array<std::vector<size_t>, kBranches> below_;
};

}  // namespace

// A tree whose objects lie in many spans, and two to four chunks of grey memory: last stops begin with spans
// flagged, and workers take part in what is left to do.
void run_late_overflow(const Variant& variant, uint64_t seed) {
  Rng rng(seed);
  HeapConfig config = tiny_heap(variant);
  config.grey_chunks = static_cast<uint32_t>(2 + rng.below(3));
  config.mark_workers = 2;
  Heap heap(config);
  MutatorScope attached(heap);
  const Tree tree(rng);
  heap.collect();
  tree.check();
}

}  // namespace keel::explore
