// Explorer: every interleaving of two mutators, one marker and the phase changes on the tiny heap.
//
// A store takes three steps: test the flag; if it is up, run the real barrier (Kind::before_store, the code
// that ships, on a recording state); store. Test and barrier count as one step where no flag may rise between
// them.
//
// With stops: both flags rise at once while both mutators stand at safepoints; each register is scanned once,
// in any order, while the other mutator and the marker run (or all in the stop, if the kind needs a
// snapshot); both buffers, kept as one set, are flushed when the marker has run dry (an earlier flush only
// shades earlier); marking ends when nothing is grey, both registers are scanned and, with both mutators at
// safepoints and their buffers flushed, still nothing is grey; a kind that leaves stacks grey has them
// scanned again there, and what they lead to is marked before anybody runs.
//
// Ragged: flags rise one mutator at a time, then allocation goes black one at a time, then tracing begins and
// each register is scanned once. A full buffer may be flushed at any time: what it greys stays with the
// mutator until it hands that in. When nothing is grey a round begins; each mutator acknowledges at a
// safepoint, flushing and handing in (and scanning its register again, if the kind leaves stacks grey).
// Marking ends with a round in which nothing was found.
//
// When marking ends, every object that can be reached must be marked.
#pragma once

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "barriers/api/barrier_traits.h"
#include "barriers/model/tiny_heap.h"

namespace keel::model {

template <typename Kind>
class Explorer {
 public:
  explicit Explorer(Rules rules) : rules_(rules), slots_(rules.root_fields + 2) {}

  Outcome run() {
    seen_.reserve(1 << 22);
    for_each_shape([this](const State& s) { visit(s); });
    while (!work_.empty() && !outcome_.lost) {
      const State s = work_.back();
      work_.pop_back();
      expand(s);
    }
    outcome_.states = seen_.size();
    return outcome_;
  }

 private:
  // What the shipped barrier sees of the model.
  struct RecordingState {
    bool grey_stack = false;
    uint8_t shaded = 0;
    [[nodiscard]] bool stack_is_grey() const noexcept { return grey_stack; }
    void add(uintptr_t pointer) noexcept {
      if (pointer != 0) shaded = static_cast<uint8_t>(shaded | 1U << (pointer - 1));
    }
  };
  struct ModelSlot {
    uint8_t content;
    [[nodiscard]] uintptr_t load_acquire() const noexcept { return content == kNull ? 0 : content + 1U; }
  };

  [[nodiscard]] int object_of_slot(int slot) const {
    return slot < rules_.root_fields ? 0 : slot - rules_.root_fields + 1;
  }
  [[nodiscard]] int first_slot(unsigned object) const {
    return object == 0 ? 0 : static_cast<int>(object) + rules_.root_fields - 1;
  }
  [[nodiscard]] int last_slot(unsigned object) const {
    return object == 0 ? rules_.root_fields - 1 : first_slot(object);
  }
  static bool has(unsigned set, unsigned object) { return (set >> object & 1U) != 0; }
  static void put(uint8_t& set, unsigned object) { set = static_cast<uint8_t>(set | 1U << object); }
  // With stops one buffer is as good as two.
  uint8_t& pending_of(State& s, int m) const { return s.mutator[rules_.ragged ? m : 0].pending; }

  template <typename F>
  void for_each_shape(F&& f) {
    for (unsigned shape = 0; shape < 1U << 2 * slots_; ++shape) {
      State s;
      bool mentions_fresh = false;
      for (int i = 0; i < slots_; ++i) {
        s.slot[i] = static_cast<uint8_t>(shape >> 2 * i & 3U);
        mentions_fresh = mentions_fresh || (s.slot[i] == kFresh && i != first_slot(kFresh));
      }
      s.allocated = true;
      f(s);
      if (mentions_fresh || s.slot[first_slot(kFresh)] != kNull) continue;
      s.allocated = false;
      f(s);
    }
  }

