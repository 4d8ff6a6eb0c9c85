// What a session prints when it has found something: each thread's name, what it waits for, where, and its
// last points; then the line that repeats the run. Names of places come from addr2line, where it is
// installed.
#include <execinfo.h>
#include <link.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "allocator/base/explore/scheduler.h"
#include "allocator/base/explore/sync.h"

namespace keel::explore {
namespace {

// Counted down by threads that have written their stack: futex word.
std::atomic<uint32_t> g_stacks_missing{0};

std::string name_of(const ThreadRecord& thread) {
  char name[32] = "";
  if (thread.state == ThreadState::kDone || thread.state == ThreadState::kGone) return "-";
  if (pthread_getname_np(thread.handle, name, sizeof name) != 0) return "?";
  return name;
}

// Where the program itself is loaded.
uintptr_t load_address() {
  uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uintptr_t*>(out) = info->dlpi_addr;
        return 1;  // the first is the program
      },
      &address);
  return address;
}

// "function at file:line" for each address in the program, by one call of addr2line.
class Places {
 public:
  void add(const void* address) { names_[address]; }
  void resolve() {
    char program[512];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return;
    program[length] = 0;
    std::string command = "addr2line -C -f -i -p -e '" + std::string(program) + "'";
    const uintptr_t base = load_address();
    char number[32];
    for (const auto& [address, name] : names_) {
      // A return address: the call is before it.
      std::snprintf(number, sizeof number, " %#zx", reinterpret_cast<uintptr_t>(address) - base - 1);
      command += number;
    }
    FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r");
    if (pipe == nullptr) return;
    // A line for each address, then one for each function that it was inlined into.
    char line[4096];
    auto at = names_.end();
    while (std::fgets(line, sizeof line, pipe) != nullptr) {
      std::string name(line, std::strcspn(line, "\n"));
      constexpr std::string_view kInlined = " (inlined by) ";
      if (name.compare(0, kInlined.size(), kInlined) == 0) {
        name.erase(0, kInlined.size());
      } else {
        at = at == names_.end() ? names_.begin() : std::next(at);
        if (at == names_.end()) break;
      }
      at->second.push_back(short_name(std::move(name)));
    }
    pclose(pipe);
  }
  /// The functions at an address, innermost first, without the seam's own; empty if it lies in a library.
  [[nodiscard]] std::vector<std::string> functions(const void* address) const {
    std::vector<std::string> result;
    const auto at = names_.find(address);
    if (at == names_.end()) return result;
    for (const std::string& name : at->second) {
      const bool seam = name.find(" at allocator/base/") != std::string::npos ||
                        name.find(" at /usr/") != std::string::npos;
      const bool known = name.find("??") == std::string::npos && name.find(" at ") != std::string::npos;
      if (!seam && known) result.push_back(name);
    }
    return result;
  }

 private:
  // Paths from the source's root, no template arguments: what is left fits a line.
  static std::string short_name(std::string name) {
    const size_t place = name.rfind(" at ");
    if (place == std::string::npos) return name;
    std::string file = name.substr(place + 4);
    for (const char* folder : {"/allocator/", "/barriers/", "/collector/", "/reports/", "/workloads/"}) {
      const size_t found = file.find(folder);
      if (found == std::string::npos) continue;
      file.erase(0, found + 1);
      break;
    }
    file.resize(std::min(file.size(), file.find(" (discriminator")));
    std::string function = name.substr(0, place);
    if (function.size() > 100) function = function.substr(0, 97) + "...";
    return function + " at " + file;
  }
  std::map<const void*, std::vector<std::string>> names_;
};

// The stack of a thread, then its last points.
void print_places(const ThreadRecord& thread, const Places& places) {
  for (int i = 0; i < thread.frame_count; ++i) {
    for (const std::string& function : places.functions(thread.frames[static_cast<size_t>(i)]))
      std::fprintf(stderr, "    %s\n", function.c_str());
  }
  const uint32_t shown = std::min(thread.passed_count, ThreadRecord::kRemembered);
  for (uint32_t i = 0; i < shown; ++i) {
    const PassedPoint& passed = thread.passed[(thread.passed_count - shown + i) % ThreadRecord::kRemembered];
    std::string text;
    size_t named = 0;
    for (const void* place : passed.places) {
      for (const std::string& function : places.functions(place)) {
        if (named++ < 2) text += (named == 1 ? ", in " : ", from ") + function;
      }
    }
    std::string object;
    if (passed.point != Point::kRace && passed.object != nullptr) {
      char address[24];
      std::snprintf(address, sizeof address, " of %p", passed.object);
      object = address;
    }
    std::fprintf(stderr, "  point %llu: %s%s%s\n", static_cast<unsigned long long>(passed.number),
                 to_string(passed.point), object.c_str(), text.c_str());
  }
}

const char* state_name(ThreadState state) {
  switch (state) {
    case ThreadState::kRunnable:
      return "can run";
    case ThreadState::kWaitsForLock:
      return "waits for the lock";
    case ThreadState::kWaitsOnCondition:
      return "waits on the condition";
    case ThreadState::kWaitsOnFutex:
      return "waits on the futex word";
    case ThreadState::kSleeps:
      return "sleeps";
    case ThreadState::kJoins:
      return "joins";
    case ThreadState::kDone:
      return "has ended";
    case ThreadState::kGone:
      return "does not exist in this forked child";
  }
  return "";
}

}  // namespace

