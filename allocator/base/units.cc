// Parsing and printing of sizes and durations; see units.h.
#include "allocator/base/units.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <limits>

namespace keel {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array<Unit, 5> kSizes{{{"B", 1}, {"KiB", kKiB}, {"MiB", kMiB}, {"GiB", kGiB}, {"TiB", kTiB}}};
constexpr std::array<Unit, 5> kDurations{
    {{"ns", 1}, {"us", kMicrosecond}, {"ms", kMillisecond}, {"s", kSecond}, {"m", 60 * kSecond}}};

template <size_t N>
Result<uint64_t> parse_with_units(std::string_view text, const std::array<Unit, N>& units, bool bare_is_one,
                                  const char* expected) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, status] = std::from_chars(text.data(), end, number);
  const Error malformed{"'" + std::string(text) + "' is not " + expected};
  if (status == std::errc::result_out_of_range) return Error{"'" + std::string(text) + "' is too large"};
  if (status != std::errc{} || rest == text.data()) return malformed;
  const std::string_view suffix(rest, static_cast<size_t>(end - rest));
  for (const Unit& unit : units) {
    if (suffix != unit.name && !(bare_is_one && suffix.empty() && unit.factor == 1)) continue;
    constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
    if (number > kMax / unit.factor) return Error{"'" + std::string(text) + "' is too large"};
    return number * unit.factor;
  }
  return malformed;
}

std::string three_figures(double value, const char* unit) {
  char text[48];
  const double magnitude = value < 0 ? -value : value;
  const int decimals = magnitude >= 100 ? 0 : magnitude >= 10 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f %s", decimals, value, unit);
  return text;
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  return parse_with_units(text, kSizes, true,
                          "a size: an integer with B, KiB, MiB, GiB or TiB, at most 8388607TiB");
}

Result<int64_t> parse_duration(std::string_view text) {
  auto parsed = parse_with_units(text, kDurations, false, "a duration: an integer with ns, us, ms, s or m");
  if (!parsed) return Error{parsed.error()};
  return static_cast<int64_t>(parsed.value());
}

std::string format_size(uint64_t bytes) {
  for (size_t i = kSizes.size(); i-- > 0;) {
    if (bytes != 0 && bytes % kSizes[i].factor == 0) {
      return std::to_string(bytes / kSizes[i].factor) + std::string(kSizes[i].name);
    }
  }
  return "0B";
}

std::string human_size(double bytes) {
  size_t i = 0;
  double value = bytes;
  while (i + 1 < kSizes.size() && (value >= 1024 || value <= -1024)) {
    value /= 1024;
    ++i;
  }
  if (i == 0) return std::to_string(static_cast<int64_t>(bytes)) + " B";
  return three_figures(value, kSizes[i].name.data());
}

std::string human_duration(double ns) {
  if (ns < 1e3) return three_figures(ns, "ns");
  if (ns < 1e6) return three_figures(ns / 1e3, "us");
  if (ns < 1e9) return three_figures(ns / 1e6, "ms");
  return three_figures(ns / 1e9, "s");
}

}  // namespace keel