  // The mutators are alike: states that differ by their exchange are one. (Not when the rules treat them
  // differently.) What is marked already need not be remembered as pending: shading it would do nothing.
  void visit(State s) {
    for (State::Mutator& m : s.mutator) m.pending = static_cast<uint8_t>(m.pending & ~s.marked);
    State swapped = s;
    std::swap(swapped.mutator[0], swapped.mutator[1]);
    if (!rules_.ragged) std::swap(swapped.mutator[0].pending, swapped.mutator[1].pending);
    const bool alike = !rules_.trace_before_all_acknowledged;
    const uint64_t key = alike ? std::min(s.key(), swapped.key()) : s.key();
    if (seen_.insert(key).second) work_.push_back(s);
  }

  // True if the object was white.
  static bool shade(State& s, unsigned object) {
    if (object == kNull || has(s.marked, object)) return false;
    put(s.marked, object);
    put(s.grey, object);
    return true;
  }

  static bool shade_all(State& s, uint8_t& pending) {
    bool any = false;
    for (unsigned object = 0; object < kObjects; ++object) {
      if (has(pending, object)) any = shade(s, object) || any;
    }
    pending = 0;
    return any;
  }

  // Everything grey is scanned, with the world stopped.
  void drain(State& s) const {
    while (s.grey != 0) {
      unsigned object = 0;
      while (!has(s.grey, object)) ++object;
      s.grey = static_cast<uint8_t>(s.grey & ~(1U << object));
      for (int slot = first_slot(object); slot <= last_slot(object); ++slot) shade(s, s.slot[slot]);
    }
  }

  // The second step of a store: the shipped barrier, if the flag was up when it was tested.
  void run_barrier(State& s, int m) const {
    auto& self = s.mutator[m];
    if (self.tested) {
      RecordingState recorded;
      recorded.grey_stack = !self.scanned;
      ModelSlot slot{s.slot[self.target]};
      Kind::before_store(recorded, slot, self.value == kNull ? 0 : self.value + 1U);
      uint8_t& pending = pending_of(s, m);
      pending = static_cast<uint8_t>(pending | recorded.shaded);
    }
    self.step = 2;
    self.tested = false;
  }

  void expand(const State& s) {
    for (int m = 0; m < 2; ++m) expand_mutator(s, m);
    if (s.stage == kMark) {
      step_marker(s);
      scan_registers(s);
    }
    if (rules_.ragged) {
      expand_ragged(s);
    } else {
      expand_stopped(s);
    }
  }

  void expand_mutator(const State& s, int m) {
    const auto& mutator = s.mutator[m];
    if (mutator.step == 1) {
      State next = s;
      run_barrier(next, m);
      visit(next);
      return;
    }
    if (mutator.step == 2) {
      State next = s;
      auto& self = next.mutator[m];
      next.slot[self.target] = self.value;
      self.step = 0;
      self.target = 0;
      self.value = kNull;
      self.tested = false;
      visit(next);
      return;
    }
    const bool may_store = s.stage != kOff || rules_.safepoint_between_test_and_store;
    for (int slot = 0; slot < slots_; ++slot) {
      const int object = object_of_slot(slot);
      if (object != 0 && object != mutator.reg) continue;
      State load = s;
      load.mutator[m].reg = s.slot[slot];
      visit(load);
      for (uint8_t value : {mutator.reg, static_cast<uint8_t>(kNull)}) {
        if (!may_store) break;
        State store = s;
        auto& self = store.mutator[m];
        self.step = 1;
        self.target = static_cast<uint8_t>(slot);
        self.value = value;
        self.tested = mutator.flag;
        // Without the mutant nothing can come between test and barrier that either side would notice.
        if (!rules_.safepoint_between_test_and_store) run_barrier(store, m);
        visit(store);
      }
    }
    if (!s.allocated) {
      State allocate = s;
      allocate.allocated = true;
      allocate.mutator[m].reg = kFresh;
      if (mutator.black && rules_.allocate_black) put(allocate.marked, kFresh);
      visit(allocate);
    }
  }

