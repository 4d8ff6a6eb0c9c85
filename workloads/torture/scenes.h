// Scenes: what takes more than one thread or process: children that return, throw, run out of memory or are
// cancelled with Locals and Roots in their frames; a fork; a conversation through a channel.
//
// Cancellation is supported where a thread is inside blocking(f) and nowhere else: f enables it (deferred)
// and what f calls are the cancellation points; the forced unwinding leaves the region and the frames above
// as an exception would. Elsewhere a thread keeps it disabled: the collector waits on condition variables,
// which are cancellation points inside functions that cannot throw.
#pragma once

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>

#include "allocator/base/thread.h"
#include "workloads/backends/keel_backend.h"
#include "workloads/channels/channel.h"
#include "workloads/torture/graph.h"

namespace keel::torture {

// The allocator of g++ 12's AddressSanitizer is not made ready for a fork: a lock that another thread held
// stays held in the child, and its first malloc waits for ever. There the child only exits.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kForkedChildMayAllocate = false;
#else
inline constexpr bool kForkedChildMayAllocate = true;
#endif

enum class Ending { kReturns, kThrows, kStarves, kIsCancelled };

template <bool kPrecise>
class Scenes {
 public:
  template <typename T>
  using Local = LocalFor<kPrecise, T>;

  Scenes(Heap& heap, Tally& tally, Trouble& trouble) : heap_(heap), tally_(tally), trouble_(trouble) {}

  /// Starts a thread that attaches, builds frames and ends as told; waits for it. `turn` is the child's
  /// meanwhile.
  void child(Turn& turn, Ending ending);
  /// Forks; the child reads, finds its heap closed and exits.
  void fork_and_look(Turn& turn, Graph<kPrecise>& graph);
  /// Sends trees to a thread that checks them, through a channel that alone keeps them.
  void converse(Turn& turn, Ends& ends);

 private:
  static constexpr unsigned kHangSeconds = 30;  // far above what a loaded machine takes
  struct OwnException {};
  struct Child {
    Scenes& scenes;
    Turn& turn;
    const Ending ending;
    RawMutex mu;
    RawCondition changed;
    bool waiting = false;  // in a blocking region, with cancellation enabled
    std::string fault;
    std::string out_of_memory;
    bool own_exception = false;
  };
  static void* run_child(void* argument);
  static int cancel_child(Child& child, void*& result);
  void frames(Child& child, int depth);
  void end(Child& child);
  static void wait_to_be_cancelled(Child& child);
  static int look_after_fork(Turn& turn, Graph<kPrecise>& graph, Heap& heap);

  struct Parcel {
    Ptr<Any> top;
    uint64_t number;
  };
  using Pipe = Channel<KeelBackend<kPrecise>, Parcel>;
  struct Mail {
    RawMutex mu;
    std::vector<std::shared_ptr<const ShadowSet>> sets;
  };
  void receive_all(Pipe& pipe, Mail& mail);

