// An exhaustive model of marking on a tiny heap: every interleaving of two mutators, one marker and the phase
// changes.
//
// The heap: object 0 is a global root with two fields; objects 1 and 2 have one field each; object 2 may also
// begin free and be allocated later. Each mutator has one register. Marking may begin from every heap shape
// and register content, so stores before it need no exploring: they lead to another shape. A store takes
// three steps: test the flag; if it is up, run the real barrier (Kind::before_store, the code that ships, on
// a recording state); store. Test and barrier count as one step where no flag may rise between them. A
// register is never merely forgotten: that only makes less reachable. The marker scans one field at a time.
// Sequentially consistent memory: orders are the business of the ordering table and of ThreadSanitizer.
//
// Phases as with `--transitions stw`: both flags rise at once while both mutators stand at safepoints; each
// register is scanned once, in any order, while the other mutator and the marker run; both buffers, kept as
// one set, are flushed when the marker has run dry (an earlier flush only shades earlier); marking ends when
// nothing is grey, both registers are scanned and, with both mutators at safepoints and their buffers
// flushed, still nothing is grey. Then every object that can be reached must be marked.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

namespace keel::model {

/// How the model may break the rules, to show that each rule is needed.
struct Rules {
  bool safepoint_between_test_and_store = false;  // flags may rise in the middle of a store
  bool trace_before_all_acknowledged = false;  // flags rise one by one, marking does not wait for the second
  bool allocate_black = true;
  bool flush_before_end = true;
};

struct Outcome {
  uint64_t states = 0;
  bool lost = false;  // an object that can be reached was not marked when marking ended
  std::string how;    // the state in which it was found
};

constexpr int kObjects = 3;
constexpr int kSlots = 4;  // 0, 1: of object 0; 2, 3: of objects 1, 2
constexpr unsigned kNull = 3;
constexpr unsigned kFresh = 2;  // the object that may be allocated

/// One state. Pointers are object numbers, kNull for null.
struct State {
  uint8_t slot[kSlots] = {};
  struct Mutator {
    uint8_t reg = kNull;
    uint8_t step = 0;    // 0 at a safepoint; 1 flag tested; 2 barrier run
    uint8_t target = 0;  // slot being stored to
    uint8_t value = kNull;
    bool flag = false;    // barrier on, as this mutator sees it
    bool tested = false;  // what the test saw
    bool scanned = false;
  } mutator[2];
  uint8_t pending = 0;  // objects in the mutators' buffers, not yet shaded
  uint8_t marked = 0;
  uint8_t grey = 0;
  uint8_t scanning = kNull;  // object whose fields the marker is at
  uint8_t scan_field = 0;
  bool marking = false;
  bool allocated = false;

  [[nodiscard]] uint64_t key() const {
    uint64_t k = 0;
    auto put = [&k](uint64_t value, int bits) { k = k << bits | value; };
    for (uint8_t s : slot) put(s, 2);
    for (const Mutator& m : mutator) {
      put(m.reg, 2);
      put(m.step, 2);
      put(m.step != 0 ? m.target : 0, 2);
      put(m.step != 0 ? m.value : 0, 2);
      put(m.flag, 1);
      put(m.step != 0 && m.tested, 1);
      put(m.scanned, 1);
    }
    put(pending, 3);
    put(marked, 3);
    put(grey, 3);
    return k * 32 + scanning * 8U + scan_field * 4U + (marking ? 2U : 0U) + (allocated ? 1U : 0U);
  }
};

inline int object_of_slot(int slot) { return slot < 2 ? 0 : slot - 1; }
inline int first_slot(int object) { return object == 0 ? 0 : object + 1; }
inline int last_slot(int object) { return object == 0 ? 1 : object + 1; }

/// Explores everything that kind Kind allows from every heap shape.
template <typename Kind>
class Explorer {
 public:
  explicit Explorer(Rules rules) : rules_(rules) {}

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
    uint8_t shaded = 0;
    void add(uintptr_t pointer) noexcept {
      if (pointer != 0) shaded = static_cast<uint8_t>(shaded | 1U << (pointer - 1));
    }
  };
  struct ModelSlot {
    uint8_t content;
    [[nodiscard]] uintptr_t load_acquire() const noexcept { return content == kNull ? 0 : content + 1U; }
  };

