// CONFIG: the explore build
//
// The explorer itself: the same seed gives the same run; what is planted (a deadlock, a lost wake-up, a
// livelock, an ABA, a bug of depth 3) is found and replayed; time is virtual; a forked child that waits for
// ever is found.
#include <gtest/gtest.h>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "allocator/base/clock.h"
#include "allocator/base/explore/search.h"
#include "allocator/base/explore/session.h"
#include "allocator/base/futex.h"
#include "allocator/base/mutex.h"
#include "allocator/base/race_points.h"
#include "allocator/base/thread.h"

namespace keel::explore {
namespace {

SessionResult run(uint64_t seed, const std::function<void()>& body,
                  StrategyKind strategy = StrategyKind::kRandom, uint32_t depth = 3,
                  uint64_t expected_points = 60) {
  SessionOptions options;
  options.seed = seed;
  options.strategy = strategy;
  options.depth = depth;
  options.expected_points = expected_points;
  options.replay = "seed " + std::to_string(seed);
  Session session(options);
  body();
  return session.finish();
}

// Runs seeds until one ends the process.
void run_until_found(const std::function<void()>& body, uint64_t most,
                     StrategyKind strategy = StrategyKind::kRandom, uint64_t expected_points = 60) {
  for (uint64_t seed = 1; seed <= most; ++seed) run(seed, body, strategy, 3, expected_points);
}

const auto kFound = testing::ExitedWithCode(kFoundStatus);

// Two threads that add under a lock and wait for each other by a condition.
void ping_pong() {
  Mutex mu(LockRank::kLeaf);
  ConditionVariable turned;
  keel::Atomic<uint32_t> sum{0};
  int turn = 0;
  auto play = [&](int mine) {
    for (int i = 0; i < 5; ++i) {
      MutexLock lock(mu);
      while (turn != mine) turned.wait(mu);
      sum.fetch_add(1, std::memory_order_relaxed);
      turn = 1 - mine;
      turned.notify_all();
    }
  };
  keel::Thread a([&] { play(0); });
  keel::Thread b([&] { play(1); });
  a.join();
  b.join();
  require(sum.load(std::memory_order_relaxed) == 10, "an addition is missing");
}

TEST(Explore, TheSameSeedIsTheSameRun) {
  for (StrategyKind strategy : {StrategyKind::kRandom, StrategyKind::kPct, StrategyKind::kWindows}) {
    std::vector<uint64_t> hashes;
    for (uint64_t seed = 1; seed <= 50; ++seed) hashes.push_back(run(seed, ping_pong, strategy).trace_hash);
    for (uint64_t seed = 50; seed >= 1; --seed)
      EXPECT_EQ(run(seed, ping_pong, strategy).trace_hash, hashes[seed - 1]) << to_string(strategy) << seed;
    std::sort(hashes.begin(), hashes.end());
    // No window is in it, so `windows` has little to choose.
    const int least = strategy == StrategyKind::kWindows ? 1 : 20;
    EXPECT_GT(std::unique(hashes.begin(), hashes.end()) - hashes.begin(), least);
  }
}

void two_locks() {
  keel::RawMutex a;
  keel::RawMutex b;
  keel::Thread other([&] {
    pthread_setname_np(pthread_self(), "second");
    b.lock();
    a.lock();
    a.unlock();
    b.unlock();
  });
  a.lock();
  b.lock();
  b.unlock();
  a.unlock();
  other.join();
}

TEST(Explore, ADeadlockIsFoundWithWhatEachThreadWaitsFor) {
  EXPECT_EXIT(run_until_found(two_locks, 100), kFound,
              "deadlock(.|\n)*waits for the lock .* held by thread 1(.|\n)*'second'(.|\n)*held by thread "
              "0(.|\n)*trace(.|\n)*repeat it with: seed");
}

// The seed that found it finds it again, by the same run.
TEST(Explore, WhatIsFoundIsReplayed) {
  auto report_of = [](uint64_t first, uint64_t last) {
    std::string text;
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      dup2(ends[1], 2);
      for (uint64_t seed = first; seed <= last; ++seed) run(seed, two_locks);
      _exit(0);
    }
    close(ends[1]);
    char buffer[4096];
    for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    return text;
  };
  const std::string found = report_of(1, 100);
  const size_t at = found.find("repeat it with: seed ");
  ASSERT_NE(at, std::string::npos);
  const uint64_t seed = std::stoull(found.substr(at + 21));
  const std::string again = report_of(seed, seed);
  const auto trace = [](const std::string& text) { return text.substr(text.find("explore: trace "), 31); };
  EXPECT_EQ(trace(found), trace(again));
}

// The waiter looks at the flag without the lock of whoever sets it: the notification can come in between.
void lost_wake_up() {
  Mutex mu(LockRank::kLeaf);
  ConditionVariable changed;
  keel::Atomic<bool> ready{false};
  keel::Thread waiter([&] {
    while (!ready.load(std::memory_order_acquire)) {
      MutexLock lock(mu);
      changed.wait(mu);
    }
  });
  ready.store(true, std::memory_order_release);
  changed.notify_all();
  waiter.join();
}

TEST(Explore, ALostWakeUpIsFound) {
  EXPECT_EXIT(run_until_found(lost_wake_up, 200), kFound, "deadlock(.|\n)*waits on the condition");
  EXPECT_EXIT(run_until_found(lost_wake_up, 500, StrategyKind::kPct, 20), kFound, "deadlock");
}

void wait_without_a_loop() {
  Mutex mu(LockRank::kLeaf);
  ConditionVariable changed;
  bool ready = false;
  keel::Thread waiter([&] {
    MutexLock lock(mu);
    if (!ready) changed.wait(mu);
    require(ready, "woken before it was ready");
  });
  {
    MutexLock lock(mu);
    ready = true;
    changed.notify_all();
  }
  waiter.join();
}

TEST(Explore, ASpuriousWakeUpIsAChoice) {
  EXPECT_EXIT(run_until_found(wait_without_a_loop, 2000), kFound, "woken before it was ready");
}

TEST(Explore, ALivelockOfThreadsThatLookAgainIsFound) {
  auto look_again = [] {
    keel::Atomic<uint32_t> never{0};
    keel::Thread other([&] {
      while (never.load(std::memory_order_acquire) == 0) futex_wait(never, 0, 1'000'000);
    });
    other.join();
  };
  EXPECT_EXIT(run(1, look_again), kFound, "livelock(.|\n)*waits on the futex word");
  auto spin = [] {
    keel::Atomic<uint32_t> never{0};
    keel::Thread other([&] {
      while (never.load(std::memory_order_acquire) == 0) keel::ThisThread::yield();
    });
    other.join();
  };
  EXPECT_EXIT(run(1, spin), kFound, "livelock: more points");
}

// A stack of nodes by index, whose pop reads the next node before it swaps the head: two pops and a push in
// between bring the head back and make the old next wrong.
void stack_with_aba() {
  constexpr uint32_t kNone = 0;
  keel::Atomic<uint32_t> head{1};
  keel::Atomic<uint32_t> next[4] = {kNone, 2, 3, kNone};
  auto pop = [&] {
    for (;;) {
      uint32_t top = head.load(std::memory_order_acquire);
      if (top == kNone) return kNone;
      const uint32_t second = next[top].load(std::memory_order_relaxed);
      if (head.compare_exchange_strong(top, second, std::memory_order_acq_rel)) return top;
    }
  };
  auto push = [&](uint32_t node) {
    uint32_t top = head.load(std::memory_order_relaxed);
    do {
      next[node].store(top, std::memory_order_relaxed);
    } while (!head.compare_exchange_strong(top, node, std::memory_order_acq_rel));
  };
  uint32_t first = kNone;
  keel::Thread slow([&] { first = pop(); });
  const uint32_t a = pop();
  const uint32_t b = pop();
  if (a != kNone) push(a);
  slow.join();
  // What the stack still holds, b and what the other thread took are all different.
  const uint32_t c = pop();
  const uint32_t d = pop();
  require(b == kNone || (b != first && b != c && b != d), "node %u is in two places", b);
}

TEST(Explore, AnAbaIsFoundByEveryStrategy) {
  EXPECT_EXIT(run_until_found(stack_with_aba, 5000), kFound, "in two places");
  EXPECT_EXIT(run_until_found(stack_with_aba, 5000, StrategyKind::kPct), kFound, "in two places");
  auto search = [] {
    BoundedSearch bounded(2);
    SessionOptions options;
    options.strategy = StrategyKind::kBounded;
    while (bounded.next(options.deviations)) {
      Session session(options);
      stack_with_aba();
      session.finish();
      bounded.add(session.take_alternatives());
    }
  };
  EXPECT_EXIT(search(), kFound, "in two places");
}

// The search makes every run of up to so many deviations once, and says so.
TEST(Explore, ABoundedSearchIsComplete) {
  BoundedSearch bounded(2);
  SessionOptions options;
  options.strategy = StrategyKind::kBounded;
  std::vector<uint64_t> of_two_deviations;
  while (bounded.next(options.deviations)) {
    Session session(options);
    ping_pong();
    const SessionResult result = session.finish();
    if (options.deviations.size() == 2) of_two_deviations.push_back(result.trace_hash);
    bounded.add(session.take_alternatives());
  }
  EXPECT_EQ(bounded.completed(), 2);
  EXPECT_GT(of_two_deviations.size(), 1000U);
}

// Depth 3: `slow` has begun and stands, `late` has begun and stands, while `busy` works through; then `slow`
// goes on before `late`. A random walk would have to leave two threads alone for 12,000 points.
void bug_of_depth_three() {
  keel::Atomic<uint32_t> busy_done{0};
  keel::Atomic<uint32_t> late_done{0};
  keel::Atomic<uint32_t> work{0};
  auto work_for = [&](int points) {
    for (int i = 0; i < points; ++i) work.fetch_add(1, std::memory_order_relaxed);
  };
  keel::Thread slow([&] {
    const bool before = busy_done.load(std::memory_order_acquire) == 0;
    work_for(2000);
    const bool after = busy_done.load(std::memory_order_acquire) != 0;
    require(!(before && after && late_done.load(std::memory_order_acquire) == 0), "the planted bug");
  });
  keel::Thread busy([&] {
    work_for(12'000);
    busy_done.store(1, std::memory_order_release);
  });
  keel::Thread late([&] {
    work_for(2000);
    late_done.store(1, std::memory_order_release);
  });
  slow.join();
  busy.join();
  late.join();
}

TEST(Explore, PctFindsABugOfDepthThreeThatARandomWalkMisses) {
  constexpr uint64_t kBudget = 400;
  EXPECT_EXIT(
      {
        for (uint64_t seed = 1; seed <= kBudget; ++seed)
          run(seed, bug_of_depth_three, StrategyKind::kPct, 3, 16'000);
      },
      kFound, "the planted bug");
  run_until_found(bug_of_depth_three, kBudget);
}

// Found only if `worker` is held at one of its many race points, and `judge` at its single one, between two
// looks: a change of priority at a step drawn from all 25,000 hardly ever falls there.
void bug_in_two_windows() {
  keel::Atomic<uint32_t> flagged{0};
  keel::Atomic<uint32_t> busy{1};
  keel::Atomic<uint32_t> work{0};
  auto work_for = [&](RacePoint point) {
    for (int i = 0; i < 200; ++i) {
      for (int k = 0; k < 60; ++k) work.fetch_add(1, std::memory_order_relaxed);
      race_point(point);
    }
  };
  keel::Thread worker([&] {
    work_for(RacePoint::kGreyChunkTaken);
    flagged.store(1, std::memory_order_relaxed);
    busy.store(0, std::memory_order_release);
  });
  keel::Thread judge([&] {
    work_for(RacePoint::kHoleTaken);
    const bool before = flagged.load(std::memory_order_relaxed) != 0;
    race_point(RacePoint::kAfterOverflowInStop);
    const bool over = busy.load(std::memory_order_acquire) == 0;
    require(!over || before || flagged.load(std::memory_order_relaxed) == 0, "the planted bug");
  });
  worker.join();
  judge.join();
}

TEST(Explore, WindowsFindsABugThatNeedsTwoOfThemOpenAndPctMisses) {
  constexpr uint64_t kBudget = 100;
  EXPECT_EXIT(run_until_found(bug_in_two_windows, kBudget, StrategyKind::kWindows), kFound,
              "the planted bug");
  run_until_found(bug_in_two_windows, kBudget, StrategyKind::kPct, 25'000);
}

TEST(Explore, TimeIsVirtual) {
  const int64_t real_before = now_ns();
  run(1, [] {
    const int64_t before = now_ns();
    keel::ThisThread::sleep_ns(3'600'000'000'000);
    require(now_ns() - before >= 3'600'000'000'000, "an hour has not passed");
    require(now_ns() - before < 3'601'000'000'000, "more than an hour has passed");
  });
  EXPECT_LT(now_ns() - real_before, 600'000'000'000);
}

// The child has one thread; a lock that another held when it came into being is never released there.
TEST(Explore, AForkedChildThatWaitsForeverIsFound) {
  auto fork_while_locked = [] {
    keel::RawMutex mu;
    keel::Atomic<uint32_t> held{0};
    keel::Thread holder([&] {
      mu.lock();
      held.store(1, std::memory_order_release);
      for (int i = 0; i < 100; ++i) keel::ThisThread::yield();
      mu.unlock();
    });
    while (held.load(std::memory_order_acquire) == 0) keel::ThisThread::yield();
    const int status = fork_in_session(
        [](void* lock) {
          static_cast<keel::RawMutex*>(lock)->lock();
          return 0;
        },
        &mu);
    require(status == 0, "the child ended with %d", status);
    holder.join();
  };
  EXPECT_EXIT(run_until_found(fork_while_locked, 20), kFound,
              "deadlock(.|\n)*in a forked child(.|\n)*does not exist in this forked child");
}

TEST(Explore, AFailedCheckIsReported) {
  auto check = [] { KEEL_CHECK(false, "planted"); };
  EXPECT_EXIT(run(1, check), kFound, "planted(.|\n)*found: signal 6(.|\n)*repeat it with: seed 1");
}

}  // namespace
}  // namespace keel::explore