  void step_marker(const State& s) {
    if (s.scanning == kNull) {
      for (unsigned object = 0; object < kObjects; ++object) {
        if (!has(s.grey, object)) continue;
        State next = s;
        next.grey = static_cast<uint8_t>(next.grey & ~(1U << object));
        next.scanning = static_cast<uint8_t>(object);
        next.scan_field = 0;
        visit(next);
      }
      return;
    }
    State next = s;
    const int slot = first_slot(s.scanning) + s.scan_field;
    shade(next, s.slot[slot]);
    if (slot == last_slot(s.scanning)) {
      next.scanning = kNull;
      next.scan_field = 0;
    } else {
      ++next.scan_field;
    }
    visit(next);
  }

  void scan_registers(const State& s) {
    for (int m = 0; m < 2; ++m) {
      if (s.mutator[m].step != 0 || s.mutator[m].scanned || !s.mutator[m].flag) continue;
      State scanned = s;
      shade(scanned, s.mutator[m].reg);
      scanned.mutator[m].scanned = true;
      visit(scanned);
    }
  }

  // With stops.
  void expand_stopped(const State& s) {
    const bool standing = s.mutator[0].step == 0 && s.mutator[1].step == 0;
    if (s.stage == kOff) {
      if (standing || rules_.safepoint_between_test_and_store) begin_stopped(s);
      return;
    }
    if (rules_.trace_before_all_acknowledged && !s.mutator[1].flag && s.mutator[1].step == 0) {
      State late = s;
      late.mutator[1].flag = late.mutator[1].black = true;
      visit(late);
    }
    if (s.grey != 0 || s.scanning != kNull) return;
    if (s.mutator[0].pending != 0) {
      State flushed = s;
      shade_all(flushed, flushed.mutator[0].pending);
      visit(flushed);
    }
    if (standing && s.mutator[0].scanned && s.mutator[1].scanned) end_stopped(s);
  }

  void begin_stopped(const State& s) {
    State next = s;
    next.stage = kMark;
    shade(next, 0);
    for (int m = 0; m < 2; ++m) {
      auto& self = next.mutator[m];
      self.flag = self.black = m == 0 || !rules_.trace_before_all_acknowledged;
      if (!rules_.snapshot_stacks) continue;
      shade(next, self.reg);
      self.scanned = true;
    }
    visit(next);
  }

  void end_stopped(const State& s) {
    State end = s;
    if (rules_.flush_before_end) shade_all(end, end.mutator[0].pending);
    if (rules_.rescan_stacks) {
      for (const auto& mutator : end.mutator) shade(end, mutator.reg);
      drain(end);
    }
    if (end.grey != 0) {
      visit(end);  // found work: marking goes on
      return;
    }
    check_end(end);
  }

  // With handshakes.
  void expand_ragged(const State& s) {
    switch (s.stage) {
      case kOff: {
        State next = s;
        next.stage = kBarrier;
        visit(next);
        return;
      }
      case kBarrier:
        raise(s, [this](State::Mutator& m) {
          if (m.flag) return false;
          m.flag = true;
          m.black = rules_.merge_rounds;
          return true;
        });
        if ((s.mutator[0].flag && s.mutator[1].flag) ||
            (rules_.trace_before_all_acknowledged && s.mutator[0].flag)) {
          State next = s;
          next.stage = rules_.merge_rounds ? kMark : kBlack;
          if (next.stage == kMark) shade(next, 0);
          visit(next);
        }
        return;
      case kBlack:
        raise(s, [](State::Mutator& m) {
          if (m.black) return false;
          m.flag = m.black = true;
          return true;
        });
        if ((s.mutator[0].black && s.mutator[1].black) ||
            (rules_.trace_before_all_acknowledged && s.mutator[0].black)) {
          State next = s;
          next.stage = kMark;
          shade(next, 0);
          visit(next);
        }
        return;
      case kMark:
        expand_round(s);
    }
  }

  // One mutator, at a safepoint, does what a round asks.
  template <typename Act>
  void raise(const State& s, Act&& act) {
    for (int m = 0; m < 2; ++m) {
      if (s.mutator[m].step != 0) continue;
      State next = s;
      if (act(next.mutator[m])) visit(next);
    }
  }

