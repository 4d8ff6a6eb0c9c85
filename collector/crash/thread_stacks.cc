// Backtraces and their names; see thread_stacks.h.
#include "collector/crash/thread_stacks.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "allocator/base/clock.h"

namespace keel {
namespace {

constexpr int kMostFrames = 48;
// On a busy machine a thread that sleeps may be slow to wake; who does not answer at all costs this once.
constexpr int64_t kAnswerNs = 2'000'000'000;
constexpr int kSymbolsMs = 10'000;

struct Stack {
  std::array<void*, kMostFrames> frames;
  // release/acquire [crash.stack]: the frames are written before the count is.
  std::atomic<int> count{0};
  std::atomic<int> wanted{0};  // thread id that is to answer; 0: nobody
};
Stack g_stack;

int request_signal() { return SIGRTMIN + 5; }

void answer(int) {
  const int saved = errno;
  const int self = static_cast<int>(syscall(SYS_gettid));
  int expected = self;
  // Only the thread that is asked now; a late answer to an earlier request finds another name here.
  if (g_stack.wanted.compare_exchange_strong(expected, -self, std::memory_order_acq_rel)) {
    const int count = backtrace(g_stack.frames.data(), kMostFrames);
    g_stack.count.store(count > 0 ? count : -1, std::memory_order_release);
  }
  errno = saved;
}

void hexadecimal(uintptr_t value, char* text) {
  std::snprintf(text, 20, "0x%zx", static_cast<size_t>(value));
}

// Names of the frames that lie in this program itself.
void write_symbols(void* const* frames, int count, CrashWriter& out) {
  static char texts[kMostFrames][20];
  static char* arguments[kMostFrames + 8];
  static char program[] = "addr2line";
  static char flags[] = "-Cfip";
  static char exe_flag[] = "-e";
  static char exe[64];
  std::snprintf(exe, sizeof exe, "/proc/%d/exe", static_cast<int>(getpid()));
  int n = 0;
  for (char* argument : {program, flags, exe_flag, exe}) arguments[n++] = argument;
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&write_symbols), &self) == 0) return;
  int own = 0;
  for (int i = 0; i < count; ++i) {
    Dl_info info{};
    if (dladdr(frames[i], &info) == 0 || info.dli_fbase != self.dli_fbase) continue;
    // A return address is behind the call.
    hexadecimal(reinterpret_cast<uintptr_t>(frames[i]) - 1 - reinterpret_cast<uintptr_t>(info.dli_fbase),
                texts[own]);
    arguments[n++] = texts[own++];
  }
  arguments[n] = nullptr;
  if (own == 0) return;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, program, &actions, nullptr, arguments, environ);
  close(ends[1]);
  if (failed == 0) {
    out.line("  the same, named (addr2line):");
    char text[4096];
    pollfd readable{ends[0], POLLIN, 0};
    while (poll(&readable, 1, kSymbolsMs) > 0) {
      const ssize_t bytes = read(ends[0], text, sizeof text);
      if (bytes <= 0) break;
      out.write_all(text, static_cast<size_t>(bytes));
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  close(ends[0]);
  posix_spawn_file_actions_destroy(&actions);
}

void write_frames(void* const* frames, int count, CrashWriter& out) {
  for (int i = 0; i < count; ++i) {
    Dl_info info{};
    if (dladdr(frames[i], &info) != 0 && info.dli_fname != nullptr) {
      const char* slash = std::strrchr(info.dli_fname, '/');
      out.line("  #%-2d %p  %s+0x%zx", i, frames[i], slash == nullptr ? info.dli_fname : slash + 1,
               static_cast<size_t>(static_cast<char*>(frames[i]) - static_cast<char*>(info.dli_fbase)));
    } else {
      out.line("  #%-2d %p", i, frames[i]);
    }
  }
  write_symbols(frames, count, out);
}

void write_requested_stack(int thread, CrashWriter& out) {
  g_stack.count.store(0, std::memory_order_relaxed);
  g_stack.wanted.store(thread, std::memory_order_release);
  if (syscall(SYS_tgkill, getpid(), thread, request_signal()) != 0) {
    out.line("  gone");
    return;
  }
  const int64_t end = now_ns() + kAnswerNs;
  int count = 0;
  while ((count = g_stack.count.load(std::memory_order_acquire)) == 0 && now_ns() < end) {
    const timespec pause{0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
  int unanswered = thread;
  if (count == 0 && g_stack.wanted.compare_exchange_strong(unanswered, 0, std::memory_order_acq_rel)) {
    out.line("  does not answer");
  } else if (count > 0) {
    write_frames(g_stack.frames.data(), count, out);
  }
}

void read_name(int thread, char* name, size_t size) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/comm", thread);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t bytes = file >= 0 ? read(file, name, size - 1) : 0;
  if (file >= 0) close(file);
  name[bytes > 0 ? bytes : 0] = '\0';
  if (char* end = std::strchr(name, '\n')) *end = '\0';
}

struct DirectoryEntry {  // what getdents64 writes
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[1];
};

}  // namespace

void prepare_thread_stacks() {
  void* frame = nullptr;
  backtrace(&frame, 1);  // loads the unwinder
  struct sigaction action {};
  action.sa_handler = answer;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigaction(request_signal(), &action, nullptr);
}

void write_own_stack(CrashWriter& out) {
  void* frames[kMostFrames];
  const int count = backtrace(frames, kMostFrames);
  out.line("stack of the dying thread:");
  write_frames(frames, count, out);
}

void write_callers() {
  constexpr int kNearest = 8;
  void* frames[kNearest];
  const int count = backtrace(frames, kNearest);
  CrashWriter out(STDERR_FILENO, -1);
  write_frames(frames, count, out);
}

void write_other_stacks(CrashWriter& out, bool system) {
  const int directory = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  const int self = static_cast<int>(syscall(SYS_gettid));
  alignas(8) static char entries[32 * 1024];
  for (;;) {
    const auto bytes = syscall(SYS_getdents64, directory, entries, sizeof entries);
    if (bytes <= 0) break;
    for (long at = 0; at < bytes;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(entries + at);
      at += entry->length;
      const int thread = std::atoi(entry->name);
      if (thread <= 0 || thread == self) continue;
      char name[32];
      read_name(thread, name, sizeof name);
      const bool own = std::strncmp(name, "keel-", 5) == 0;
      out.line("thread %d '%s'%s:", thread, name,
               own && !system ? ", the collector's; --traceback system shows it" : "");
      if (!own || system) write_requested_stack(thread, out);
    }
  }
  close(directory);
}

}  // namespace keel
