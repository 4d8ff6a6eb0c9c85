// Mutator utilisation: what share of the mutators' time a run leaves them, over windows of every length.
//
// u(t) is 0 while the world stands, and 1 - k/T while k of T mutators are held up each by something of its
// own (an assist, a sweep share, a handshake, a stall). It is constant between breakpoints, so all figures
// here are exact: the least mean of u over windows of one length is taken with an edge on a breakpoint, since
// sliding a window changes its integral at a constant rate between breakpoints.
//
// MMU(w): Cheng and Blelloch, "A parallel, real-time garbage collector", PLDI 2001. BMU(w), the least over
// all windows of length w or more: Sachindran, Moss, Berger, "MC2", OOPSLA 2004. What Go's trace viewer shows
// as MMU is the same function with other interruptions left in or out (internal/trace/gc.go).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace keel {

/// Something that held up mutators.
struct Interruption {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  double share = 1;    // of all mutators that it held up: 1 for a world stop
  uint32_t cause = 0;  // the caller's numbering
};

/// A stretch of the run and the mean of u over it.
struct Window {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  double utilization = 1;
};

class Utilization {
 public:
  /// Over [begin_ns, end_ns]; what lies outside is cut off. Overlapping interruptions add up, to 1 at most.
  /// Cost: O(n log n).
  Utilization(std::vector<Interruption> interruptions, int64_t begin_ns, int64_t end_ns);

  /// Mean of u over the whole run: the mutators' overall share.
  [[nodiscard]] double overall() const;
  /// Least mean over windows of length `window_ns`; overall() if the run is no longer than that. O(n).
  [[nodiscard]] double mmu(int64_t window_ns) const { return worst(window_ns).utilization; }
  /// Least mean over windows of length `window_ns` or more. O(n) a round, few rounds (Dinkelbach's method).
  [[nodiscard]] double bmu(int64_t window_ns) const;
  /// A window that attains mmu().
  [[nodiscard]] Window worst(int64_t window_ns) const;
  /// Up to `count` windows that do not overlap, worst first. O(n log n).
  [[nodiscard]] std::vector<Window> worst(int64_t window_ns, size_t count) const;
  /// Shares of mutators' time that each cause took in a window, indexed by cause. Where interruptions
  /// overlap beyond all mutators the shares add up to more than what is missing.
  [[nodiscard]] std::vector<double> causes(const Window& window) const;
  /// The longest stretch without any mutator running: where the curve leaves 0.
  [[nodiscard]] int64_t longest_standstill_ns() const;
  [[nodiscard]] int64_t length_ns() const { return times_.back() - times_.front(); }

  /// 1-2-5 steps from `from_ns` up to the length of the run, and that length itself.
  [[nodiscard]] std::vector<int64_t> windows(int64_t from_ns) const;

 private:
  // Calls visit(t) for every window begin that may be the worst: edges of the window on breakpoints.
  template <typename Visit>
  void for_each_candidate(int64_t window_ns, Visit&& visit) const;

  std::vector<Interruption> interruptions_;
  std::vector<int64_t> times_;    // breakpoints, ascending, first and last those of the run
  std::vector<double> level_;     // u between times_[i] and times_[i + 1]
  std::vector<double> integral_;  // of u from the beginning to times_[i], ns
};

}  // namespace keel