  template <typename F>
  void for_each_shape(F&& f) {
    for (unsigned shape = 0; shape < 256; ++shape) {
      State s;
      bool mentions_fresh = false;
      for (int i = 0; i < kSlots; ++i) {
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
    s.pending = static_cast<uint8_t>(s.pending & ~s.marked);
    State swapped = s;
    std::swap(swapped.mutator[0], swapped.mutator[1]);
    const bool alike = !rules_.trace_before_all_acknowledged;
    const uint64_t key = alike ? std::min(s.key(), swapped.key()) : s.key();
    if (seen_.insert(key).second) work_.push_back(s);
  }

  static void shade(State& s, unsigned object) {
    if (object == kNull || (s.marked >> object & 1U) != 0) return;
    s.marked = static_cast<uint8_t>(s.marked | 1U << object);
    s.grey = static_cast<uint8_t>(s.grey | 1U << object);
  }

  static void flush(State& s) {
    for (unsigned object = 0; object < kObjects; ++object) {
      if ((s.pending >> object & 1U) != 0) shade(s, object);
    }
    s.pending = 0;
  }

  // The second step of a store: the shipped barrier, if the flag was up when it was tested.
  static void run_barrier(State& s, int m) {
    auto& self = s.mutator[m];
    if (self.tested) {
      RecordingState recorded;
      ModelSlot slot{s.slot[self.target]};
      Kind::before_store(recorded, slot, self.value == kNull ? 0 : self.value + 1U);
      s.pending = static_cast<uint8_t>(s.pending | recorded.shaded);
    }
    self.step = 2;
    self.tested = false;
  }

  void expand(const State& s) {
    for (int m = 0; m < 2; ++m) expand_mutator(s, m);
    expand_collector(s);
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
      next.slot[mutator.target] = mutator.value;
      next.mutator[m].step = 0;
      next.mutator[m].target = 0;
      next.mutator[m].value = kNull;
      next.mutator[m].tested = false;
      visit(next);
      return;
    }
    const bool may_store = s.marking || rules_.safepoint_between_test_and_store;
    for (int slot = 0; slot < kSlots; ++slot) {
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
        if (rules_.safepoint_between_test_and_store) {
          visit(store);
        } else {
          run_barrier(store, m);  // nothing can come between that either side would notice
          visit(store);
        }
      }
    }
    if (!s.allocated) {
      State allocate = s;
      allocate.allocated = true;
      allocate.mutator[m].reg = kFresh;
      if (mutator.flag && rules_.allocate_black)
        allocate.marked = static_cast<uint8_t>(allocate.marked | 1U << kFresh);
      visit(allocate);
    }
  }

  void expand_collector(const State& s) {
    const bool standing = s.mutator[0].step == 0 && s.mutator[1].step == 0;
    if (!s.marking) {
      begin_marking(s, standing);
      return;
    }
    if (rules_.trace_before_all_acknowledged && !s.mutator[1].flag && s.mutator[1].step == 0) {
      State late = s;
      late.mutator[1].flag = true;
      visit(late);
    }
    for (int m = 0; m < 2; ++m) {
      if (s.mutator[m].step != 0 || s.mutator[m].scanned || !s.mutator[m].flag) continue;
      State scanned = s;
      shade(scanned, s.mutator[m].reg);
      scanned.mutator[m].scanned = true;
      visit(scanned);
    }
    step_marker(s);
    if (s.pending != 0 && s.grey == 0 && s.scanning == kNull) {
      State flushed = s;
      flush(flushed);
      visit(flushed);
    }
    if (s.grey == 0 && s.scanning == kNull && standing && s.mutator[0].scanned && s.mutator[1].scanned)
      end_marking(s);
  }

  void begin_marking(const State& s, bool standing) {
    if (!standing && !rules_.safepoint_between_test_and_store) return;
    State next = s;
    next.marking = true;
    next.mutator[0].flag = true;
    next.mutator[1].flag = !rules_.trace_before_all_acknowledged;
    shade(next, 0);
    visit(next);
  }

  void step_marker(const State& s) {
    if (s.scanning == kNull) {
      for (unsigned object = 0; object < kObjects; ++object) {
        if ((s.grey >> object & 1U) == 0) continue;
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

  void end_marking(const State& s) {
    State end = s;
    if (rules_.flush_before_end) {
      flush(end);
    }
    if (end.grey != 0) {
      visit(end);  // found work: marking goes on
      return;
    }
    unsigned reached = 1;
    for (const auto& mutator : end.mutator) {
      if (mutator.reg != kNull) reached |= 1U << mutator.reg;
    }
    for (int round = 0; round < kObjects; ++round) {
      for (int slot = 0; slot < kSlots; ++slot) {
        if ((reached >> object_of_slot(slot) & 1U) != 0 && end.slot[slot] != kNull)
          reached |= 1U << end.slot[slot];
      }
    }
    if ((reached & ~unsigned{end.marked}) == 0) return;
    outcome_.lost = true;
    outcome_.how = "reached " + std::to_string(reached) + ", marked " + std::to_string(end.marked);
  }

  const Rules rules_;
  Outcome outcome_;
  struct Mix {
    size_t operator()(uint64_t key) const { return (key ^ (key >> 29)) * 0x9e3779b97f4a7c15 >> 20; }
  };
  std::unordered_set<uint64_t, Mix> seen_;
  std::vector<State> work_;
};

}  // namespace keel::model
