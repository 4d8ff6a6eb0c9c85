// Graph's definitions for the ends of lives: weak pointers, trees with finalizers, cleanups, what is
// forgotten; for the one source that instantiates it.
#pragma once

#include "workloads/torture/graph.h"

namespace keel::torture {

template <bool kPrecise>
void Graph<kPrecise>::weak_add(Turn& turn) {
  Local<Any> at = nullptr;
  const int n = walk(turn, at);
  if (n == kNobody) return;
  if (watched_.size() >= kMostWatched) watched_.erase(watched_.begin());
  const ShadowEdge edge = interior(turn, n);
  watched_.push_back({Weak<Any>(static_cast<Any*>(at) + edge.offset), edge});
}

// Null only if the object is not reachable; if it is not null the object and all it refers to must be whole,
// whatever the graph's roots reach, and it may come back.
template <bool kPrecise>
void Graph<kPrecise>::weak_look(Turn& turn) {
  if (watched_.empty()) return;
  const size_t i = turn.rng.below(watched_.size());
  const ShadowEdge edge = watched_[i].at;
  Local<Any> found = watched_[i].weak.lock();
  if (static_cast<Any*>(found) == nullptr) {
    Tally::count(tally_.weak_cleared);
    const std::vector<int> live = set_.reachable(numbers());
    if (std::find(live.begin(), live.end(), edge.target) != live.end())
      set_.fail(edge.target, "a weak pointer to it is null though it is reachable", numbers());
    watched_.erase(watched_.begin() + static_cast<ptrdiff_t>(i));
    return;
  }
  Tally::count(tally_.weak_alive);
  if (static_cast<Any*>(found) != set_.target(edge))
    set_.fail(edge.target, "a weak pointer to it answers another address", numbers());
  set_.check(edge.target, {edge.target});
  if (turn.rng.below(4) != 0) return;
  Tally::count(tally_.weak_revived);
  hold(found, edge);
  set_.check_all({edge.target});
}

template <bool kPrecise>
void Graph<kPrecise>::tree_add(Turn& turn) {
  int n = kNobody;
  Local<Any> top = tree(turn, tally_, &ends_, set_, 3, n);
  Local<Any> parent = nullptr;
  const int p = walk(turn, parent);
  if (p == kNobody || !change_edge(turn, parent, p, top, {n, 0})) hold(top, {n, 0});
}

// Takes in what a finalizer brought back; its finalizer may be set again.
template <bool kPrecise>
void Graph<kPrecise>::adopt(Turn& turn) {
  Ends::Revived revived;
  if (!ends_.take_revived(revived)) return;
  const int shift = set_.append(revived.set);
  hold(revived.top.get(), {shift, 0});
  revived.top.reset();
  set_.check_all({shift});
  if (turn.rng.below(3) == 0) ends_.arm(set_, shift, turn.rng.below(3) == 0);
}

template <bool kPrecise>
void Graph<kPrecise>::disarm(Turn& turn) {
  Local<Any> at = nullptr;
  const int n = walk(turn, at);
  if (n != kNobody) ends_.disarm(set_, n, numbers());
}

template <bool kPrecise>
void Graph<kPrecise>::cleanup_add(Turn& turn) {
  Shadow kept;
  Local<Any> other = nullptr;
  if (turn.rng.below(2) == 0) {
    ShadowSet own;
    int n = kNobody;
    other = fresh(turn, tally_, own, draw_leaf(turn.rng, turn.new_id(), 512), n);
    kept = own[n];
  }
  Local<Any> at = nullptr;
  const int n = walk(turn, at);
  if (n == kNobody) return;
  const ShadowEdge edge = interior(turn, n);
  Ends::Registered registered = ends_.add_cleanup(static_cast<Any*>(at) + edge.offset, other, kept);
  if (tended_.size() < 16) tended_.push_back({std::move(registered), n});
}

template <bool kPrecise>
void Graph<kPrecise>::cleanup_stop(Turn& turn) {
  if (tended_.empty()) return;
  const size_t i = turn.rng.below(tended_.size());
  const std::vector<int> live = set_.reachable(numbers());
  if (std::find(live.begin(), live.end(), tended_[i].n) != live.end())
    ends_.stop_cleanup(tended_[i].registered);
  tended_.erase(tended_.begin() + static_cast<ptrdiff_t>(i));
}

// Forgets what is dead and nobody watches; then lets go of roots until half the budget is left.
template <bool kPrecise>
void Graph<kPrecise>::keep_within_budget() {
  while (!roots_.empty() && set_.reachable_bytes(numbers()) > budget_bytes_ / 2) roots_.erase(roots_.begin());
  std::vector<int> keep = numbers();
  // What is watched is remembered with what it refers to, as long as that is little.
  for (Watched& watched : watched_) keep.push_back(watched.at.target);
  if (set_.reachable_bytes(keep) > budget_bytes_ * 3 / 4) {
    watched_.clear();
    keep = numbers();
  }
  const std::vector<int> renamed = set_.compact(keep);
  for (Held& held : roots_) held.at.target = renamed[static_cast<size_t>(held.at.target)];
  for (Watched& watched : watched_) watched.at.target = renamed[static_cast<size_t>(watched.at.target)];
  for (Tended& tended : tended_) tended.n = renamed[static_cast<size_t>(tended.n)];
  std::erase_if(tended_, [](const Tended& tended) { return tended.n == kNobody; });
}

}  // namespace keel::torture