const char* to_string(Point point) {
  switch (point) {
    case Point::kRelaxed:
      return "relaxed access";
    case Point::kOrdered:
      return "ordered access";
    case Point::kLock:
      return "lock";
    case Point::kUnlock:
      return "unlock";
    case Point::kWait:
      return "wait";
    case Point::kNotify:
      return "notify";
    case Point::kFutexWait:
      return "futex wait";
    case Point::kFutexWake:
      return "futex wake";
    case Point::kRace:
      return "race point";
    case Point::kStart:
      return "start of a thread";
    case Point::kJoin:
      return "join";
    case Point::kExit:
      return "end";
    case Point::kYield:
      return "yield";
    case Point::kSleep:
      return "sleep";
    case Point::kClock:
      return "clock";
    case Point::kCount:
      break;
  }
  return "";
}

void Scheduler::wait_for_token(ThreadRecord& self) {
  for (;;) {
    // acquire [explore.token]: pairs with give_token().
    const uint32_t token = self.token.exchange(ThreadRecord::kWait, std::memory_order_acquire);
    if (token == ThreadRecord::kRun) return;
    if (token == ThreadRecord::kShowStack) {
      self.frame_count = backtrace(self.frames.data(), ThreadRecord::kFrames);
      g_stacks_missing.fetch_sub(1, std::memory_order_release);
      syscall(SYS_futex, &g_stacks_missing, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    syscall(SYS_futex, &self.token, FUTEX_WAIT_PRIVATE, ThreadRecord::kWait, nullptr, nullptr, 0);
  }
}

// Each thread writes its own stack, the caller included; a thread that does not answer in a second has none.
void Scheduler::collect_stacks() {
  ThreadRecord* self = t_self;
  self->frame_count = backtrace(self->frames.data(), ThreadRecord::kFrames);
  for (const auto& thread : threads_) {
    if (thread.get() == self || thread->state >= ThreadState::kDone) continue;
    g_stacks_missing.store(1, std::memory_order_release);
    give_token(*thread, ThreadRecord::kShowStack);
    timespec second{1, 0};
    if (g_stacks_missing.load(std::memory_order_acquire) != 0)
      syscall(SYS_futex, &g_stacks_missing, FUTEX_WAIT_PRIVATE, 1, &second, nullptr, 0);
  }
}

std::string Scheduler::describe(const ThreadRecord& thread) const {
  std::string text = state_name(thread.state);
  char more[96] = "";
  if (thread.state == ThreadState::kWaitsForLock) {
    const ThreadRecord* owner = static_cast<const RawMutex*>(thread.waits_for)->owner();
    std::snprintf(more, sizeof more, " %p, held by thread %d", thread.waits_for,
                  owner == nullptr ? -1 : static_cast<int>(owner->id));
  } else if (thread.state == ThreadState::kJoins) {
    std::snprintf(more, sizeof more, " thread %u", static_cast<const ThreadRecord*>(thread.waits_for)->id);
  } else if (thread.state == ThreadState::kWaitsOnFutex) {
    std::snprintf(
        more, sizeof more, " %p (now %u)", thread.waits_for,
        static_cast<const std::atomic<uint32_t>*>(thread.waits_for)->load(std::memory_order_relaxed));
  } else if (thread.state == ThreadState::kWaitsOnCondition) {
    std::snprintf(more, sizeof more, " %p", thread.waits_for);
  }
  text += more;
  if (thread.deadline_ns != ThreadRecord::kNever && thread.state != ThreadState::kRunnable) {
    std::snprintf(more, sizeof more, ", at most %lld us more",
                  static_cast<long long>((thread.deadline_ns - now_ns_) / 1000));
    text += more;
  }
  return text;
}

void Scheduler::print_report(const char* what) {
  Places places;
  for (const auto& thread : threads_) {
    for (int i = 0; i < thread->frame_count; ++i) places.add(thread->frames[static_cast<size_t>(i)]);
    for (const PassedPoint& passed : thread->passed) {
      for (const void* place : passed.places) {
        if (place != nullptr) places.add(place);
      }
    }
  }
  places.resolve();
  std::fprintf(stderr, "explore: found: %s\n", what);
  std::fprintf(stderr, "explore: %s, seed %llu; %llu points, %llu switches, %.6f s of virtual time%s\n",
               to_string(options_.strategy), static_cast<unsigned long long>(options_.seed),
               static_cast<unsigned long long>(points_), static_cast<unsigned long long>(switches_),
               static_cast<double>(now_ns_ - kBeginNs) / 1e9, child_ ? "; in a forked child" : "");
  for (const auto& thread : threads_) {
    std::fprintf(stderr, "thread %u '%s'%s: %s\n", thread->id, name_of(*thread).c_str(),
                 thread.get() == t_self ? " (reports this)" : "", describe(*thread).c_str());
    if (thread->state != ThreadState::kDone) print_places(*thread, places);
  }
  std::fprintf(stderr, "explore: trace %016llx\n", static_cast<unsigned long long>(hash_));
  if (!options_.replay.empty()) std::fprintf(stderr, "repeat it with: %s\n", options_.replay.c_str());
}

void Scheduler::fail(const char* what) {
  collect_stacks();
  // From here on this thread is outside: what it touches falls through to the real primitives.
  ThreadRecord* self = t_self;
  if (options_.on_found != nullptr) options_.on_found(what, hash_);
  print_report(what);
  t_self = nullptr;
  self->state = ThreadState::kDone;
  std::fflush(nullptr);
  _exit(kFoundStatus);
}

}  // namespace keel::explore
