// Sizes and durations as users write them, and the constants that name them.
//
// Sizes: an integer with B, KiB, MiB, GiB or TiB (Go's GOMEMLIMIT syntax: "10.5GiB" and "10GB" are refused).
// Durations: an integer with ns, us, ms, s or m. Quantities in code carry their unit in the name (_bytes,
// _ns).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "allocator/base/result.h"

namespace keel {

inline constexpr uint64_t kKiB = uint64_t{1} << 10;
inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;
inline constexpr uint64_t kTiB = uint64_t{1} << 40;

inline constexpr int64_t kMicrosecond = 1000;
inline constexpr int64_t kMillisecond = 1000 * kMicrosecond;
inline constexpr int64_t kSecond = 1000 * kMillisecond;

/// Parses a size. Errors: anything but digits and one of the units, or more than 2^63 - 1 bytes.
Result<uint64_t> parse_size(std::string_view text);

/// Parses a duration to nanoseconds. Errors: anything but digits and one of the units, or overflow.
Result<int64_t> parse_duration(std::string_view text);

/// "10GiB", "64MiB", "1536KiB", "17B": the largest unit that divides the size; parse_size() reads it back.
std::string format_size(uint64_t bytes);

/// "1.23 GiB": three significant figures for people.
std::string human_size(double bytes);

/// "1.23 ms": three significant figures for people.
std::string human_duration(double nanoseconds);

}  // namespace keel
