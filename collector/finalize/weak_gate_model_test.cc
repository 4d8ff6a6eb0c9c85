// CONFIG: no heap: every interleaving of a model
//
// The weak gate (weak_gate.h) with two threads that lock weak pointers, a cycle thread and its tracing, each
// step of each of them at every moment it could happen. Objects: P refers to X; only weak pointers lead to
// either. Each thread locks one of the two (every choice is tried), then acknowledges rounds as they come.
// When no step is left:
//
//   what a lock returned is marked, and what it refers to; what a lock answered null for is not marked.
//
// Wrong rules are tried as well and must fail: closing without the round, closing with a store instead of an
// exchange, shading without looking again.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <vector>

namespace keel {
namespace {

enum Object : uint8_t { kP, kX };
enum Gate : uint8_t { kOpen, kClosing, kClosed };
// A thread's place in its lock, and after it.
enum Place : uint8_t { kBefore, kLooked, kMayShade, kMustDecide, kDone };
enum Answer : uint8_t { kNone, kStrong, kNull };

struct Thread {
  Place place = kBefore;
  uint8_t target = kP;
  uint8_t looked = kOpen;  // what it saw
  bool saw_mark = false;
  Answer answer = kNone;
  bool owes = false;   // an acknowledgement of the round
  bool holds = false;  // grey work that it has not handed in: a bit would do, both objects are traced at once
};

struct State {
  std::array<Thread, 2> threads;
  uint8_t gate = kOpen;
  uint8_t marked = 0;     // by object
  uint8_t grey = 0;       // in the pool
  uint8_t held_grey = 0;  // with threads
  bool found = false;     // work was announced or handed in since last asked
  uint8_t cycle = 0;      // cycle thread: 0 before a round, 1 in one, 2 after it, 3 over
  [[nodiscard]] std::string key() const {
    std::string k;
    for (const Thread& t : threads) {
      for (int v : {int{t.place}, int{t.target}, int{t.looked}, int{t.saw_mark}, int{t.answer}, int{t.owes},
                    int{t.holds}})
        k.push_back(static_cast<char>('0' + v));
    }
    for (int v : {int{gate}, int{marked}, int{grey}, int{held_grey}, int{found}, int{cycle}})
      k.push_back(static_cast<char>('0' + v));
    return k;
  }
};

struct Rules {
  bool round = true;       // closing waits for acknowledgements
  bool exchange = true;    // and fails if the gate was opened meanwhile
  bool look_again = true;  // a thread that saw the gate closing must win it
};

class Model {
 public:
  explicit Model(Rules rules) : rules_(rules) {}

  // Empty if every end is right, else what is wrong.
  std::string run() {
    for (uint8_t a : {kP, kX}) {
      for (uint8_t b : {kP, kX}) {
        State s;
        s.threads[0].target = a;
        s.threads[1].target = b;
        push(s);
      }
    }
    while (!work_.empty() && fault_.empty()) {
      const State s = work_.back();
      work_.pop_back();
      expand(s);
    }
    return fault_;
  }
  [[nodiscard]] size_t states() const { return seen_.size(); }

 private:
  static uint8_t bit(unsigned object) { return static_cast<uint8_t>(1U << object); }

  void push(const State& s) {
    if (seen_.insert(s.key()).second) work_.push_back(s);
  }

  void expand(const State& s) {
    bool any = false;
    for (size_t t = 0; t < 2; ++t) any = step_thread(s, t) || any;
    any = trace(s) || any;
    any = step_cycle(s) || any;
    if (!any) check_end(s);
  }

