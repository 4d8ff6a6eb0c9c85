// SetUp: the filling of a store before a run is measured: what it will take, how far it is, its early end.
//
// A workload says from its flags what its live data will be (Footprint). expect() compares what that makes
// resident with what the machine has, and says so in one line on stderr when it is not enough; the run goes
// on, as it may be wanted. Then every thread that fills asks next() before each piece: that is how the
// progress bar knows how far all are, and how a signal ends the filling at once. What was cut short is never
// used nor checked: see Service.
#pragma once

#include <atomic>
#include <cstdint>
#include <latch>
#include <string>
#include <vector>

#include "workloads/common/options.h"

namespace keel {

class Session;

/// What a workload keeps, known before it begins.
struct Footprint {
  uint64_t live_bytes = 0;     // of all threads together, the ballast not included
  const char* smaller = "";    // the flags that make it smaller: "--slots or --threads"
  uint64_t outside_bytes = 0;  // beside the collected heap
};

/// The same number as an integer, UINT64_MAX if it is above.
uint64_t whole_bytes(double bytes);

/// The most memory that a run with these live bytes makes resident, by its flags: live x (1 + GOGC / 100), or
/// the limit where that is less and the live data fit below it; the live data where the rule gives no bound
/// (GOGC off, another goal rule, another collector). Not the ballast: it is never written.
/// Unit: bytes, UINT64_MAX if it is more than that can say. Threads: any.
uint64_t needed_bytes(const CommonOptions& options, const Footprint& footprint);

/// "note: this will need about 44.8 GiB of memory (22.4 GiB live at GOGC 100), 21.9 GiB are available; ...";
/// empty if `available_bytes` are enough.
std::string shortage(const CommonOptions& options, const Footprint& footprint, uint64_t available_bytes);

class SetUp {
 public:
  /// `parts`: how many fill side by side, each a share of its own.
  SetUp(Session& session, size_t parts);
  ~SetUp();
  SetUp(const SetUp&) = delete;
  SetUp& operator=(const SetUp&) = delete;

  /// Warns on stderr if the machine has less than this will need. `options`: the session's, unless the
  /// workload changes them as it goes.
  void expect(const Footprint& footprint) const;
  void expect(const Footprint& footprint, const CommonOptions& options) const;

  /// Before piece `i` of `n` of part `part`: true if it is to be made; false if the run is to stop, and the
  /// caller comes back with what it has. Threads: one for each part, attached or not. Cost: two loads.
  [[nodiscard]] bool next(size_t part, uint64_t i, uint64_t n) {
    if (i % kEvery == 0) note(part, i, n);
    return !stopped();
  }
  /// next() for one who fills all alone, on the main thread: it draws the progress bar too.
  [[nodiscard]] bool next_alone(uint64_t i, uint64_t n) {
    if (i % kEvery == 0) {
      note(0, i, n);
      draw();
    }
    return !stopped();
  }
  [[nodiscard]] bool stopped() const;

  /// Until all parts are there, which `ready` counts; draws meanwhile. Threads: the main one, in a blocking
  /// region.
  void wait(const std::latch& ready);

 private:
  static constexpr const char* kPhase = "setting up";
  // Pieces between two looks at how far a part is: tens of microseconds.
  static constexpr uint64_t kEvery = 256;

  void note(size_t part, uint64_t i, uint64_t n) {
    // relaxed [stats]: for the progress bar.
    shares_[part].store(static_cast<double>(i) / static_cast<double>(n), std::memory_order_relaxed);
  }
  [[nodiscard]] double share() const;
  void draw();

  Session& session_;
  std::vector<std::atomic<double>> shares_;
};

}  // namespace keel
