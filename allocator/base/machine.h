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
