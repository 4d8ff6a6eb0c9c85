// Graph's definitions; for the one source that instantiates it.
#pragma once

#include "workloads/torture/graph.h"

namespace keel::torture {

template <bool kPrecise>
auto Graph<kPrecise>::fresh(Turn& turn, Tally& tally, ShadowSet& set, const Body& body, int& n)
    -> Local<Any> {
  Local<Any> object = allocate(body);
  Tally::count(tally.made[static_cast<size_t>(body.kind)]);
  Shadow shadow;
  shadow.body = body;
  shadow.born = turn.number;
  shadow.thread = turn.thread;
  shadow.set_address(object);
  const std::string fault = check_fresh(object, body);
  if (!fault.empty()) throw Fault(describe(shadow) + ": " + fault);
  write_words(object, body);
  n = set.add(std::move(shadow));
  return object;
}

template <bool kPrecise>
auto Graph<kPrecise>::tree(Turn& turn, Tally& tally, Ends* ends, ShadowSet& set, int depth, int& n)
    -> Local<Any> {
  const bool leaf = depth == 0 || turn.rng.below(3) == 0;
  constexpr uint64_t kMostBytes = 2048;
  Local<Any> top = fresh(
      turn, tally, set,
      leaf ? draw_leaf(turn.rng, turn.new_id(), kMostBytes) : draw_body(turn.rng, turn.new_id(), kMostBytes),
      n);
  const size_t edges = std::min<size_t>(3, edge_count(set[n].body));
  for (size_t place = 0; place < edges; ++place) {
    int child = kNobody;
    Local<Any> below = tree(turn, tally, ends, set, depth - 1 < 0 ? 0 : depth - 1, child);
    edge_at(top, set[n].body, place) = static_cast<Any*>(below);
    set[n].edges[place] = {child, 0};
  }
  set[n].frozen = true;
  if (ends != nullptr && turn.rng.below(2) == 0) ends->arm(set, n, turn.rng.below(3) == 0);
  return top;
}

template <bool kPrecise>
bool Graph<kPrecise>::act(Action action, Turn& turn) {
  switch (action) {
    case Action::k_add:
      add(turn);
      break;
    case Action::k_unlink:
      unlink(turn);
      break;
    case Action::k_move:
      move(turn);
      break;
    case Action::k_connect:
      connect(turn);
      break;
    case Action::k_bulk:
      bulk(turn);
      break;
    case Action::k_cut:
      cut(turn);
      break;
    case Action::k_root_add:
    case Action::k_root_copy:
    case Action::k_root_move:
    case Action::k_root_drop:
      change_roots(action, turn);
      break;
    case Action::k_walk: {
      Local<Any> at = nullptr;
      const int n = walk(turn, at);
      if (n != kNobody) set_.check(n, numbers());
      break;
    }
    case Action::k_check:
      check();
      break;
    case Action::k_weak_add:
      weak_add(turn);
      break;
    case Action::k_weak_look:
      weak_look(turn);
      break;
    case Action::k_tree_add:
      tree_add(turn);
      break;
    case Action::k_disarm:
      disarm(turn);
      break;
    case Action::k_cleanup_add:
      cleanup_add(turn);
      break;
    case Action::k_cleanup_stop:
      cleanup_stop(turn);
      break;
    case Action::k_adopt_revived:
      adopt(turn);
      break;
    default:
      return false;
  }
  if (set_.bytes() > budget_bytes_) keep_within_budget();
  return true;
}

template <bool kPrecise>
std::vector<int> Graph<kPrecise>::numbers() const {
  std::vector<int> numbers;
  for (const Held& held : roots_) numbers.push_back(held.at.target);
  return numbers;
}

template <bool kPrecise>
uint64_t Graph<kPrecise>::most_bytes(Turn& turn) const {
  // Most objects are small; a large one now and then, as far as the graph may hold it.
  const uint64_t most = turn.rng.below(40) == 0 ? budget_bytes_ / 8 : 1024;
  return std::max<uint64_t>(1024, std::min(most, budget_bytes_ / 8));
}

template <bool kPrecise>
void Graph<kPrecise>::check() {
  for (const Held& held : roots_) {
    if (held.root.get() != set_.target(held.at))
      set_.fail(held.at.target, "its Root holds another", numbers());
  }
  Tally::count(tally_.checked, set_.check_all(numbers()));
}

template <bool kPrecise>
void Graph<kPrecise>::drop_all() {
  roots_.clear();
  watched_.clear();
  tended_.clear();
  set_ = {};
}

// From a random root down random edges, on the heap and in the shadow; null if there is no root.
template <bool kPrecise>
int Graph<kPrecise>::walk(Turn& turn, Local<Any>& at) {
  if (roots_.empty()) return kNobody;
  const Held& held = roots_[turn.rng.below(roots_.size())];
  int n = held.at.target;
  at = held.root.get() - held.at.offset;
  for (uint64_t steps = turn.rng.below(10); steps > 0; --steps) {
    const Shadow& s = set_[n];
    if (static_cast<Any*>(at) != s.address()) set_.fail(n, "was found at another address", numbers());
    const size_t edges = edge_count(s.body);
    if (edges == 0) break;
    const size_t place = turn.rng.below(edges);
    Any* next = edge_at(at, s.body, place).get();
    if (next != set_.target(s.edges[place])) set_.check(n, numbers());  // says how it differs
    if (next == nullptr) break;
    at = next - s.edges[place].offset;
    n = s.edges[place].target;
  }
  return n;
}

template <bool kPrecise>
bool Graph<kPrecise>::change_edge(Turn& turn, Local<Any>& parent, int p, Any* target, ShadowEdge edge) {
  Shadow& s = set_[p];
  const size_t edges = edge_count(s.body);
  if (edges == 0 || s.frozen) return false;
  const size_t place = turn.rng.below(edges);
  edge_at(parent, s.body, place) = target;
  s.edges[place] = edge;
  return true;
}

template <bool kPrecise>
ShadowEdge Graph<kPrecise>::interior(Turn& turn, int n) const {
  const uint64_t bytes = object_bytes(set_[n].body);
  return {n, bytes == 0 || turn.rng.below(3) != 0 ? 0 : turn.rng.below(bytes)};
}

template <bool kPrecise>
void Graph<kPrecise>::hold(Any* target, ShadowEdge at) {
  if (roots_.size() >= kMostRoots) roots_.erase(roots_.begin());
  roots_.push_back({Root<Any>(target), at});
}

template <bool kPrecise>
void Graph<kPrecise>::add(Turn& turn) {
  int n = kNobody;
  Local<Any> object = fresh(turn, tally_, set_, draw_body(turn.rng, turn.new_id(), most_bytes(turn)), n);
  Local<Any> parent = nullptr;
  const int p = walk(turn, parent);
  if (p == kNobody || roots_.size() < 2 || !change_edge(turn, parent, p, object, {n, 0}))
    hold(object, {n, 0});
}

template <bool kPrecise>
void Graph<kPrecise>::unlink(Turn& turn) {
  Local<Any> parent = nullptr;
  const int p = walk(turn, parent);
  if (p != kNobody) change_edge(turn, parent, p, nullptr, {});
}

// The hidden object: a child is loaded, its edge cut, anything may happen, and it is stored elsewhere.
template <bool kPrecise>
void Graph<kPrecise>::move(Turn& turn) {
  Local<Any> from = nullptr;
  const int f = walk(turn, from);
  if (f == kNobody || set_[f].frozen || edge_count(set_[f].body) == 0) return;
  const size_t place = turn.rng.below(edge_count(set_[f].body));
  const ShadowEdge edge = set_[f].edges[place];
  if (edge.target == kNobody) return;
  Local<Any> child = edge_at(from, set_[f].body, place).get();
  edge_at(from, set_[f].body, place) = nullptr;
  set_[f].edges[place] = {};
  switch (turn.rng.below(4)) {
    case 0: {
      ShadowSet garbage;
      int n = kNobody;
      for (uint64_t i = turn.rng.below(6); i > 0; --i)
        fresh(turn, tally_, garbage, draw_leaf(turn.rng, turn.new_id(), 4096), n);
      break;
    }
    case 1:
      blocking([] { ThisThread::yield(); });
      break;
    case 2:
      safepoint();
      break;
    default:
      break;
  }
  Local<Any> to = nullptr;
  const int t = walk(turn, to);
  if (t == kNobody || !change_edge(turn, to, t, child, edge)) hold(child, edge);
}

template <bool kPrecise>
void Graph<kPrecise>::connect(Turn& turn) {
  Local<Any> from = nullptr;
  Local<Any> to = nullptr;
  const int f = walk(turn, from);
  const int t = walk(turn, to);
  if (f == kNobody) return;
  const ShadowEdge edge = interior(turn, t);
  change_edge(turn, from, f, static_cast<Any*>(to) + edge.offset, edge);
}

// A list or a wide tree at once: marking takes a while to get through it.
template <bool kPrecise>
void Graph<kPrecise>::bulk(Turn& turn) {
  const uint64_t most = std::max<uint64_t>(8, budget_bytes_ / 256);
  const uint64_t count = draw_size(turn.rng, 4, std::min<uint64_t>(most, 4000));
  const bool list = turn.rng.below(2) == 0;
  const Kind kind = turn.rng.below(2) == 0 ? Kind::kNode : Kind::kScatter;
  int top = kNobody;
  Local<Any> first = fresh(turn, tally_, set_, {kind, 1, turn.new_id()}, top);
  Local<Any> at = first;
  int n = top;
  size_t place = 0;
  for (uint64_t i = 1; i < count; ++i) {
    int child = kNobody;
    Local<Any> object = fresh(turn, tally_, set_, {kind, 1, turn.new_id()}, child);
    edge_at(at, set_[n].body, place) = static_cast<Any*>(object);
    set_[n].edges[place] = {child, 0};
    if (!list && ++place < edge_count(set_[n].body)) continue;
    place = 0;
    // A tree goes on below the first child: the second of its edges keeps the others as leaves.
    const ShadowEdge next = set_[n].edges[0];
    at = set_.target(next);
    n = next.target;
  }
  hold(first, {top, 0});
}

template <bool kPrecise>
void Graph<kPrecise>::cut(Turn& turn) {
  for (Held& held : roots_) {
    if (turn.rng.below(2) == 0) continue;
    held.root.reset();
    held.at = {};
  }
  std::erase_if(roots_, [](const Held& held) { return held.at.target == kNobody; });
}

template <bool kPrecise>
void Graph<kPrecise>::change_roots(Action action, Turn& turn) {
  if (roots_.empty()) return;
  const size_t i = turn.rng.below(roots_.size());
  if (action == Action::k_root_add) {
    Local<Any> at = nullptr;
    const int n = walk(turn, at);
    const ShadowEdge edge = interior(turn, n);
    hold(static_cast<Any*>(at) + edge.offset, edge);
  } else if (action == Action::k_root_copy) {
    const size_t j = turn.rng.below(roots_.size());
    roots_[i].root = roots_[j].root;
    roots_[i].at = roots_[j].at;
  } else if (action == Action::k_root_move) {
    const size_t j = turn.rng.below(roots_.size());
    if (i == j) return;
    // Out, and in again: what it replaces goes with the temporary.
    Root<Any> moved = std::move(roots_[j].root);
    roots_[i].root = std::move(moved);
    roots_[i].at = roots_[j].at;
    roots_.erase(roots_.begin() + static_cast<ptrdiff_t>(j));
  } else {
    roots_.erase(roots_.begin() + static_cast<ptrdiff_t>(i));
  }
}

}  // namespace keel::torture
