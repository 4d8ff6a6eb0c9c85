// mmap, mprotect, madvise; see os_memory.h.
#include "allocator/base/os_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "allocator/base/bits.h"
#include "allocator/base/build.h"
#include "allocator/base/explore/point.h"
#include "allocator/base/system_calls.h"
#include "allocator/base/units.h"

namespace keel::os {
namespace {
size_t g_page_bytes_for_testing = 0;  // set before threads exist

// False if the system refused (errno set).
bool advise(void* start, size_t bytes, int advice) {
  return system_call(SystemCall::kMadvise, -1, [&] { return madvise(start, bytes, advice); }) == 0;
}

}  // namespace

size_t page_bytes() {
  static const auto of_system = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return g_page_bytes_for_testing != 0 ? g_page_bytes_for_testing : of_system;
}

void set_page_bytes_for_testing(size_t bytes) { g_page_bytes_for_testing = bytes; }

Refused::Refused(const char* call, uint64_t bytes, int error)
    : text_(std::string(call) + " of " + format_size(bytes) + ": " + std::strerror(error)) {}

void* reserve(size_t bytes, size_t alignment) {
  const size_t padded = bytes + alignment;
  void* hint = nullptr;
  if constexpr (kExploreBuild) hint = explore::session_addresses();
  void* raw = system_call(SystemCall::kMmap, MAP_FAILED, [&] {
    return mmap(hint, padded, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  });
  if (raw == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = round_up(begin, alignment);
  // What cannot be given back stays reserved: addresses, no memory.
  if (aligned > begin) unreserve(raw, aligned - begin);
  const uintptr_t tail = begin + padded - (aligned + bytes);
  if (tail > 0) unreserve(reinterpret_cast<void*>(aligned + bytes), tail);
  return reinterpret_cast<void*>(aligned);
}

void* reserve_metadata(size_t bytes) {
  void* raw = system_call(SystemCall::kMmap, MAP_FAILED, [&] {
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  });
  if (raw == MAP_FAILED) return nullptr;
  set_huge_pages(raw, bytes, false);
  exclude_from_dumps(raw, bytes);
  return raw;
}

void unreserve(void* start, size_t bytes) {
  system_call(SystemCall::kMunmap, -1, [&] { return munmap(start, bytes); });
}

int make_writable(void* start, size_t bytes) {
  const int rc =
      system_call(SystemCall::kMprotect, -1, [&] { return mprotect(start, bytes, PROT_READ | PROT_WRITE); });
  return rc == 0 ? 0 : errno;
}

bool release(void* start, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(start);
  const uintptr_t first = round_up(begin, page_bytes());
  const uintptr_t last = round_down(begin + bytes, page_bytes());
  if (first >= last) return true;
  if (advise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED)) return true;
  // relaxed [release.told]: whoever is first tells.
  static std::atomic<bool> told{false};
  if (!told.exchange(true, std::memory_order_relaxed)) {
    std::fprintf(stderr, "keel: madvise(%zu bytes, MADV_DONTNEED): %s; freed pages stay resident\n",
                 static_cast<size_t>(last - first), std::strerror(errno));
  }
  return false;
}

size_t resident_bytes(void* start, size_t bytes) {
  std::vector<unsigned char> pages(round_up(bytes, page_bytes()) / page_bytes());
  if (mincore(start, bytes, pages.data()) != 0) return 0;
  return page_bytes() * static_cast<size_t>(std::count_if(
                            pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; }));
}

void set_huge_pages(void* start, size_t bytes, bool wanted) {
  // Fails harmlessly on kernels without transparent huge pages.
  advise(start, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void exclude_from_dumps(void* start, size_t bytes) { advise(start, bytes, MADV_DONTDUMP); }
void include_in_dumps(void* start, size_t bytes) { advise(start, bytes, MADV_DODUMP); }

const char* describe_commit_limit(char* buffer, size_t bytes) {
  buffer[0] = 0;
  int mode = 0;
  if (FILE* file = std::fopen("/proc/sys/vm/overcommit_memory", "re")) {
    if (std::fscanf(file, "%d", &mode) != 1) mode = 0;
    std::fclose(file);
  }
  if (mode != 2) return buffer;
  unsigned long long limit_kib = 0;
  unsigned long long used_kib = 0;
  if (FILE* file = std::fopen("/proc/meminfo", "re")) {
    char line[256];
    while (std::fgets(line, sizeof line, file) != nullptr) {
      std::sscanf(line, "CommitLimit: %llu", &limit_kib);
      std::sscanf(line, "Committed_AS: %llu", &used_kib);
    }
    std::fclose(file);
  }
  std::snprintf(buffer, bytes, "strict overcommit: limit %llu KiB, committed %llu KiB", limit_kib, used_kib);
  return buffer;
}

}  // namespace keel::os
