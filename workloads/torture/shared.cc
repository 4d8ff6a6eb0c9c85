// Faults, trails, finalizers and cleanups; see shared.h.
#include "workloads/torture/shared.h"

#include <cstdio>

#include "allocator/base/explore/session.h"

namespace keel::torture {
namespace {

struct Weighted {
  const char* name;
  uint32_t weight;
};
constexpr std::array<Weighted, kActionCount> kActions{{
    {"add", 30},          {"unlink", 10},
    {"move", 16},         {"connect", 14},
    {"bulk", 3},          {"cut", 2},
    {"root_add", 6},      {"root_copy", 4},
    {"root_move", 4},     {"root_drop", 5},
    {"walk", 12},         {"check", 1},
    {"weak_add", 6},      {"weak_look", 8},
    {"tree_add", 6},      {"disarm", 2},
    {"cleanup_add", 4},   {"cleanup_stop", 2},
    {"adopt_revived", 2}, {"go_map", 8},
    {"swiss_map", 8},     {"stall_put", 5},
    {"stall_look", 8},    {"give", 1},
    {"garbage", 14},      {"giant", 1},
    {"end_pointer", 2},   {"blocking", 6},
    {"safepoint", 4},     {"collect", 1},
    {"set_gogc", 1},      {"set_limit", 1},
    {"free_memory", 1},   {"ballast", 1},
    {"stats", 2},         {"leave", 2},
    {"child", 1},         {"throwing_child", 1},
    {"starved_child", 1}, {"cancelled_child", 1},
    {"fork", 1},          {"conversation", 1},
}};
constexpr uint32_t kWeights = [] {
  uint32_t sum = 0;
  for (const Weighted& action : kActions) sum += action.weight;
  return sum;
}();

}  // namespace

const char* to_string(Action action) { return kActions[static_cast<size_t>(action)].name; }

Action draw_action(Rng& rng) {
  uint64_t at = rng.below(kWeights);
  size_t i = 0;
  while (at >= kActions[i].weight) at -= kActions[i++].weight;
  return static_cast<Action>(i);
}

std::string Trail::text() const {
  std::string text;
  for (uint64_t i = count_ > kKept ? count_ - kKept : 0; i < count_; ++i) {
    const Step& step = ring_[i % kKept];
    text += (text.empty() ? "" : ", ") + std::to_string(step.number) + " " + to_string(step.action);
  }
  return text;
}

std::string Trail::digest() const {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(digest_));
  return text;
}

void Trouble::report(const std::string& who, const std::string& what, const std::string& trail) {
  std::lock_guard lock(mu_);
  if (!first_.empty()) return;
  first_ = who + ": " + what;
  std::fprintf(stderr, "torture: FAULT in %s: %s\n", who.c_str(), what.c_str());
  if (!trail.empty()) std::fprintf(stderr, "  last actions: %s\n", trail.c_str());
  std::fprintf(stderr, "  repeat: %s\n", command_.c_str());
  any_.store(true, std::memory_order_relaxed);
  session_.request_stop();
  if (explore::in_session()) explore::require(false, "%s", first_.c_str());  // with everybody's place
}

std::string Trouble::first() {
  std::lock_guard lock(mu_);
  return first_;
}

void Ends::arm(ShadowSet& set, int n, bool revive) {
  if (set[n].will == nullptr) {
    set[n].will = std::make_shared<Will>();
    std::lock_guard lock(mu_);
    wills_.push_back(set[n].will);
  }
  set[n].will->due.fetch_add(1, std::memory_order_relaxed);
  set[n].will->armed.store(true, std::memory_order_relaxed);
  auto estate = std::make_shared<Estate>(Estate{set.extract(n), revive});
  set_finalizer(set[n].address(), [this, estate](Any* object) { finalize(object, *estate); });
}

void Ends::disarm(ShadowSet& set, int n, const std::vector<int>& roots) {
  // Another graph may refer to the same object, and have been first.
  if (set[n].will == nullptr || !set[n].will->armed.exchange(false, std::memory_order_relaxed)) return;
  if (!clear_finalizer(set[n].address())) set.fail(n, "its finalizer was set and is not there", roots);
  set[n].will->due.fetch_sub(1, std::memory_order_relaxed);
}

void Ends::finalize(Any* object, Estate& estate) {
  ShadowSet& set = estate.set;
  Will& will = *set[0].will;
  const uint32_t runs = will.runs.fetch_add(1, std::memory_order_relaxed) + 1;
  will.armed.store(false, std::memory_order_relaxed);
  try {
    if (runs > will.due.load(std::memory_order_relaxed))
      set.fail(0, "its finalizer ran " + std::to_string(runs) + " times, more often than it was set", {0});
    if (object != set[0].address()) set.fail(0, "its finalizer got another object", {0});
    set[0].runs_seen = runs;
    set.check_all({0});
  } catch (const Fault& fault) {
    trouble_.report("the finalizer thread", fault.what(), "");
    return;
  }
  if (!estate.revive) return;
  Root<Any> top(object);
  std::lock_guard lock(mu_);
  if (closed_) return;
  revived_.push_back({std::move(top), std::move(set)});
  ++settled_.revived;
}

