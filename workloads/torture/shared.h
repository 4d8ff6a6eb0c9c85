// What all threads of a torture run share: where faults go, what is counted, the ends of objects' lives.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "allocator/base/mutex.h"
#include "workloads/common/session.h"
#include "workloads/torture/shadow.h"

namespace keel::torture {

/// What a thread can do; the names in the report are these without the k_.
enum class Action : uint8_t {
  k_add,
  k_unlink,
  k_move,
  k_connect,
  k_bulk,
  k_cut,
  k_root_add,
  k_root_copy,
  k_root_move,
  k_root_drop,
  k_walk,
  k_check,
  k_weak_add,
  k_weak_look,
  k_tree_add,
  k_disarm,
  k_cleanup_add,
  k_cleanup_stop,
  k_adopt_revived,
  k_go_map,
  k_swiss_map,
  k_stall_put,
  k_stall_look,
  k_give,
  k_garbage,
  k_giant,
  k_end_pointer,
  k_blocking,
  k_safepoint,
  k_collect,
  k_set_gogc,
  k_set_limit,
  k_free_memory,
  k_ballast,
  k_stats,
  k_leave,
  k_child,
  k_throwing_child,
  k_starved_child,
  k_cancelled_child,
  k_fork,
  k_conversation,
  kActions  // how many there are
};
inline constexpr size_t kActionCount = static_cast<size_t>(Action::kActions);
const char* to_string(Action action);
/// One action, by weight.
Action draw_action(Rng& rng);

/// The last actions of one thread. Threads: its owner; anybody while the owner is parked.
class Trail {
 public:
  void add(uint64_t number, Action action) {
    ring_[count_++ % kKept] = {number, action};
    digest_ = digest_ * 0x100000001b3 ^ static_cast<uint64_t>(action);
  }
  [[nodiscard]] std::string text() const;
  /// Of all actions so far: equal for equal sequences.
  [[nodiscard]] std::string digest() const;

 private:
  static constexpr size_t kKept = 24;
  struct Step {
    uint64_t number;
    Action action;
  };
  std::array<Step, kKept> ring_{};
  uint64_t count_ = 0;
  uint64_t digest_ = 0xcbf29ce484222325;
};

/// The first fault ends the run; it is printed with the command that repeats it.
class Trouble {
 public:
  Trouble(Session& session, std::string command) : session_(session), command_(std::move(command)) {}
  /// Threads: any.
  void report(const std::string& who, const std::string& what, const std::string& trail);
  /// relaxed [session.stop]: a flag that is looked at between actions.
  [[nodiscard]] bool any() const { return any_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::string first();

 private:
  Session& session_;
  const std::string command_;
  std::atomic<bool> any_{false};
  RawMutex mu_;
  std::string first_;
};

/// Counts for the report. relaxed [session.stop]: sums, read after the threads have joined.
struct Tally {
  using Count = std::atomic<uint64_t>;
  std::array<Count, kActionCount> actions{};
  std::array<Count, kKindCount> made{};
  Count checked{0};
  Count weak_alive{0}, weak_cleared{0}, weak_revived{0};
  Count out_of_memory{0};
  Count threads{0}, forks{0};
  Count actions_done{0};
  static void count(Count& what, uint64_t n = 1) { what.fetch_add(n, std::memory_order_relaxed); }
};

/// Finalizers and cleanups as the oracle knows them. Threads: any attached; functions run on the finalizer
/// thread.
class Ends {
 public:
  explicit Ends(Trouble& trouble) : trouble_(trouble) {}

  /// Sets a finalizer on object n of `set`, whose reachable part is frozen. With `revive`, it brings the
  /// object back.
  void arm(ShadowSet& set, int n, bool revive);
  /// Takes it away if it has one. Throws Fault if the heap knows of none. Object n is reachable.
  void disarm(ShadowSet& set, int n, const std::vector<int>& roots);

  /// A cleanup that is registered, and what it holds.
  struct Tidy {
    std::atomic<uint32_t> runs{0};  // relaxed [session.stop]
    std::atomic<bool> stopped{false};
    Shadow kept;  // an object that only the cleanup's Root keeps; id 0: none
  };
  struct Registered {
    Cleanup cleanup;
    std::shared_ptr<Tidy> tidy;
  };
  /// Adds a cleanup to the object that `inside` points into; `kept`, if not null, is held by a Root in it.
  Registered add_cleanup(Any* inside, Any* kept, const Shadow& kept_shadow);
  /// The object is reachable, so the cleanup has not run and never will.
  void stop_cleanup(Registered& registered);

  /// An object that its finalizer brought back, with all it refers to: number 0 of its set.
  struct Revived {
    Root<Any> top;
    ShadowSet set;
  };
  /// False if there is none. Attached.
  bool take_revived(Revived& revived);
  void drop_revived();
  /// From now on finalizers bring nothing back: the heap is about to close, and no Root may outlive it.
  void close();

  /// HeapAlloc of what waiting cleanups hold.
  [[nodiscard]] uint64_t kept_bytes() const { return kept_bytes_.load(std::memory_order_relaxed); }
  struct Counts {
    uint64_t finalizers_due = 0, finalizers_run = 0, cleanups_added = 0, cleanups_run = 0,
             cleanups_stopped = 0;
    uint64_t revived = 0;
  };
  [[nodiscard]] Counts counts();
  /// After everything was dropped and collected: empty, or what did not run. Precise roots.
  [[nodiscard]] std::string left_over();

 private:
  struct Estate {
    ShadowSet set;
    bool revive;
  };
  void finalize(Any* object, Estate& estate);
  void tidy_up(Tidy& tidy, const Root<Any>& kept);
  void settle();  // the lock is held

  Trouble& trouble_;
  std::atomic<uint64_t> kept_bytes_{0};
  RawMutex mu_;
  std::vector<std::shared_ptr<Will>> wills_;
  std::vector<std::shared_ptr<Tidy>> tidies_;
  std::vector<Revived> revived_;
  bool closed_ = false;
  Counts settled_;  // of what is over, and no longer in the lists
};

}  // namespace keel::torture
