// The operating system's memory: reserve, make writable, release. The only file that calls mmap and madvise.
//
// A range is reserved once with no access and MAP_NORESERVE, made writable in large steps, and given back
// with MADV_DONTNEED alone, so that addresses never change hands and released pages read as zero. Errors:
// results carry errno; the caller decides. Threads: any (the kernel serialises).
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>

namespace keel::os {

/// What the kernel gives out and takes back: 4, 16 or 64 KiB. A page of the heap (8 KiB) may be part of one.
size_t page_bytes();
/// As if the kernel's pages were larger; 0: as they are.
void set_page_bytes_for_testing(size_t bytes);

/// The system refused memory without which there is no heap. what() names the call, the size and the reason.
class Refused : public std::bad_alloc {
 public:
  Refused(const char* call, uint64_t bytes, int error);
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

/// Reserves `bytes` of addresses aligned to `alignment` with no access. Null on failure (errno set).
void* reserve(size_t bytes, size_t alignment);

/// Reserves zeroed, readable and writable memory that becomes resident on first touch and is kept out of core
/// dumps: for metadata indexed by address. Null on failure.
void* reserve_metadata(size_t bytes);

/// Gives a whole reservation back.
void unreserve(void* start, size_t bytes);

/// Makes part of a reservation readable and writable. 0 or errno.
int make_writable(void* start, size_t bytes);

/// Drops the system's pages of [start, start + bytes) that lie wholly inside; they read as zero afterwards,
/// and what is left at the edges keeps its contents. False if the system refused: all are what they were, and
/// stay resident. The first refusal is told on stderr.
[[nodiscard]] bool release(void* start, size_t bytes);

/// How much of a mapping is resident: for tests and checks. Cost: a byte a page.
size_t resident_bytes(void* start, size_t bytes);

/// Asks for (or forbids) transparent huge pages.
void set_huge_pages(void* start, size_t bytes, bool wanted);

/// Keeps a range out of core dumps, or has it in them again.
void exclude_from_dumps(void* start, size_t bytes);
void include_in_dumps(void* start, size_t bytes);

/// "strict overcommit: limit 12.0 GiB, committed 3.1 GiB" or an empty string when overcommit is not strict.
const char* describe_commit_limit(char* buffer, size_t bytes);

}  // namespace keel::os
