// CONFIG: barriers=hybrid transitions=stw,handshake roots=conservative,precise; poison and checkmark once
//
// One operator new fails, whichever it is. A thread of the program gets the exception and the heap is whole;
// a thread of the collector, which has nobody to tell, ends the process with one sentence. Each run is a
// process of its own, a child that is made before any thread exists.
//
// Which ones fail is drawn by KEEL_TEST_SEED (default 1): an arithmetic sequence with a random start. All of
// them: KEEL_TEST_EVERY=1.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "allocator/base/failing_new.h"
#include "allocator/base/rng.h"
#include "collector/api/heap.h"
#include "collector/api/keep_alive.h"

namespace keel {
namespace {

struct Node {
  Ptr<Node> next;
  uint64_t a, b, c, d, e, f;
};
struct Other {
  Ptr<Other> next;
  uint64_t a;
};

uint64_t number_of(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Roots by the hundred, weak pointers, finalizers, cleanups, large objects, sweeps and cycles.
void use(Heap& heap, int round) {
  Root<Node> head;
  for (int i = 0; i < 300; ++i) {
    PreciseLocal<Node> node = make<Node>();
    node->next = head.get();
    head = node.get();
    if (i % 64 == 0) set_finalizer(node.get(), [](Node*) {});
  }
  std::vector<Root<Other>> many;
  for (int i = 0; i < 300; ++i) {
    PreciseLocal<Other> other = make<Other>();
    many.emplace_back(other.get());
    if (i % 50 == 0)
      add_cleanup(
          other.get(), [](int) {}, 3);
  }
  Weak<Other> weak(many.front().get());
  PreciseLocal<uint64_t> numbers = make_array<uint64_t>(9000 + 512 * static_cast<size_t>(round));
  PreciseLocal<Ptr<Node>> pointers = make_array<Ptr<Node>>(6000 + 100 * static_cast<size_t>(round));
  pointers.get()[0] = head.get();
  if (round % 3 == 0) heap.collect();
  if (round % 4 == 1) static_cast<void>(heap.layouts());
}

// 0: the heap is whole; 1: it is not.
int live(const HeapConfig& config) {
  bool caught = false;
  try {
    Heap heap(config);
    for (int thread = 0; thread < 2; ++thread) {
      try {
        std::thread([&heap, &caught] {
          for (int round = 0; round < 8; ++round) {
            try {
              MutatorScope scope(heap, "a name that is too long to be kept in place");
              use(heap, round);
            } catch (const std::bad_alloc&) {
              caught = true;
            }
          }
        }).join();
      } catch (const std::bad_alloc&) {
        caught = true;  // the thread itself
      }
    }
    heap.run_finalizers(10'000'000'000);
    heap.collect();
    std::string fault = "not checked";
    while (true) {
      try {
        fault = heap.check();
        break;
      } catch (const std::bad_alloc&) {
        caught = true;
      }
    }
    if (!fault.empty()) {
      std::fprintf(stderr, "check: %s\n", fault.c_str());
      return 1;
    }
  } catch (const std::bad_alloc&) {
    caught = true;  // no heap
  }
  if (new_failed_for_testing() && !caught) std::fprintf(stderr, "nobody was told\n");
  return 0;
}

struct Outcome {
  int status = 0;  // as waitpid()'s; -1: it hung
  std::string words;
};

Outcome run_child(const HeapConfig& config, uint64_t number, uint64_t* news = nullptr) {
  int words[2];
  EXPECT_EQ(pipe(words), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(words[1], STDERR_FILENO);
    close(words[0]);
    close(words[1]);
    fail_new_for_testing(number);
    const int status = live(config);
    if (number == 0) std::fprintf(stderr, "%llu", static_cast<unsigned long long>(news_for_testing()));
    _exit(status);
  }
  close(words[1]);
  Outcome outcome;
  char text[4096];
  for (;;) {
    pollfd ready{words[0], POLLIN, 0};
    if (poll(&ready, 1, 120'000) == 0) {
      kill(child, SIGKILL);
      waitpid(child, &outcome.status, 0);
      outcome.status = -1;
      break;
    }
    const ssize_t bytes = read(words[0], text, sizeof text);
    if (bytes <= 0) {
      waitpid(child, &outcome.status, 0);
      break;
    }
    outcome.words.append(text, static_cast<size_t>(bytes));
  }
  close(words[0]);
  if (news != nullptr) {  // in the last line, after what the leak check may have said
    *news = std::strtoull(outcome.words.c_str() + outcome.words.rfind('\n') + 1, nullptr, 10);
  }
  return outcome;
}

HeapConfig config_of(const char* transitions, Roots roots) {
  HeapConfig config;
  config.transitions = transitions;
  config.roots = roots;
  config.range_bytes = 1 << 30;
  config.gogc_percent = 20;
  return config;
}

// Lets `runs` of them fail, spread over all there are, one in each child.
void survey(const HeapConfig& config, uint64_t runs) {
  const uint64_t seed = number_of("KEEL_TEST_SEED", 1);
  uint64_t news = 0;
  const Outcome clean = run_child(config, 0, &news);
  ASSERT_EQ(clean.status, 0) << clean.words;
  ASSERT_GT(news, 100U);
  const uint64_t step = std::getenv("KEEL_TEST_EVERY") != nullptr ? 1 : std::max<uint64_t>(1, news / runs);
  uint64_t whole = 0;
  uint64_t sentences = 0;
  for (uint64_t number = 1 + Rng(seed).below(step); number <= news; number += step) {
    const Outcome outcome = run_child(config, number);
    const std::string which =
        "KEEL_TEST_SEED=" + std::to_string(seed) + ", operator new " + std::to_string(number) + ": ";
    if (outcome.status == -1) {
      ADD_FAILURE() << which << "hangs";
    } else if (!WIFEXITED(outcome.status)) {
      ADD_FAILURE() << which << "signal " << WTERMSIG(outcome.status) << ": " << outcome.words;
    } else if (WEXITSTATUS(outcome.status) == 3) {
      EXPECT_NE(outcome.words.find("keel: out of memory"), std::string::npos) << which << outcome.words;
      ++sentences;
    } else {
      EXPECT_EQ(WEXITSTATUS(outcome.status), 0) << which << outcome.words;
      ++whole;
    }
  }
  std::printf("%llu operator new; %llu ended well, %llu with the sentence\n",
              static_cast<unsigned long long>(news), static_cast<unsigned long long>(whole),
              static_cast<unsigned long long>(sentences));
}

TEST(FailingNew, EndsInTheExceptionOrTheSentenceWithStops) {
  survey(config_of("stw", Roots::kConservative), 40);
}

TEST(FailingNew, EndsInTheExceptionOrTheSentenceWithHandshakes) {
  survey(config_of("handshake", Roots::kPrecise), 40);
}

TEST(FailingNew, EndsInTheExceptionOrTheSentenceWithDebugAids) {
  HeapConfig config = config_of("stw", Roots::kConservative);
  config.debug.poison = true;
  config.debug.checkmark = true;
  config.debug.walk = true;
  config.debug.leakcheck = true;
  survey(config, 40);
}

}  // namespace
}  // namespace keel
