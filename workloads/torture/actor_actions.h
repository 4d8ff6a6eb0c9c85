// Actor's definitions; for the one source that instantiates it.
#pragma once

#include "workloads/torture/actor.h"

namespace keel::torture {

inline void Rendezvous::arrive() {
  blocking([this] {
    std::unique_lock lock(mu_);
    const uint64_t round = round_;
    ++arrived_;
    changed_.notify_all();
    while (round_ == round) changed_.wait(lock);
  });
}
inline void Rendezvous::leave() {
  std::lock_guard lock(mu_);
  --active_;
  changed_.notify_all();
}
inline bool Rendezvous::ready() {
  std::lock_guard lock(mu_);
  return arrived_ == active_;
}
inline bool Rendezvous::wait_for_all() {
  std::unique_lock lock(mu_);
  while (arrived_ != active_) changed_.wait(lock);
  return active_ != 0;
}
inline void Rendezvous::release() {
  std::lock_guard lock(mu_);
  arrived_ = 0;
  ++round_;
  changed_.notify_all();
}

template <bool kPrecise>
void Actor<kPrecise>::run(int64_t end_ns) {
  const CommonOptions& options = stage_.options;
  const auto actors = static_cast<uint64_t>(options.threads);
  const uint64_t most = options.operations == 0
                            ? ~uint64_t{0}
                            : options.operations / actors + (thread_ < options.operations % actors ? 1 : 0);
  scope_.emplace(stage_.heap, name());
  const uint32_t id = Mutator::current()->id();
  for (uint64_t n = 0; n < most && !stage_.session.stop_requested(); ++n) {
    if (options.operations == 0 && now_ns() >= end_ns) break;
    Turn turn(options.seed, thread_, n);
    const Action action = draw_action(turn.rng);
    trail_.add(n, action);
    Tally::count(stage_.tally.actions[static_cast<size_t>(action)]);
    try {
      if (!stage_.settings.left_out[static_cast<size_t>(action)]) act(action, turn);
    } catch (const OutOfMemory& error) {
      starved(error, action, turn);
    } catch (const Fault& fault) {
      stage_.trouble.report(name() + ", action " + std::to_string(n) + " (" + to_string(action) + ")",
                            fault.what(), trail_.text());
    }
    Tally::count(stage_.tally.actions_done);
    if (n % stage_.settings.round_actions == stage_.settings.round_actions - 1) stage_.rendezvous.arrive();
  }
  stage_.session.recorder().add_thread(thread_use(id, name(), "mutator"));
  scope_.reset();
  stage_.rendezvous.leave();
}

template <bool kPrecise>
Graph<kPrecise>& Actor<kPrecise>::graph(Turn& turn) {
  while (graphs_.size() < kGraphs) {
    std::unique_ptr<Graph<kPrecise>> other;
    {
      std::lock_guard lock(stage_.pool_mu);
      if (stage_.pool.size() > 2) {
        other = std::move(stage_.pool.back());
        stage_.pool.pop_back();
      }
    }
    if (other == nullptr) other = std::make_unique<Graph<kPrecise>>(stage_.tally, stage_.ends, budget_bytes_);
    graphs_.push_back(std::move(other));
  }
  return *graphs_[turn.rng.below(graphs_.size())];
}

template <bool kPrecise>
void Actor<kPrecise>::act(Action action, Turn& turn) {
  switch (action) {
    case Action::k_go_map:
      go_map_.act(turn);
      return;
    case Action::k_swiss_map:
      swiss_map_.act(turn);
      return;
    case Action::k_stall_put:
      stage_.commons.put(turn, stage_.ends);
      return;
    case Action::k_stall_look:
      stage_.commons.look(turn);
      return;
    case Action::k_give:
      give();
      return;
    case Action::k_child:
      stage_.scenes.child(turn, Ending::kReturns);
      return;
    case Action::k_throwing_child:
      stage_.scenes.child(turn, Ending::kThrows);
      return;
    case Action::k_starved_child:
      stage_.scenes.child(turn, Ending::kStarves);
      return;
    case Action::k_cancelled_child:
      stage_.scenes.child(turn, Ending::kIsCancelled);
      return;
    case Action::k_fork:
      stage_.scenes.fork_and_look(turn, graph(turn));
      return;
    case Action::k_conversation:
      stage_.scenes.converse(turn, stage_.ends);
      return;
    default:
      if (!graph(turn).act(action, turn)) act_on_heap(action, turn);
  }
}

template <bool kPrecise>
void Actor<kPrecise>::act_on_heap(Action action, Turn& turn) {
  switch (action) {
    case Action::k_garbage:
      garbage(turn);
      break;
    case Action::k_giant:
      giant(turn);
      break;
    case Action::k_end_pointer:
      end_pointer(turn);
      break;
    case Action::k_blocking:
      stay_blocked(turn);
      break;
    case Action::k_safepoint:
      safepoint();
      break;
    case Action::k_collect:
      stage_.heap.collect();
      break;
    case Action::k_set_gogc:
      if (stage_.settings.change_gogc) set_gogc(turn);
      break;
    case Action::k_set_limit:
      if (stage_.settings.change_limit) set_limit(turn);
      break;
    case Action::k_free_memory:
      stage_.heap.free_os_memory();
      break;
    case Action::k_ballast:
      if (stage_.settings.change_ballast) stage_.commons.change_ballast(turn, stage_.settings.ballast_bytes);
      break;
    case Action::k_stats:
      look_at_stats();
      break;
    case Action::k_leave:
      leave_and_return(turn);
      break;
    default:
      throw Fault("nobody does this action");
  }
}

// Of one layout or of many, dropped at once; every slot must come zeroed.
template <bool kPrecise>
void Actor<kPrecise>::garbage(Turn& turn) {
  const Body one = draw_body(turn.rng, turn.new_id(), 2048);
  const bool same = turn.rng.below(2) == 0;
  for (uint64_t count = draw_size(turn.rng, 1, 300); count > 0; --count) {
    ShadowSet set;
    int n = kNobody;
    Graph<kPrecise>::fresh(turn, stage_.tally, set, same ? one : draw_body(turn.rng, turn.new_id(), 2048), n);
  }
}

template <bool kPrecise>
void Actor<kPrecise>::giant(Turn& turn) {
  std::unique_lock lock(stage_.commons.giants(), std::try_to_lock);
  const uint64_t bytes = draw_size(turn.rng, 64 * 1024, stage_.settings.giant_bytes);
  static constexpr Kind kMix[] = {Kind::kBytes, Kind::kText, Kind::kRow, Kind::kLongRow, Kind::kEdges};
  Body body{kMix[turn.rng.below(std::size(kMix))], 1, turn.new_id()};
  body.size = std::max<uint64_t>(1, bytes / std::max<uint64_t>(1, object_bytes(body)));
  if (!lock.owns_lock()) return;
  ShadowSet set;
  int n = kNobody;
  Local<Any> object = Graph<kPrecise>::fresh(turn, stage_.tally, set, body, n);
  for (size_t place = 0; place < edge_count(body); ++place) {
    int child = kNobody;
    Local<Any> below =
        Graph<kPrecise>::fresh(turn, stage_.tally, set, draw_leaf(turn.rng, turn.new_id(), 256), child);
    edge_at(object, body, place) = static_cast<Any*>(below);
    set[n].edges[place] = {child, 0};
  }
  if (turn.rng.below(8) == 0) stage_.heap.collect();
  Tally::count(stage_.tally.checked, set.check_all({n}));
  keep_alive(static_cast<Any*>(object));
}

// One past the end of an object that fills its slot: keeps nothing of that object, and does no harm. Debug
// builds refuse it, checkmark reports it.
template <bool kPrecise>
void Actor<kPrecise>::end_pointer(Turn& turn) {
  if constexpr (!KEEL_DEBUG_CHECKS) {
    if (stage_.options.heap.debug.checkmark) return;
    ShadowSet set;
    int n = kNobody;
    int p = kNobody;
    const Body body{turn.rng.below(2) == 0 ? Kind::kNode : Kind::kWide, 1, turn.new_id()};
    Local<Any> object = Graph<kPrecise>::fresh(turn, stage_.tally, set, body, n);
    Local<Any> holder = Graph<kPrecise>::fresh(turn, stage_.tally, set, {Kind::kNode, 1, turn.new_id()}, p);
    edge_at(holder, set[p].body, 0) = static_cast<Any*>(object) + object_bytes(body);
    if (turn.rng.below(2) == 0) object = nullptr;
    garbage(turn);
    if (turn.rng.below(8) == 0) stage_.heap.collect();
    edge_at(holder, set[p].body, 0) = nullptr;
    set.check(p, {p});
  }
}

template <bool kPrecise>
void Actor<kPrecise>::give() {
  if (graphs_.empty()) return;
  std::lock_guard lock(stage_.pool_mu);
  stage_.pool.push_back(std::move(graphs_.front()));
  graphs_.erase(graphs_.begin());
}

// A sleep, a yield, another region within, or a collection: all of them inside a blocking region.
template <bool kPrecise>
void Actor<kPrecise>::stay_blocked(Turn& turn) {
  const uint64_t kind = turn.rng.below(8);
  const auto us = static_cast<long>(draw_size(turn.rng, 1, 3000));
  blocking([&] {
    if (kind == 0) {
      ThisThread::sleep_ns(us * 1000);
    } else if (kind == 1 && us < 30) {
      stage_.heap.collect();
    } else if (kind < 4) {
      const long inner = blocking([&] { return blocking([us] { return us + 1; }); });
      if (inner != us + 1) stage_.trouble.report(name(), "a nested region lost its result", trail_.text());
    } else {
      ThisThread::yield();
    }
  });
}

// Read while everybody runs: what must hold all the same.
template <bool kPrecise>
void Actor<kPrecise>::look_at_stats() {
  const HeapStats s = stage_.heap.stats();
  if (s.frees > s.mallocs || s.heap_alloc_bytes > s.total_alloc_bytes)
    throw Fault("stats: more was freed than allocated");
  if (s.heap_idle_bytes + s.heap_in_use_bytes != s.heap_sys_bytes)
    throw Fault("stats: HeapIdle + HeapInuse is not HeapSys");
}

// Roots outlive the attachment; nothing else does.
template <bool kPrecise>
void Actor<kPrecise>::leave_and_return(Turn& turn) {
  scope_.reset();
  if (turn.rng.below(2) == 0) ThisThread::yield();
  scope_.emplace(stage_.heap, name());
}

template <bool kPrecise>
void Actor<kPrecise>::set_gogc(Turn& turn) {
  static constexpr int64_t kPercents[] = {HeapConfig::kGogcOff, 1, 10, 50, 100, 400, 3200, 0};
  stage_.heap.set_gc_percent(kPercents[turn.rng.below(std::size(kPercents))]);
}

template <bool kPrecise>
void Actor<kPrecise>::set_limit(Turn& turn) {
  const uint64_t live = stage_.settings.live_bytes;
  const uint64_t limit = (uint64_t{8} << 20) + draw_size(turn.rng, live / 2, 8 * live);
  stage_.heap.set_memory_limit(turn.rng.below(3) == 0 ? HeapConfig::kNoLimit : limit);
}

// Out of memory is an answer where there is a hard limit, or what was asked for is huge; then some of what
// this thread holds goes.
template <bool kPrecise>
void Actor<kPrecise>::starved(const OutOfMemory& error, Action action, Turn& turn) {
  Tally::count(stage_.tally.out_of_memory);
  const bool huge = action == Action::k_giant || action == Action::k_ballast;
  if (stage_.options.heap.max_heap_bytes == 0 && !huge) {
    stage_.trouble.report(name(), std::string("out of memory without --max-heap: ") + error.what(),
                          trail_.text());
    return;
  }
  for (auto& graph : graphs_) graph->act(Action::k_cut, turn);
}

template <bool kPrecise>
void Actor<kPrecise>::check() {
  for (auto& graph : graphs_) graph->check();
  go_map_.check();
  go_map_.settle();
  swiss_map_.check();
}

template <bool kPrecise>
void Actor<kPrecise>::add_live(std::unordered_map<uint64_t, uint64_t>& bytes_of, uint64_t& map_bytes) const {
  for (const auto& graph : graphs_) graph->add_live(bytes_of);
  map_bytes += go_map_.live_bytes() + swiss_map_.live_bytes();
}

template <bool kPrecise>
void Actor<kPrecise>::drop_all() {
  graphs_.clear();
  go_map_.drop_all();
  swiss_map_.drop_all();
}

}  // namespace keel::torture
