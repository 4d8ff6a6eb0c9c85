// CONFIG: barriers=all roots=all transitions=all; release, debug, asan, ubsan, tsan
//
// Random mutations on several threads against a shadow graph outside the heap. KEEL_SEED picks the run,
// KEEL_STRESS_OPERATIONS its length.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>

#include "allocator/span/span_bits.h"
#include "collector/cycle/heap_core.h"
#include "collector/stress/shadow_graph.h"

namespace keel::stress {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Sanitizers run the same mix, fewer times.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kDefaultOperations = 200000;
#else
constexpr uint64_t kDefaultOperations = KEEL_DEBUG_CHECKS ? 400000 : 1000000;
#endif

struct Settings {
  const char* name;
  int threads;
  bool stress;
  bool poison;
  bool churn;  // threads leave and come back
  uint32_t grey_chunks;
  const char* barrier = "hybrid";
  const char* transitions = "stw";
};

void PrintTo(const Settings& s, std::ostream* out) { *out << s.name; }

// Every object whose allocation bit is set. World stopped, swept.
void allocated_objects(HeapCore& core, std::unordered_set<uintptr_t>& out) {
  core.memory.for_each_span([&](Span& span) {
    const Layout& layout = layout_of(span.layout);
    const BitWord* bits = core.memory.alloc_bits(core.memory.page_of(span));
    for (uint32_t slot = 0; slot < layout.slots; ++slot) {
      if (test_bit(bits, slot)) out.insert(span.start + uint64_t{slot} * layout.slot_bytes);
    }
  });
}

template <bool kPrecise>
class StressRun {
 public:
  using Graph = ShadowGraph<kPrecise>;

  StressRun(const Settings& settings, uint64_t seed, uint64_t operations)
      : settings_(settings), seed_(seed), operations_(operations), finished_(settings.threads) {
    HeapConfig config;
    config.barrier = settings.barrier;
    config.transitions = settings.transitions;
    config.roots = kPrecise ? Roots::kPrecise : Roots::kConservative;
    config.debug.stress = settings.stress ? 500 : 0;
    config.debug.poison = settings.poison;
    config.debug.checkmark = true;
    config.debug.walk = true;
    config.record_roots = true;
    config.grey_chunks = settings.grey_chunks;
    config.gogc_percent = 5;  // a floor of 200 KiB: many cycles
    heap_ = std::make_unique<Heap>(config);
  }

  void operate() {
    std::vector<std::thread> threads;
    for (int t = 0; t < settings_.threads; ++t) threads.emplace_back([this, t] { work(t); });
    // The judge looks while the mutators are still attached, blocked, with whatever their stacks hold.
    finished_.wait();
    std::thread judge([this] { this->judge(); });
    judge.join();
    judged_.count_down();
    for (std::thread& thread : threads) thread.join();
    std::thread([this] {
      MutatorScope scope(*heap_, "close");
      queue_.clear();
    }).join();
  }

  uint64_t survivors() const { return survivors_; }
  HeapStats stats() const { return heap_->stats(); }

 private:
  void work(int t) {
    Rng rng(seed_ * 1000 + static_cast<uint64_t>(t));
    const uint64_t mine = operations_ / static_cast<uint64_t>(settings_.threads);
    const uint64_t rounds = settings_.churn ? 8 : 1;
    for (uint64_t round = 0; round < rounds; ++round) {
      MutatorScope scope(*heap_, "stress");
      std::deque<std::unique_ptr<Graph>> graphs;
      for (uint64_t i = 0; i < mine / rounds; ++i) {
        if (graphs.size() < 3) {
          std::unique_ptr<Graph> graph = take();
          if (graph == nullptr)
            graph = std::make_unique<Graph>(next_id_.fetch_add(1, std::memory_order_relaxed));
          graphs.push_back(std::move(graph));
        }
        Graph& graph = *graphs[rng.below(graphs.size())];
        graph.mutate(rng);
        const uint64_t dice = rng.below(1000);
        if (dice < 4) {
          const std::string fault = graph.verify();
          EXPECT_EQ(fault, "") << "seed " << seed_;
          if (!fault.empty()) std::abort();
        } else if (dice < 8) {
          give(std::move(graphs.front()));
          graphs.pop_front();
        } else if (dice < 9) {
          blocking([] { std::this_thread::yield(); });
        } else if (dice < 10 && !settings_.stress) {
          if (rng.below(20) == 0) heap_->collect();
        } else if (dice < 14) {
          make_array<uint64_t>(rng.below(3000));
          make_array<Ptr<Node>>(rng.below(40000) / (1 + rng.below(100)));
        }
      }
      for (auto& graph : graphs) give(std::move(graph));
      if (round + 1 == rounds) {
        finished_.count_down();
        blocking([this] { judged_.wait(); });
      }
    }
  }

  void judge() {
    MutatorScope scope(*heap_, "judge");
    std::unordered_set<uintptr_t> expected;
    for (auto& graph : queue_) {
      ASSERT_EQ(graph->verify(), "") << "seed " << seed_;
      graph->live_objects(expected);
    }
    heap_->collect();
    heap_->collect();
    ASSERT_EQ(heap_->check(), "");
    HeapCore& core = heap_->core();
    blocking([&] {
      core.cycle->run_stopped([&] {
        std::unordered_set<uintptr_t> alive;
        allocated_objects(core, alive);
        for (uintptr_t object : expected) {
          ASSERT_EQ(alive.count(object), 1U) << "a live object was freed; seed " << seed_;
        }
        survivors_ = alive.size() - expected.size();
        if (kPrecise) {
          EXPECT_EQ(survivors_, 0U) << "dead objects outlived two collections; seed " << seed_;
        } else {
          explain(core, alive, expected);
        }
      });
    });
  }