Ends::Registered Ends::add_cleanup(Any* inside, Any* kept, const Shadow& kept_shadow) {
  auto tidy = std::make_shared<Tidy>();
  tidy->kept = kept_shadow;
  Root<Any> root(kept);
  if (kept != nullptr) kept_bytes_.fetch_add(charged_bytes(kept_shadow.body), std::memory_order_relaxed);
  {
    std::lock_guard lock(mu_);
    tidies_.push_back(tidy);
  }
  const Cleanup cleanup = keel::add_cleanup(
      inside, [this, tidy, root](uint64_t) { tidy_up(*tidy, root); }, kept_shadow.body.id);
  return {cleanup, tidy};
}

void Ends::tidy_up(Tidy& tidy, const Root<Any>& kept) {
  const uint32_t runs = tidy.runs.fetch_add(1, std::memory_order_relaxed) + 1;
  if (runs > 1) trouble_.report("the finalizer thread", "a cleanup ran twice", "");
  if (tidy.stopped.load(std::memory_order_relaxed))
    trouble_.report("the finalizer thread", "a cleanup ran after it was stopped", "");
  if (!kept) return;
  kept_bytes_.fetch_sub(charged_bytes(tidy.kept.body), std::memory_order_relaxed);
  const std::string fault =
      kept.get() != tidy.kept.address() ? "is not where it was" : check_words(kept.get(), tidy.kept.body);
  if (!fault.empty())
    trouble_.report("the finalizer thread", describe(tidy.kept) + ", held by a cleanup: " + fault, "");
}

void Ends::stop_cleanup(Registered& registered) {
  Tidy& tidy = *registered.tidy;
  if (tidy.runs.load(std::memory_order_relaxed) != 0) throw Fault("a cleanup of a reachable object ran");
  registered.cleanup.stop();
  tidy.stopped.store(true, std::memory_order_relaxed);
  if (tidy.kept.disguised != 0)
    kept_bytes_.fetch_sub(charged_bytes(tidy.kept.body), std::memory_order_relaxed);
}

bool Ends::take_revived(Revived& revived) {
  std::lock_guard lock(mu_);
  if (revived_.empty()) return false;
  revived = std::move(revived_.back());
  revived_.pop_back();
  return true;
}

void Ends::drop_revived() {
  Revived revived;
  while (take_revived(revived)) revived.top.reset();
}

void Ends::close() {
  {
    std::lock_guard lock(mu_);
    closed_ = true;
  }
  drop_revived();
}

// Those that only this list knows cannot change any more.
void Ends::settle() {
  std::erase_if(wills_, [&](const std::shared_ptr<Will>& will) {
    const uint32_t due = will->due.load(std::memory_order_relaxed);
    if (will.use_count() > 1 || will->runs.load(std::memory_order_relaxed) != due) return false;
    settled_.finalizers_due += due;
    settled_.finalizers_run += due;
    return true;
  });
  std::erase_if(tidies_, [&](const std::shared_ptr<Tidy>& tidy) {
    const bool stopped = tidy->stopped.load(std::memory_order_relaxed);
    const uint32_t runs = tidy->runs.load(std::memory_order_relaxed);
    if (tidy.use_count() > 1 || (runs == 0 && !stopped)) return false;
    ++settled_.cleanups_added;
    settled_.cleanups_run += runs;
    settled_.cleanups_stopped += stopped ? 1 : 0;
    return true;
  });
}

Ends::Counts Ends::counts() {
  std::lock_guard lock(mu_);
  settle();
  Counts counts = settled_;
  for (const auto& will : wills_) {
    counts.finalizers_due += will->due.load(std::memory_order_relaxed);
    counts.finalizers_run += will->runs.load(std::memory_order_relaxed);
  }
  for (const auto& tidy : tidies_) {
    ++counts.cleanups_added;
    counts.cleanups_run += tidy->runs.load(std::memory_order_relaxed);
    counts.cleanups_stopped += tidy->stopped.load(std::memory_order_relaxed) ? 1 : 0;
  }
  return counts;
}

std::string Ends::left_over() {
  const Counts c = counts();
  if (c.finalizers_run != c.finalizers_due)
    return std::to_string(c.finalizers_run) + " of " + std::to_string(c.finalizers_due) + " finalizers ran";
  if (c.cleanups_run + c.cleanups_stopped != c.cleanups_added)
    return std::to_string(c.cleanups_run) + " cleanups ran and " + std::to_string(c.cleanups_stopped) +
           " were stopped of " + std::to_string(c.cleanups_added);
  return {};
}

}  // namespace keel::torture
