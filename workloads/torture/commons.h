// Commons: what several threads use at once: a row of stalls on the heap, each with a tree that never
// changes, replaced and looked at by everybody; one ballast; the memory for giants.
//
// The row is one heap object whose edges are overwritten by all threads; a reader takes an edge under the
// stall's lock and looks at the tree after the lock is gone, while another thread replaces it.
#pragma once

#include <mutex>
#include <optional>

#include "workloads/torture/graph.h"

namespace keel::torture {

template <bool kPrecise>
class Commons {
 public:
  template <typename T>
  using Local = LocalFor<kPrecise, T>;
  static constexpr size_t kStalls = 16;

  /// Attached.
  explicit Commons(Tally& tally) : tally_(tally), row_(make_array<Edge>(kStalls)) {}

  void put(Turn& turn, Ends& ends) {
    ShadowSet set;
    int n = kNobody;
    Local<Any> top = Graph<kPrecise>::tree(turn, tally_, &ends, set, 2, n);
    Stall& stall = stalls_[turn.rng.below(kStalls)];
    auto record = std::make_shared<const ShadowSet>(std::move(set));
    const Lock lock(stall.mu);
    row_.get()[&stall - stalls_.data()] = static_cast<Any*>(top);
    stall.tree = std::move(record);
  }
  void look(Turn& turn) {
    Stall& stall = stalls_[turn.rng.below(kStalls)];
    Local<Any> top = nullptr;
    std::shared_ptr<const ShadowSet> tree;
    {
      const Lock lock(stall.mu);
      top = row_.get()[&stall - stalls_.data()].get();
      tree = stall.tree;
    }
    if (turn.rng.below(3) == 0) blocking([] { ThisThread::yield(); });
    check(top, tree.get());
  }
  void check_all() {
    for (size_t i = 0; i < kStalls; ++i) check(row_.get()[i].get(), stalls_[i].tree.get());
    if (ballast_body_) {
      const std::string fault = check_words(ballast_.get(), *ballast_body_);
      if (!fault.empty()) throw Fault("the ballast: " + fault);
    }
  }
  /// Takes a ballast, or drops the one there is.
  void change_ballast(Turn& turn, uint64_t most_bytes) {
    const uint64_t bytes = draw_size(turn.rng, 1 << 20, most_bytes);
    const Lock lock(ballast_mu_);
    if (ballast_body_) {
      ballast_body_.reset();
      ballast_.reset();
    }
    if (turn.rng.below(2) == 0) take_ballast({Kind::kBytes, bytes, turn.new_id()});
  }
  void take_ballast(const Body& body) {
    // Under the lock a safepoint is safe: nobody waits for it as a running mutator (Lock).
    Local<Any> object = allocate(body);
    write_words(object, body);
    ballast_.reset(object);
    ballast_body_ = body;
  }
  /// One at a time may have a giant.
  RawMutex& giants() { return giants_mu_; }

  void add_live(std::unordered_map<uint64_t, uint64_t>& bytes_of) const {
    for (const Stall& stall : stalls_) {
      if (stall.tree != nullptr) stall.tree->add_reachable({0}, bytes_of);
    }
    if (ballast_body_) bytes_of[ballast_body_->id] = charged_bytes(*ballast_body_);
    if (row_) bytes_of[~uint64_t{0}] = charged_bytes({Kind::kEdges, kStalls, 0});
  }
  void drop_all() {
    for (Stall& stall : stalls_) stall.tree.reset();
    row_.reset();
    ballast_.reset();
    ballast_body_.reset();
  }

 private:
  struct Stall {
    RawMutex mu;
    std::shared_ptr<const ShadowSet> tree;
  };
  // A mutator must not hold up a stop while it waits for a lock.
  struct Lock {
    explicit Lock(RawMutex& m) : mu(m) {
      if (!mu.try_lock()) blocking([this] { mu.lock(); });
    }
    ~Lock() { mu.unlock(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;
    RawMutex& mu;
  };

  void check(Any* top, const ShadowSet* tree) {
    if (tree == nullptr) {
      if (top != nullptr) throw Fault("an empty stall has an edge");
      return;
    }
    if (top != (*tree)[0].address()) tree->fail(0, "the stall's edge leads elsewhere", {0});
    Local<Any> kept = top;
    Tally::count(tally_.checked, tree->check_all({0}));
    keep_alive(static_cast<Any*>(kept));
  }

  Tally& tally_;
  Root<Edge> row_;
  std::array<Stall, kStalls> stalls_;
  RawMutex ballast_mu_;
  Root<Any> ballast_;
  std::optional<Body> ballast_body_;
  RawMutex giants_mu_;
};

}  // namespace keel::torture