  // Every survivor hangs on a recorded stack word: walk the heap from the recorded hits.
  void explain(HeapCore& core, const std::unordered_set<uintptr_t>& alive,
               const std::unordered_set<uintptr_t>& expected) {
    std::unordered_set<uintptr_t> explained;
    std::vector<uintptr_t> work;
    {
      MutexLock lock(core.gathered_mu);
      for (const RootHit& hit : core.hits) work.push_back(hit.object);
    }
    while (!work.empty()) {
      const uintptr_t object = work.back();
      work.pop_back();
      if (!explained.insert(object).second) continue;
      const Span* span = core.memory.table().find(object);
      if (span == nullptr || layout_of(span->layout).noscan()) continue;
      const Layout& layout = layout_of(span->layout);
      const uint64_t words = (layout.large() ? span->object_bytes : layout.slot_bytes) / kWordBytes;
      for (uint64_t i = 0; i < words; ++i) {
        const uintptr_t value = reinterpret_cast<const uintptr_t*>(object)[i];
        if (alive.count(value) != 0) work.push_back(value);
      }
    }
    for (uintptr_t object : alive) {
      if (expected.count(object) == 0) {
        EXPECT_EQ(explained.count(object), 1U)
            << "a survivor that no recorded root word explains; seed " << seed_;
      }
    }
  }

  std::unique_ptr<Graph> take() {
    std::lock_guard lock(mu_);
    if (queue_.size() < 4) return nullptr;
    std::unique_ptr<Graph> graph = std::move(queue_.front());
    queue_.pop_front();
    return graph;
  }
  void give(std::unique_ptr<Graph> graph) {
    std::lock_guard lock(mu_);
    queue_.push_back(std::move(graph));
  }

  const Settings settings_;
  const uint64_t seed_;
  const uint64_t operations_;
  std::unique_ptr<Heap> heap_;
  std::mutex mu_;
  std::deque<std::unique_ptr<Graph>> queue_;
  std::atomic<uint64_t> next_id_{1};
  uint64_t survivors_ = 0;
  std::latch finished_;
  std::latch judged_{1};
};

class ShadowGraphStress : public testing::TestWithParam<Settings> {
 protected:
  uint64_t seed() const { return from_environment("KEEL_SEED", 1); }
  uint64_t operations() const {
    const uint64_t all = from_environment("KEEL_STRESS_OPERATIONS", kDefaultOperations);
    if (GetParam().stress) return all / 8;
    const bool shipped =
        std::string(GetParam().barrier) == "hybrid" && std::string(GetParam().transitions) == "stw";
    return shipped ? all : all / 2;
  }
};

TEST_P(ShadowGraphStress, PreciseRootsKeepAllThatLivesAndNothingElse) {
  std::printf("seed %llu, %llu operations\n", static_cast<unsigned long long>(seed()),
              static_cast<unsigned long long>(operations()));
  StressRun<true> run(GetParam(), seed(), operations());
  run.operate();
  EXPECT_GT(run.stats().num_gc, 4U);
}

TEST_P(ShadowGraphStress, ConservativeRootsKeepAllThatLivesAndExplainTheRest) {
  std::printf("seed %llu, %llu operations\n", static_cast<unsigned long long>(seed()),
              static_cast<unsigned long long>(operations()));
  // Survivors are what stale stack words hold: bounded by the graphs of the threads, not by the length of the
  // run.
  uint64_t survivors[2];
  for (int i = 0; i < 2; ++i) {
    StressRun<false> run(GetParam(), seed(), operations() / (i == 0 ? 4 : 1));
    run.operate();
    survivors[i] = run.survivors();
    if (i == 1) {
      EXPECT_GT(run.stats().num_gc, 4U);
    }
  }
  std::printf("survivors: %llu after a quarter of the run, %llu after all of it\n",
              static_cast<unsigned long long>(survivors[0]), static_cast<unsigned long long>(survivors[1]));
  const uint64_t bound = 2 * ShadowGraph<false>::kMostNodes * 8;
  EXPECT_LE(survivors[0], bound);
  EXPECT_LE(survivors[1], bound);
}

INSTANTIATE_TEST_SUITE_P(Mixes, ShadowGraphStress,
                         testing::Values(Settings{"OneThread", 1, false, true, false, 1024},
                                         Settings{"FourThreads", 4, false, true, false, 1024},
                                         Settings{"FourThreadsComeAndGo", 4, false, false, true, 1024},
                                         Settings{"TinyBuffersCollectOften", 3, true, true, true, 1024},
                                         Settings{"GreyPoolOfOneChunk", 2, false, true, false, 1}),
                         [](const auto& test) { return std::string(test.param.name); });

// Every sound pair of barrier and transition but the first, which has the whole mix above.
std::vector<Settings> other_kinds() {
  std::vector<Settings> all;
  for (const char* transitions : {"stw", "handshake"}) {
    for (const char* barrier : {"hybrid", "hybrid-conditional", "dijkstra", "yuasa", "none"}) {
      HeapConfig config;
      config.barrier = barrier;
      config.transitions = transitions;
      if (!config.check().ok() || (config.barrier == "hybrid" && config.transitions == "stw")) continue;
      all.push_back({"ComeAndGo", 3, false, true, true, 1024, barrier, transitions});
      all.push_back({"CollectOften", 3, true, true, true, 1024, barrier, transitions});
      if (config.barrier == "hybrid") {
        all.push_back({"GreyPoolOfOneChunk", 2, false, true, false, 1, barrier, transitions});
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kinds, ShadowGraphStress, testing::ValuesIn(other_kinds()), [](const auto& test) {
  std::string name = std::string(test.param.barrier) + "_" + test.param.transitions + "_" + test.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace keel::stress