  void expand_round(const State& s) {
    if (rules_.trace_before_all_acknowledged) {
      raise(s, [](State::Mutator& m) {
        if (m.black) return false;
        m.flag = m.black = true;
        return true;
      });
    }
    for (int m = 0; m < 2; ++m) flush_when_full(s, m);
    if (!s.round) {
      if (s.grey != 0 || s.scanning != kNull || !s.mutator[0].scanned || !s.mutator[1].scanned) return;
      State next = s;
      next.round = true;
      next.found = false;
      visit(next);
      return;
    }
    for (int m = 0; m < 2; ++m) acknowledge(s, m);
    if (!s.mutator[0].acknowledged || !s.mutator[1].acknowledged) return;
    State end = s;
    end.round = end.mutator[0].acknowledged = end.mutator[1].acknowledged = false;
    const bool quiet = end.grey == 0 && end.scanning == kNull && !end.found;
    end.found = false;
    if (quiet || rules_.end_after_one_round) {
      check_end(end);
    } else {
      visit(end);
    }
  }

  // A buffer may fill up at any time: what its flush greys stays with the mutator.
  void flush_when_full(const State& s, int m) {
    if (s.mutator[m].pending == 0 || s.mutator[m].step != 0) return;
    State next = s;
    auto& self = next.mutator[m];
    const auto fresh = static_cast<uint8_t>(self.pending & ~next.marked);
    next.marked = static_cast<uint8_t>(next.marked | fresh);
    self.held = static_cast<uint8_t>(self.held | fresh);
    self.pending = 0;
    if (fresh != 0 && rules_.announce_early) next.found = next.round;
    visit(next);
  }

  void acknowledge(const State& s, int m) {
    if (s.mutator[m].acknowledged || s.mutator[m].step != 0) return;
    State next = s;
    auto& self = next.mutator[m];
    bool found = self.held != 0;
    next.grey = static_cast<uint8_t>(next.grey | self.held);
    self.held = 0;
    if (rules_.flush_before_end) found = shade_all(next, self.pending) || found;
    if (rules_.rescan_stacks) found = shade(next, self.reg) || found;
    self.acknowledged = true;
    next.found = next.found || found;
    visit(next);
  }

  void check_end(const State& end) {
    unsigned reached = 1;
    for (const auto& mutator : end.mutator) {
      if (mutator.reg != kNull) reached |= 1U << mutator.reg;
      // A store half done has its value in a register still.
      if (mutator.step != 0 && mutator.value != kNull) reached |= 1U << mutator.value;
    }
    for (int round = 0; round < kObjects; ++round) {
      for (int slot = 0; slot < slots_; ++slot) {
        if (has(reached, static_cast<unsigned>(object_of_slot(slot))) && end.slot[slot] != kNull)
          reached |= 1U << end.slot[slot];
      }
    }
    unsigned unscanned = 0;
    for (const auto& mutator : end.mutator) unscanned |= mutator.held;
    // Held objects are marked, but what they point to has not been looked at.
    if ((reached & ~unsigned{end.marked}) == 0 && (unscanned == 0 || children_marked(end, unscanned))) return;
    outcome_.lost = true;
    outcome_.how = "reached " + std::to_string(reached) + ", marked " + std::to_string(end.marked);
  }

  [[nodiscard]] bool children_marked(const State& s, unsigned objects) const {
    for (int slot = 0; slot < slots_; ++slot) {
      if (has(objects, static_cast<unsigned>(object_of_slot(slot))) && s.slot[slot] != kNull &&
          !has(s.marked, s.slot[slot])) {
        return false;
      }
    }
    return true;
  }

  const Rules rules_;
  const int slots_;
  Outcome outcome_;
  struct Mix {
    size_t operator()(uint64_t key) const { return (key ^ (key >> 29)) * 0x9e3779b97f4a7c15 >> 20; }
  };
  std::unordered_set<uint64_t, Mix> seen_;
  std::vector<State> work_;
};

/// The rules that a kind's traits ask for.
constexpr Rules rules_of(const BarrierTraits& traits, bool ragged) {
  Rules rules;
  rules.ragged = ragged;
  rules.root_fields = ragged ? 1 : 2;
  rules.rescan_stacks = traits.needs_final_stack_rescan;
  rules.snapshot_stacks = traits.needs_stack_snapshot;
  return rules;
}

}  // namespace keel::model
