// Actor: one thread of a torture run, and the rendezvous at which all of them stand still for the judge.
//
// What an actor does follows from seed, thread and action number (Turn): the same seed gives the same
// sequence of actions in every thread. What an action finds (memory out or not, a weak pointer cleared or not
// yet) is the collector's doing, and with more than one thread also the scheduler's.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "allocator/base/clock.h"
#include "workloads/torture/commons.h"
#include "workloads/torture/draw.h"
#include "workloads/torture/map_plot.h"
#include "workloads/torture/scenes.h"

namespace keel::torture {

/// All actors wait here, in a blocking region, while one other thread looks at everything.
class Rendezvous {
 public:
  explicit Rendezvous(size_t actors) : active_(actors) {}
  /// Actor: waits until the judge is done.
  void arrive();
  /// Actor: comes no more.
  void leave();
  /// Judge: true when all that are left have arrived; false when none is left.
  bool wait_for_all();
  /// Whether wait_for_all() would return at once.
  bool ready();
  void release();

 private:
  RawMutex mu_;
  RawCondition changed_;
  size_t active_;
  size_t arrived_ = 0;
  uint64_t round_ = 0;
};

/// What the actors of a run have in common.
template <bool kPrecise>
struct Stage {
  Heap& heap;
  Session& session;
  const CommonOptions& options;
  const Settings& settings;
  Tally& tally;
  Trouble& trouble;
  Ends& ends;
  Commons<kPrecise>& commons;
  Scenes<kPrecise>& scenes;
  Rendezvous& rendezvous;
  RawMutex pool_mu;
  std::vector<std::unique_ptr<Graph<kPrecise>>> pool;  // graphs on their way from one actor to another
};

template <bool kPrecise>
class Actor {
 public:
  template <typename T>
  using Local = LocalFor<kPrecise, T>;

  Actor(Stage<kPrecise>& stage, uint32_t thread) : stage_(stage), thread_(thread) {
    const auto actors = static_cast<uint64_t>(stage.options.threads);
    budget_bytes_ = std::max<uint64_t>(16 * 1024, stage.settings.live_bytes / actors / kGraphs);
  }

  /// The thread's life, until `end_ns`, its share of --operations, or the stop.
  void run(int64_t end_ns);

  // The judge's, while the actor is parked or has ended. Attached.
  /// Compares everything, and drops what has no closed form.
  void check();
  void add_live(std::unordered_map<uint64_t, uint64_t>& bytes_of, uint64_t& map_bytes) const;
  void drop_all();
  [[nodiscard]] const Trail& trail() const { return trail_; }
  [[nodiscard]] std::string name() const { return "thread " + std::to_string(thread_); }

 private:
  static constexpr size_t kGraphs = 2;

  void act(Action action, Turn& turn);
  void act_on_heap(Action action, Turn& turn);
  void garbage(Turn& turn);
  void giant(Turn& turn);
  void end_pointer(Turn& turn);
  void give();
  void stay_blocked(Turn& turn);
  void look_at_stats();
  void leave_and_return(Turn& turn);
  void set_gogc(Turn& turn);
  void set_limit(Turn& turn);
  void starved(const OutOfMemory& error, Action action, Turn& turn);
  Graph<kPrecise>& graph(Turn& turn);

  Stage<kPrecise>& stage_;
  const uint32_t thread_;
  uint64_t budget_bytes_ = 0;
  Trail trail_;
  std::optional<MutatorScope> scope_;
  std::vector<std::unique_ptr<Graph<kPrecise>>> graphs_;
  MapPlot<kPrecise, GoMap> go_map_;
  MapPlot<kPrecise, SwissMap> swiss_map_;
};

}  // namespace keel::torture