  bool step_thread(const State& s, size_t t) {
    const Thread& thread = s.threads[t];
    // Between two locks, or instead of one: a safepoint.
    if (thread.owes && (thread.place == kBefore || thread.place == kDone)) {
      State next = s;
      next.threads[t].owes = false;
      hand_in(next, t);
      push(next);
      if (thread.place == kDone) return true;
    }
    State next = s;
    Thread& mine = next.threads[t];
    switch (thread.place) {
      case kBefore:  // look
        mine.saw_mark = (s.marked & bit(mine.target)) != 0;
        mine.looked = s.gate;
        mine.place = kLooked;
        break;
      case kLooked:  // decide what may be done
        if (mine.looked == kClosed) {
          mine.place = kMustDecide;
        } else if (mine.looked == kClosing && !mine.saw_mark && rules_.look_again) {
          if (s.gate == kClosed) {
            mine.place = kMustDecide;
          } else {
            next.gate = kOpen;
            mine.place = kMayShade;
          }
        } else {
          mine.place = kMayShade;
        }
        break;
      case kMayShade:
        if ((s.marked & bit(mine.target)) == 0) {
          next.found = true;  // announced before the mark
          next.marked |= bit(mine.target);
          next.held_grey |= bit(mine.target);
          mine.holds = true;
        }
        mine.answer = kStrong;
        mine.place = kDone;
        break;
      case kMustDecide:
        mine.answer = (s.marked & bit(mine.target)) != 0 ? kStrong : kNull;
        mine.place = kDone;
        break;
      case kDone:
        return false;
    }
    push(next);
    return true;
  }

  static void hand_in(State& s, size_t t) {
    if (!s.threads[t].holds) return;
    s.threads[t].holds = false;
    s.found = true;
    s.grey |= s.held_grey;
    // The other one's share stays with it as a mark that is handed in later: keep it if it still holds any.
    if (!s.threads[1 - t].holds) s.held_grey = 0;
  }

  // A worker traces one grey object.
  bool trace(const State& s) {
    if (s.grey == 0) return false;
    State next = s;
    if ((s.grey & bit(kP)) != 0 && (s.marked & bit(kX)) == 0) {
      next.marked |= bit(kX);
      next.grey |= bit(kX);
    }
    next.grey &= static_cast<uint8_t>(~((s.grey & bit(kP)) != 0 ? bit(kP) : bit(kX)));
    push(next);
    return true;
  }

  bool step_cycle(const State& s) {
    State next = s;
    switch (s.cycle) {
      case 0:  // the gate begins to close, then what was found is cleared and the pool looked at
        if (s.grey != 0) return false;
        next.gate = kClosing;
        next.found = false;
        for (Thread& thread : next.threads) thread.owes = true;
        next.cycle = 1;
        break;
      case 1:
        if (rules_.round && (s.threads[0].owes || s.threads[1].owes)) return false;
        next.cycle = 2;
        break;
      case 2:
        if (s.found || s.grey != 0) {
          next.cycle = 0;
        } else if (rules_.exchange && s.gate != kClosing) {
          next.cycle = 0;
        } else {
          next.gate = kClosed;
          next.cycle = 3;
          check_closed(next);
        }
        break;
      default:
        return false;
    }
    push(next);
    return true;
  }

  void check_closed(const State& s) {
    if (s.held_grey != 0) fault_ = "marking ended with a grey object";
    if ((s.marked & bit(kP)) != 0 && (s.marked & bit(kX)) == 0)
      fault_ = "a marked object's child is not marked";
  }

  void check_end(const State& s) {
    if (s.cycle != 3) {
      fault_ = "marking does not end";
      return;
    }
    for (const Thread& thread : s.threads) {
      const bool marked = (s.marked & bit(thread.target)) != 0;
      if (thread.answer == kStrong && !marked) fault_ = "a lock returned an object that will be freed";
      if (thread.answer == kNull && marked) fault_ = "a lock answered null for an object that lives";
    }
    if (s.held_grey != 0 || s.grey != 0) fault_ = "something was greyed after the end";
    if ((s.marked & bit(kP)) != 0 && (s.marked & bit(kX)) == 0)
      fault_ = "a locked object's child will be freed";
  }

  const Rules rules_;
  std::unordered_set<std::string> seen_;
  std::vector<State> work_;
  std::string fault_;
};

TEST(WeakLockModel, EveryLockIsConsistentWithTheMarks) {
  Model model({});
  EXPECT_EQ(model.run(), "");
  EXPECT_GT(model.states(), 500U);
  std::printf("weak gate: %zu states\n", model.states());
}

TEST(WeakLockModel, ClosingWithoutARoundOvertakesAThread) { EXPECT_NE(Model({.round = false}).run(), ""); }

TEST(WeakLockModel, ClosingAnOpenedGateLosesAnObject) { EXPECT_NE(Model({.exchange = false}).run(), ""); }

TEST(WeakLockModel, ShadingThroughAClosingGateLosesAnObject) {
  EXPECT_NE(Model({.look_again = false}).run(), "");
}

}  // namespace
}  // namespace keel
