// CONFIG: barriers=hybrid roots=precise
//
// Every kind of leak is found, with the line that made it; what is only on its way out is none.
#include "collector/api/leak_check.h"

#include <gtest/gtest.h>

#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <thread>

#include "collector/api/heap.h"
#include "collector/api/leak_check_gtest.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t number;
};

HeapConfig precise() {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  return c;
}

LeakOptions at_once() {
  LeakOptions options;
  options.patience_ns = 0;
  return options;
}

// "leak_check_test.cc:LINE: what": the file's folder is the builder's.
void expect_leak(const std::vector<Leak>& leaks, Leak::Kind kind, int line, const std::string& what) {
  for (const Leak& leak : leaks) {
    const std::string text = to_string({leak});
    if (leak.kind == kind && leak.where.line == line &&
        text.find("leak_check_test.cc:") != std::string::npos && text.find(what) != std::string::npos) {
      return;
    }
  }
  ADD_FAILURE() << "no leak of line " << line << ", '" << what << "' in\n" << to_string(leaks);
}

TEST(LeakCheck, NamesEveryKindWithItsLine) {
  Heap heap(precise());
  MutatorScope scope(heap);  // the caller's own is none
  EXPECT_TRUE(verify_none(heap, at_once()));

  std::latch attached{1};
  std::latch leave{1};
  int mutator_line = 0;
  std::thread other([&] {
    mutator_line = __LINE__ + 1;
    MutatorScope other_scope(heap, "worker");
    attached.count_down();
    blocking([&] { leave.wait(); });
  });
  blocking([&] { attached.wait(); });
  const int root_line = __LINE__ + 1;
  std::optional<Root<Node>> root(std::in_place, make<Node>(), SourcePlace::here());
  Root<Node> null_root;  // holds nothing
  const int finalizer_line = __LINE__ + 1;
  set_finalizer(root->get(), [](Node*) {});
  const int cleanup_line = __LINE__ + 1;
  Cleanup cleanup = add_cleanup(
      root->get(), [](int) {}, 1);

  const std::vector<Leak> leaks = wait_for_no_leaks(heap, at_once());
  EXPECT_EQ(leaks.size(), 4U) << to_string(leaks);
  expect_leak(leaks, Leak::Kind::kMutator, mutator_line, "'worker' is attached");
  expect_leak(leaks, Leak::Kind::kRoot, root_line, "root of an object (16 B");
  expect_leak(leaks, Leak::Kind::kFinalizer, finalizer_line, "finalizer of a ");
  expect_leak(leaks, Leak::Kind::kCleanup, cleanup_line, "cleanup of a ");
  EXPECT_FALSE(verify_none(heap, at_once()));

  LeakOptions known = at_once();
  known.known = {"'worker'", "root of", "finalizer of", "cleanup of"};
  EXPECT_TRUE(verify_none(heap, known));

  leave.count_down();
  blocking([&] { other.join(); });
  cleanup.stop();
  clear_finalizer(root->get());
  root.reset();
  EXPECT_TRUE(verify_none(heap, at_once()));
}

TEST(LeakCheck, ACopyIsAtTheOriginalsPlaceAndAMoveTakesItAlong) {
  Heap heap(precise());
  MutatorScope scope(heap);
  const int line = __LINE__ + 1;
  Root<Node> original(make<Node>());
  Root<Node> copy = original;
  Root<Node> moved = std::move(original);
  const std::vector<Leak> leaks = find_leaks(heap);
  ASSERT_EQ(leaks.size(), 2U) << to_string(leaks);
  for (const Leak& leak : leaks) EXPECT_EQ(leak.where.line, line);
}

TEST(LeakCheck, WaitsForAThreadThatIsLeavingAndAFinalizerThatWillRun) {
  Heap heap(precise());
  MutatorScope scope(heap);
  std::latch attached{1};
  std::thread other([&] {
    MutatorScope other_scope(heap, "late");
    attached.count_down();
    blocking([] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); });
  });
  blocking([&] { attached.wait(); });
  set_finalizer(make<Node>(),
                [](Node*) { blocking([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }); });
  LeakOptions patient;
  patient.patience_ns = 60'000'000'000;  // the event is waited for, not the time
  EXPECT_TRUE(verify_none(heap, patient));
  blocking([&] { other.join(); });
}

void close_with_a_root_held() {
  Root<Node>* leaked = nullptr;
  HeapConfig c = precise();
  c.debug.leakcheck = true;
  {
    Heap heap(c);
    MutatorScope scope(heap);
    leaked = new Root<Node>(make<Node>());
  }
  _exit(leaked != nullptr ? 0 : 1);
}

TEST(LeakCheckDeathTest, TheClosingHeapListsWhatIsLeft) {
  EXPECT_EXIT(close_with_a_root_held(), testing::ExitedWithCode(0),
              "leak check: 1 left when the heap closes:\n.*leak_check_test.cc:[0-9]+: root of an object");
}

}  // namespace
}  // namespace keel
