// CONFIG: barriers=hybrid roots=all
//
// What a crash says: each way to die, in a child process, and what must stand in its report.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <latch>
#include <sstream>
#include <thread>

#include "allocator/base/check.h"
#include "collector/api/crash_report.h"
#include "collector/api/heap.h"

namespace keel {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

struct Node {
  Ptr<Node> next;
  uint64_t number;
  std::array<uint64_t, 4> more;
};

HeapConfig config(bool poison) {
  HeapConfig c;
  c.roots = Roots::kPrecise;
  c.debug.poison = poison;
  return c;
}

// A fresh folder for the copy of a report.
std::string report_path() {
  static int number = 0;
  const auto folder = std::filesystem::temp_directory_path() /
                      ("keel-crash-" + std::to_string(getpid()) + "-" + std::to_string(number++));
  std::filesystem::create_directories(folder);
  return folder / "run.crash.txt";
}

std::string read_all(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

CrashOptions options(Traceback traceback, const std::string& path = "") {
  CrashOptions o;
  o.traceback = traceback;
  o.path = path;
  return o;
}

// Two nodes of which only `kept` stays; the other's address, as a number that keeps nothing alive.
__attribute__((noinline)) uintptr_t make_dead_node(Root<Node>& kept) {
  kept = make<Node>();
  PreciseLocal<Node> dead = make<Node>();
  dead->next = kept.get();
  return reinterpret_cast<uintptr_t>(dead.get());
}

void follow_a_dead_object() {
  CrashReporter reporter(options(Traceback::kNone));
  Heap heap(config(true));
  MutatorScope scope(heap, "reader");
  Root<Node> kept;
  const uintptr_t dead = make_dead_node(kept);
  heap.collect();
  heap.collect();
  // Reading the dead object gives poison; following it is the fault.
  volatile uint64_t number = reinterpret_cast<Node*>(dead)->next->number;
  static_cast<void>(number);
}

TEST(CrashDeathTest, UseAfterFreeNamesTheDeadObjectItsLayoutAndTheCycleThatFreedIt) {
  EXPECT_EXIT(follow_a_dead_object(), testing::KilledBySignal(SIGSEGV),
              "read from a dead slot \\(use after free\\).*"
              "FREE: the object at 0x[0-9a-f]+, byte [0-9]+ of it, was freed by the sweep of cycle 1.*"
              "48 B a slot, pointers, Ptr in words 0.*> word +[0-9]+ +0xdbdb[0-9a-f]+  poison");
}

void write_to_a_dead_object() {
  CrashReporter reporter(options(Traceback::kNone));
  Heap heap(config(true));
  MutatorScope scope(heap, "writer");
  Root<Node> kept;
  const uintptr_t dead = make_dead_node(kept);
  heap.collect();
  *reinterpret_cast<volatile uint64_t*>(&reinterpret_cast<Node*>(dead)->number) = 7;
  for (int i = 0; i < 100000; ++i) make<Node>();
}

TEST(CrashDeathTest, AWriteToADeadObjectIsFoundWhenItsSlotIsTaken) {
  EXPECT_EXIT(write_to_a_dead_object(), testing::KilledBySignal(SIGABRT),
              "use after free: word 1 of the slot at 0x[0-9a-f]+ \\(.*was written after the sweep of cycle 1 "
              "freed it.*"
              "FREE: the object at .*word +1  0x0000000000000007");
}

void fail_a_check() {
  CrashReporter reporter(options(Traceback::kNone));
  Heap heap(config(false));
  MutatorScope scope(heap, "checker");
  Root<Node> root(make<Node>());
  root->number = 4711;
  heap.collect();
  KEEL_CHECK_ABOUT(reinterpret_cast<uintptr_t>(&root->number), root->number == 0, "number %d", 12);
}

TEST(CrashDeathTest, AFailedCheckShowsPhaseSpanSlotAndLastEvents) {
  EXPECT_EXIT(
      fail_a_check(), testing::KilledBySignal(SIGABRT),
      "keel: fatal: .*crash_test.cc:[0-9]+: check failed: .*: number 12, on thread [0-9]+.*"
      "heap: not marking, 1 cycles completed, barrier hybrid, transitions stw.*live .*goal.*"
      "span \\[0x.*swept in cycle 1.*slot [0-9]+ at 0x[0-9a-f]+, byte 8 of it: allocation bit set, mark bit "
      "clear.*> word +1  0x0000000000001267.*"
      "cycle thread's last events:.*cycle 1  cycle begins.*cycle 1  marking begins.*mark_termination, [0-9]+ "
      "us.*"
      "mutator 1 'checker' \\(thread [0-9]+\\): running; the dying thread.*attached");
}

// Not checked by UndefinedBehaviorSanitizer: it would end the program before the signal does.
__attribute__((noinline, no_sanitize("undefined"))) void follow_null() {
  CrashReporter reporter(options(Traceback::kSingle));
  Heap heap(config(false));
  MutatorScope scope(heap);
  PreciseLocal<Node> node = make<Node>();
  volatile uint64_t number = node->next->number;
  static_cast<void>(number);
}

TEST(CrashDeathTest, ANullPointerIsCalledOneAndTheStackNamesTheFunction) {
  EXPECT_EXIT(follow_null(), testing::KilledBySignal(SIGSEGV),
              "signal 11 \\(SIGSEGV\\) at address 0x8.*not in the heap: a field of a null pointer.*"
              "stack of the dying thread:.*named \\(addr2line\\):.*follow_null");
}

void die_beside_another_thread(Traceback traceback) {
  CrashReporter reporter(options(traceback));
  Heap heap(config(false));
  std::latch ready{1};
  std::thread other([&] {
    MutatorScope scope(heap, "other");
    ready.count_down();
    blocking([] { std::this_thread::sleep_for(std::chrono::hours(1)); });
  });
  pthread_setname_np(other.native_handle(), "bystander");
  ready.wait();
  raise(SIGILL);
}

TEST(CrashDeathTest, TheLevelDecidesWhoseStacksAreShown) {
  const auto dies = testing::KilledBySignal(SIGILL);
  EXPECT_EXIT(die_beside_another_thread(Traceback::kNone), dies, "mutator 1 'other'.*: blocked");
  EXPECT_EXIT(
      die_beside_another_thread(Traceback::kAll), dies,
      "stack of the dying thread:.*'bystander':\n  #0 .*'keel-cycle', the collector's; --traceback system|"
      "'keel-cycle', the collector's; --traceback system.*'bystander':\n  #0 ");
  EXPECT_EXIT(die_beside_another_thread(Traceback::kSystem), dies, "'keel-cycle':\n  #0 ");
}

TEST(CrashDeathTest, TheCopyHasTheReportAndNothingOfASilentLevel) {
  const std::string path = report_path();
  EXPECT_EXIT(
      {
        CrashReporter reporter(options(Traceback::kNone, path));
        Heap heap(config(false));
        raise(SIGFPE);
      },
      testing::KilledBySignal(SIGFPE), "this is also in .*run.crash.txt");
  const std::string text = read_all(path);
  EXPECT_NE(text.find("keel: fatal: signal 8 (SIGFPE)"), std::string::npos) << text;
  EXPECT_NE(text.find("heap: not marking, 0 cycles completed"), std::string::npos) << text;
  EXPECT_EQ(text.find("stack of"), std::string::npos) << text;
}

TEST(CrashDeathTest, AFaultInTheLastWordsDoesNotHideTheFirst) {
  EXPECT_EXIT(
      {
        CrashOptions o = options(Traceback::kNone);
        o.last_words = [](int signal, const char* what) {
          fprintf(stderr, "last words: %d %s\n", signal, what);
          volatile uintptr_t nowhere = 16;
          *reinterpret_cast<volatile int*>(nowhere) = 1;
        };
        CrashReporter reporter(o);
        raise(SIGBUS);
      },
      testing::KilledBySignal(SIGBUS), "last words: 7 signal 7.*a second fault ended this section");
}

TEST(CrashDeathTest, AnUncaughtExceptionLeavesAReportToo) {
  EXPECT_EXIT(
      {
        CrashReporter reporter(options(Traceback::kNone));
        Heap heap(config(false));
        std::thread([] { throw std::runtime_error("nobody catches this"); }).join();
      },
      testing::KilledBySignal(SIGABRT),
      "nobody catches this.*keel: fatal: signal 6 \\(SIGABRT\\).*heap: not marking");
}

// Ends when `above` says so, which it never does: compilers refuse a recursion that they see has no end.
__attribute__((noinline)) int descend(volatile char* above) {
  if (above != nullptr && above[1] == 1) return 0;
  volatile char frame[4096];
  frame[0] = static_cast<char>(above == nullptr ? 1 : above[0] + 1);
  frame[1] = 0;
  return descend(frame) + frame[0];
}

TEST(CrashDeathTest, AnOverflownStackCanStillSaySo) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer has its own word on this";
  EXPECT_EXIT(
      {
        CrashReporter reporter(options(Traceback::kNone));
        Heap heap(config(false));
        std::thread([&] {
          MutatorScope scope(heap, "deep");
          descend(nullptr);
        }).join();
      },
      testing::KilledBySignal(SIGSEGV), "signal 11.*mutator 1 'deep'.*the dying thread");
}

// The level `crash` lifts the limit on core files, the others set it to nothing.
TEST(CrashDeathTest, OnlyTheLevelCrashLeavesACore) {
  const auto core_limit_at_death = [](Traceback traceback) {
    CrashReporter reporter(options(traceback));
    set_after_report_for_testing([](int) {
      rlimit limit{};
      getrlimit(RLIMIT_CORE, &limit);
      _exit(limit.rlim_cur == 0 ? 10 : limit.rlim_cur == limit.rlim_max ? 11 : 12);
    });
    raise(SIGABRT);
  };
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  EXPECT_EXIT(core_limit_at_death(Traceback::kSystem), testing::ExitedWithCode(10), "");
  EXPECT_EXIT(core_limit_at_death(Traceback::kCrash), testing::ExitedWithCode(limit.rlim_max == 0 ? 10 : 11),
              "");
}

}  // namespace
}  // namespace keel
