// /proc, /sys/fs/cgroup and sched_getaffinity; see machine.h.
#include "allocator/base/machine.h"
#include "allocator/base/system_calls.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>

#include "allocator/base/build.h"
#include "allocator/base/explore/point.h"

namespace keel {
namespace {

// The folder of this process's cgroup (version 2), or empty.
std::string cgroup_folder() {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("0::", 0) == 0) return "/sys/fs/cgroup" + line.substr(3);
  }
  return {};
}

// The tightest value of `name` from the process's cgroup up to the root.
template <typename Read>
void for_each_cgroup(const char* name, Read&& read) {
  std::string folder = cgroup_folder();
  while (folder.size() >= std::strlen("/sys/fs/cgroup")) {
    std::ifstream file(folder + "/" + name);
    std::string line;
    if (file && std::getline(file, line)) read(line);
    const size_t slash = folder.rfind('/');
    if (slash == std::string::npos) break;
    folder.resize(slash);
  }
}

uint64_t meminfo_kib(const char* key) {
  std::ifstream file("/proc/meminfo");
  std::string name;
  uint64_t value = 0;
  while (file >> name >> value) {
    if (name == key) return value;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

}  // namespace

std::vector<int> affinity_cores() {
  std::vector<int> cores;
  if constexpr (kExploreBuild) {
    for (int core = 0; core < explore::session_cores(); ++core) cores.push_back(core);
    if (!cores.empty()) return cores;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (system_call(SystemCall::kAffinity, -1, [&] { return sched_getaffinity(0, sizeof set, &set); }) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) cores.push_back(core);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

int usable_cores() {
  int cores = static_cast<int>(affinity_cores().size());
  if constexpr (kExploreBuild) {
    if (explore::session_cores() != 0) return cores;
  }
  for_each_cgroup("cpu.max", [&](const std::string& line) {
    std::istringstream words(line);
    std::string quota;
    double period = 0;
    if (words >> quota >> period && quota != "max" && period > 0) {
      const double share = std::strtod(quota.c_str(), nullptr) / period;
      cores = std::min(cores, std::max(1, static_cast<int>(share + 0.999)));
    }
  });
  return cores;
}

std::string cgroup_cpu() {
  std::string found;
  for_each_cgroup("cpu.max", [&](const std::string& line) {
    if (found.empty() && line.rfind("max", 0) != 0) found = line;
  });
  return found;
}

uint64_t cgroup_memory_bytes() {
  uint64_t limit = 0;
  for_each_cgroup("memory.max", [&](const std::string& line) {
    if (line == "max") return;
    const uint64_t bytes = std::strtoull(line.c_str(), nullptr, 10);
    if (bytes != 0 && (limit == 0 || bytes < limit)) limit = bytes;
  });
  return limit;
}

uint64_t physical_memory_bytes() { return meminfo_kib("MemTotal:") * 1024; }

uint64_t available_memory_bytes() {
  uint64_t available = meminfo_kib("MemAvailable:") * 1024;
  if (const uint64_t limit = cgroup_memory_bytes()) {
    uint64_t used = 0;
    std::ifstream file(cgroup_folder() + "/memory.current");
    file >> used;
    available = std::min(available, limit > used ? limit - used : 0);
  }
  return available;
}

bool pin_to_core(int core) {
  if constexpr (kExploreBuild) {
    if (explore::session_cores() != 0) return true;  // the session's cores are not the machine's
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (planned_error(SystemCall::kAffinity) != 0) return false;
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

bool set_time_slice(int64_t ns) {
  if constexpr (kExploreBuild) {
    if (explore::session_cores() != 0) return true;  // the scheduler decides who runs
  }
  if (planned_error(SystemCall::kScheduler) != 0) return false;
  // struct sched_attr of the kernel; the C library has none.
  struct Attributes {
    uint32_t size = sizeof(Attributes);
    uint32_t policy = SCHED_OTHER;
    uint64_t flags = 0;
    int32_t nice = 0;
    uint32_t priority = 0;
    uint64_t slice_ns = 0;  // sched_runtime
    uint64_t deadline = 0;
    uint64_t period = 0;
  } attributes;
  constexpr uint64_t kKeepPolicy = 8;  // SCHED_FLAG_KEEP_POLICY
  static_assert(sizeof(Attributes) == 48, "version 0 of the structure");
  attributes.flags = kKeepPolicy;
  attributes.nice = getpriority(PRIO_PROCESS, 0);
  attributes.slice_ns = static_cast<uint64_t>(ns);
  return syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
}

namespace {
// The beginning of a file of the thread's, as text; empty if it cannot be read. Takes no memory: the
// collector asks while it waits for a stop.
template <size_t kBytes>
void read_thread_file(int thread, const char* name, char (&text)[kBytes]) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/%s", thread, name);
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t bytes = file >= 0 ? ::read(file, text, kBytes - 1) : 0;
  if (file >= 0) ::close(file);
  text[bytes > 0 ? bytes : 0] = '\0';
}
}  // namespace

ThreadActivity thread_activity(int thread) {
  ThreadActivity activity;
  if constexpr (kExploreBuild) {
    if (explore::session_thread(thread, activity.cpu_ns, activity.runnable)) return activity;
  }
  char text[512];
  read_thread_file(thread, "schedstat", text);
  activity.cpu_ns = std::strtoll(text, nullptr, 10);
  read_thread_file(thread, "stat", text);
  // The name is in parentheses and may hold anything; the state follows.
  const char* end = std::strrchr(text, ')');
  activity.runnable = end != nullptr && end[1] != '\0' && end[2] == 'R';
  return activity;
}

ProcessMemory process_memory() {
  ProcessMemory memory;
  std::ifstream file("/proc/self/status");
  std::string line;
  auto kib = [&](const char* key, uint64_t& out) {
    if (line.rfind(key, 0) == 0) out = std::strtoull(line.c_str() + std::strlen(key), nullptr, 10) * 1024;
  };
  while (std::getline(file, line)) {
    kib("VmSize:", memory.virtual_bytes);
    kib("VmHWM:", memory.peak_resident_bytes);
    kib("VmRSS:", memory.resident_bytes);
  }
  return memory;
}

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  file >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace keel
