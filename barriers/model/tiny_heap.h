// A tiny heap whose every interleaving can be explored: its states, its shapes, and how the rules may be
// broken.
//
// The heap: object 0 is a global root with one or two fields; objects 1 and 2 have one field each; object 2
// may also begin free and be allocated later. Two mutators with one register each, one marker that scans a
// field at a time. Marking may begin from every heap shape and register content, so stores before it need no
// exploring: they lead to another shape. A register is never merely forgotten: that only makes less
// reachable. Sequentially consistent memory: orders are the business of the ordering table and of
// ThreadSanitizer.
#pragma once

#include <cstdint>
#include <string>

namespace keel::model {

/// How phases change, and how the model may break the rules to show that each is needed.
struct Rules {
  bool ragged = false;  // handshakes instead of stops
  int root_fields = 2;  // 1 keeps the ragged model small
  // What the kind needs; taken from its traits unless a mutant denies it.
  bool rescan_stacks = false;
  bool snapshot_stacks = false;
  // Mutants.
  bool safepoint_between_test_and_store = false;  // flags may rise in the middle of a store
  bool trace_before_all_acknowledged = false;     // marking does not wait for the second mutator's flag
  bool allocate_black = true;
  bool flush_before_end = true;
  bool merge_rounds = false;   // ragged: barrier and black allocation in one round
  bool announce_early = true;  // ragged: a mutator that greys an object says so before anybody sees the mark
  bool end_after_one_round = false;  // ragged: whatever the round found
};

struct Outcome {
  uint64_t states = 0;
  bool lost = false;  // an object that can be reached was not marked when marking ended
  std::string how;    // the state in which it was found
};

constexpr int kObjects = 3;
constexpr int kMostSlots = 4;
constexpr unsigned kNull = 3;
constexpr unsigned kFresh = 2;  // the object that may be allocated

enum Stage : uint8_t {
  kOff,      // no mutator has heard of the cycle
  kBarrier,  // ragged: barriers go on, one mutator at a time
  kBlack,    // ragged: allocation goes black, one mutator at a time
  kMark,     // tracing; each stack is scanned once
};

/// One state. Pointers are object numbers, kNull for null.
struct State {
  uint8_t slot[kMostSlots] = {};  // first those of object 0, then those of objects 1 and 2
  struct Mutator {
    uint8_t reg = kNull;
    uint8_t step = 0;    // 0 at a safepoint; 1 flag tested; 2 barrier run
    uint8_t target = 0;  // slot being stored to
    uint8_t value = kNull;
    bool flag = false;    // barrier on, as this mutator sees it
    bool tested = false;  // what the test saw
    bool black = false;   // allocates black
    bool scanned = false;
    bool acknowledged = false;  // the termination round
    uint8_t pending = 0;        // objects in its buffer, not yet shaded (with stops: both, in mutator 0)
    uint8_t held = 0;           // ragged: marked by its own flush, not yet handed in
  } mutator[2];
  uint8_t marked = 0;
  uint8_t grey = 0;
  uint8_t scanning = kNull;  // object whose fields the marker is at
  uint8_t scan_field = 0;
  Stage stage = kOff;
  bool round = false;  // ragged: a termination round is going on
  bool found = false;  // and something was found in it
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
      // What was tested no longer matters once the barrier has run; black only before everybody is.
      put(m.step != 0 ? m.tested : 0, 1);
      put(m.black, 1);
      put(m.scanned, 1);
      put(m.acknowledged, 1);
      put(m.pending, 3);
      put(m.held, 3);
    }
    put(marked, 3);
    put(grey, 3);
    put(scanning, 2);
    put(scan_field, 1);
    put(stage, 2);
    put(round, 1);
    put(found, 1);
    put(allocated, 1);
    return k;  // 8 + 2 * 19 + 14 = 60 bits
  }
};

}  // namespace keel::model