  Heap& heap_;
  Tally& tally_;
  Trouble& trouble_;
};

template <bool kPrecise>
void Scenes<kPrecise>::child(Turn& turn, Ending ending) {
  Child child{*this, turn, ending, {}, {}, false, {}, {}, false};
  Tally::count(tally_.threads);
  void* result = nullptr;
  int error = 0;
  blocking([&] {
    if (ending == Ending::kIsCancelled) {
      error = cancel_child(child, result);
      return;
    }
    try {
      Thread thread([&] { run_child(&child); });
      thread.join();
    } catch (const std::system_error& e) {
      error = e.code().value();
    }
  });
  if (error != 0) throw Fault("a child's thread: error " + std::to_string(error));
  if (!child.fault.empty()) throw Fault(child.fault);
  if (!child.out_of_memory.empty()) throw OutOfMemory(child.out_of_memory);  // as the parent's own
  if ((result == PTHREAD_CANCELED) != (ending == Ending::kIsCancelled))
    throw Fault("a child ended otherwise than it was told");
  if (child.own_exception != (ending == Ending::kThrows)) throw Fault("a child's own exception got lost");
}

// The system's own thread: no scheduler of ours knows what a cancellation does.
template <bool kPrecise>
int Scenes<kPrecise>::cancel_child(Child& child, void*& result) {
  pthread_t thread{};
  if (const int error = pthread_create(&thread, nullptr, run_child, &child)) return error;
  {
    std::unique_lock lock(child.mu);
    while (!child.waiting) child.changed.wait(lock);
  }
  pthread_cancel(thread);
  pthread_join(thread, &result);
  return 0;
}

template <bool kPrecise>
void* Scenes<kPrecise>::run_child(void* argument) {
  Child& child = *static_cast<Child*>(argument);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  // Whoever waits for it to wait, even if it never gets there.
  struct Ready {
    Child& child;
    ~Ready() {
      std::lock_guard lock(child.mu);
      child.waiting = true;
      child.changed.notify_all();
    }
  } ready{child};
  try {
    MutatorScope scope(child.scenes.heap_, "child");
    child.scenes.frames(child, static_cast<int>(1 + child.turn.rng.below(6)));
  } catch (const OwnException&) {
    child.own_exception = true;
  } catch (const OutOfMemory& e) {
    child.out_of_memory = e.what();
  } catch (const Fault& fault) {
    child.fault = std::string("in a child: ") + fault.what();
  }
  return nullptr;
}

// A frame with a Local and a Root; both must hold after what is below has returned.
template <bool kPrecise>
void Scenes<kPrecise>::frames(Child& child, int depth) {
  ShadowSet set;
  int held = kNobody;
  int rooted = kNobody;
  Local<Any> local = Graph<kPrecise>::tree(child.turn, tally_, nullptr, set, 1, held);
  const Root<Any> root(Graph<kPrecise>::tree(child.turn, tally_, nullptr, set, 1, rooted));
  if (depth == 0) {
    end(child);
  } else {
    frames(child, depth - 1);
  }
  if (root.get() != set[rooted].address()) set.fail(rooted, "its Root holds another", {rooted});
  set.check_all({held, rooted});
  keep_alive(static_cast<Any*>(local));
}

template <bool kPrecise>
void Scenes<kPrecise>::end(Child& child) {
  switch (child.ending) {
    case Ending::kReturns:
      break;
    case Ending::kThrows:
      throw OwnException();
    case Ending::kStarves:
      try {
        make_bytes(uint64_t{1} << 50);
      } catch (const OutOfMemory& e) {
        if (std::string(e.what()).find("1024TiB") == std::string::npos)
          throw Fault(std::string("out of memory without the size asked for: ") + e.what());
        return;
      }
      throw Fault("1 PiB was allocated");
    case Ending::kIsCancelled:
      blocking([&] { wait_to_be_cancelled(child); });
      break;
  }
}

template <bool kPrecise>
void Scenes<kPrecise>::wait_to_be_cancelled(Child& child) {
  {
    std::lock_guard lock(child.mu);
    child.waiting = true;
    child.changed.notify_all();
  }
  // ThreadSanitizer sees a thread's locks again after a cancelled wait for a condition; after a cancelled
  // pause() it would never, and report all that the frames' destructors do.
  struct Held {
    pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    Held() { pthread_mutex_lock(&mu); }
    ~Held() { pthread_mutex_unlock(&mu); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
  } held;
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  for (;;) pthread_cond_wait(&held.never, &held.mu);
}

template <bool kPrecise>
void Scenes<kPrecise>::fork_and_look(Turn& turn, Graph<kPrecise>& graph) {
  Tally::count(tally_.forks);
  const pid_t pid = fork();
  if (pid == 0) _exit(look_after_fork(turn, graph, heap_));
  if (pid < 0) return;  // no more processes: the machine's business
  int status = 0;
  blocking([&] {
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
  });
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
    throw Fault("a child after fork hung for " + std::to_string(kHangSeconds) + " s");
  if (status != 0)
    throw Fault("a child after fork ended with wait status " + std::to_string(status) +
                " (exit 10: allocation did not throw; 11: a graph was damaged; 12: figures)");
}

// The child: one thread, and a heap that is closed whatever was going on. No stdio, whose locks others held.
template <bool kPrecise>
int Scenes<kPrecise>::look_after_fork(Turn& turn, Graph<kPrecise>& graph, Heap& heap) {
  if constexpr (!kForkedChildMayAllocate) return 0;
  signal(SIGALRM, SIG_DFL);
  alarm(kHangSeconds);
  for (const uint64_t bytes : {uint64_t{16}, uint64_t{1} << 20}) {
    try {
      allocate({Kind::kBytes, bytes, turn.new_id()});
      return 10;
    } catch (const OutOfMemory&) {
    }
  }
  try {
    graph.check();
  } catch (const Fault& fault) {
    const std::string text = std::string(fault.what()) + "\n";
    static_cast<void>(!write(STDERR_FILENO, text.data(), text.size()));
    return 11;
  }
  return heap.stats().heap_alloc_bytes <= heap.stats().total_alloc_bytes ? 0 : 12;
}

template <bool kPrecise>
void Scenes<kPrecise>::converse(Turn& turn, Ends& ends) {
  Tally::count(tally_.threads);
  Pipe pipe(turn.rng.below(4));
  Mail mail;
  Thread partner([&] { receive_all(pipe, mail); });
  // Whatever happens here, the partner hears of the end.
  struct Close {
    Pipe& pipe;
    Thread& partner;
    ~Close() {
      pipe.close();
      blocking([this] { partner.join(); });
    }
  } close{pipe, partner};
  for (uint64_t i = 0, parcels = 1 + turn.rng.below(8); i < parcels; ++i) {
    ShadowSet set;
    int n = kNobody;
    Local<Any> top = Graph<kPrecise>::tree(turn, tally_, &ends, set, 2, n);
    Local<Parcel> parcel = make<Parcel>();
    parcel->top = static_cast<Any*>(top);
    parcel->number = i;
    {
      std::lock_guard lock(mail.mu);
      mail.sets.push_back(std::make_shared<const ShadowSet>(std::move(set)));
    }
    top = nullptr;
    pipe.send(parcel);
  }
}

// Looks instead of waiting in the channel: a receiver that waits needs a box, and memory may be out. After a
// fault it goes on receiving, so that the sender ends.
template <bool kPrecise>
void Scenes<kPrecise>::receive_all(Pipe& pipe, Mail& mail) {
  MutatorScope scope(heap_, "partner");
  Rng rng(1);
  for (;;) {
    const auto got = Pipe::select({{&pipe}}, rng, false);
    if (got.index == 1) {
      blocking([] { ThisThread::yield(); });
      continue;
    }
    Local<Parcel> parcel = got.element;
    if (static_cast<Parcel*>(parcel) == nullptr) return;
    try {
      std::shared_ptr<const ShadowSet> set;
      {
        std::lock_guard lock(mail.mu);
        set = mail.sets.at(parcel->number);
      }
      if (parcel->top.get() != (*set)[0].address()) set->fail(0, "a parcel holds another", {0});
      Tally::count(tally_.checked, set->check_all({0}));
    } catch (const Fault& fault) {
      trouble_.report("the partner of a conversation", fault.what(), "");
    }
    keep_alive(static_cast<Parcel*>(parcel));
  }
}

}  // namespace keel::torture
