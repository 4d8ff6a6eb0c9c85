// mmap, mprotect, madvise; see os_memory.h.
#include "allocator/base/os_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "allocator/base/bits.h"
#include "allocator/base/build.h"
#include "allocator/base/check.h"
#include "allocator/base/explore/point.h"

namespace keel::os {

void* reserve(size_t bytes, size_t alignment) {
  const size_t padded = bytes + alignment;
  void* hint = nullptr;
  if constexpr (kExploreBuild) hint = explore::session_addresses();
  void* raw = mmap(hint, padded, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(raw);
  const uintptr_t aligned = round_up(begin, alignment);
  if (aligned > begin) munmap(raw, aligned - begin);
  const uintptr_t tail = begin + padded - (aligned + bytes);
  if (tail > 0) munmap(reinterpret_cast<void*>(aligned + bytes), tail);
  return reinterpret_cast<void*>(aligned);
}

void* reserve_metadata(size_t bytes) {
  void* raw =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  set_huge_pages(raw, bytes, false);
  exclude_from_dumps(raw, bytes);
  return raw;
}

void unreserve(void* start, size_t bytes) { munmap(start, bytes); }

int make_writable(void* start, size_t bytes) {
  return mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0 ? 0 : errno;
}

void release(void* start, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(start);
  const uintptr_t first = round_up(begin, kPageBytes);
  const uintptr_t last = round_down(begin + bytes, kPageBytes);
  if (first >= last) return;
  const int rc = madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  KEEL_CHECK(rc == 0, "madvise(%p, %zu, MADV_DONTNEED): %s", reinterpret_cast<void*>(first), last - first,
             std::strerror(errno));
}

void set_huge_pages(void* start, size_t bytes, bool wanted) {
  // Fails harmlessly on kernels without transparent huge pages.
  madvise(start, bytes, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

void exclude_from_dumps(void* start, size_t bytes) { madvise(start, bytes, MADV_DONTDUMP); }

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
