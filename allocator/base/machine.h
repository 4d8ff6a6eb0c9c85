// What this process may use of the machine: cores (affinity ∩ cgroup quota) and memory (physical ∩ cgroup
// limit).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace keel {

/// Core numbers in the calling thread's affinity mask.
std::vector<int> affinity_cores();
/// Cores this process may use: affinity, and the cgroup's CPU quota rounded up. At least 1.
int usable_cores();
/// The cgroup's "quota period" (cpu.max), empty if there is none.
std::string cgroup_cpu();
/// The cgroup's memory limit in bytes, 0 if there is none.
uint64_t cgroup_memory_bytes();
/// Physical memory in bytes.
uint64_t physical_memory_bytes();
/// Memory that is free or can be reclaimed now, within the cgroup's limit.
uint64_t available_memory_bytes();
/// Pins the calling thread to one core; false if the system refuses.
bool pin_to_core(int core);

/// Asks for time slices of `ns` for the calling thread (Linux 6.12 and later: sched_setattr(2), within 0.1
/// and 100 ms): a short one gets a core soon after it wakes up, a long one gives way to who wakes up; the
/// share of the core is the same. Needs no permission and can be taken back. False where the system does not
/// know it.
bool set_time_slice(int64_t ns);

/// What a thread of this process is about.
struct ThreadActivity {
  int64_t cpu_ns = 0;     // CPU time so far
  bool runnable = false;  // running, or waiting for a core; else it sleeps in a system call
};
/// Reads /proc. Cost: ~15 us. `thread`: the system's number of it (gettid).
ThreadActivity thread_activity(int thread);

/// Resident and virtual size of this process, and the high-water mark of the resident one (VmHWM).
struct ProcessMemory {
  uint64_t resident_bytes = 0;
  uint64_t peak_resident_bytes = 0;
  uint64_t virtual_bytes = 0;
};
/// Reads /proc/self/status. Cost: ~20 us.
ProcessMemory process_memory();
/// Reads /proc/self/statm: resident bytes only. Cost: ~3 us.
uint64_t resident_bytes();

}  // namespace keel
