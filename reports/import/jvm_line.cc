// See jvm_line.h.
#include "reports/import/jvm_line.h"

#include <ctime>

#include "reports/import/line_scanner.h"

namespace keel {
namespace {

// Larger "uptimes" are clock readings since an epoch ([timemillis], [timenanos]): ten years.
constexpr int64_t kLongestUptimeNs = int64_t{10} * 366 * 86400 * 1'000'000'000;

// 2026-11-22T23:19:50.445+0000
std::optional<int64_t> date_ns(std::string_view text) {
  LineScanner s(text);
  std::tm t{};
  auto field = [&](int& into, const char* after) {
    const auto value = s.integer();
    if (!value || *value < 0 || *value > 9999) return false;
    into = static_cast<int>(*value);
    return s.accept(after);
  };
  int milliseconds = 0;
  if (!field(t.tm_year, "-") || !field(t.tm_mon, "-") || !field(t.tm_mday, "T") || !field(t.tm_hour, ":") ||
      !field(t.tm_min, ":") || !field(t.tm_sec, ".")) {
    return std::nullopt;
  }
  const auto fraction = s.integer();
  if (!fraction || *fraction < 0 || *fraction > 999) return std::nullopt;
  milliseconds = static_cast<int>(*fraction);
  const bool east = s.accept("+");
  if (!east && !s.accept("-")) return std::nullopt;
  const auto zone = s.integer();
  if (!zone || *zone < 0 || *zone > 2359 || !s.at_end()) return std::nullopt;
  // Until 2200: nanoseconds since 1970 fit, whatever is added.
  if (t.tm_year < 1970 || t.tm_year > 2200 || t.tm_mon < 1 || t.tm_mon > 12 || t.tm_mday < 1 ||
      t.tm_mday > 31 || t.tm_hour > 24 || t.tm_min > 60 || t.tm_sec > 61) {
    return std::nullopt;
  }
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  const int64_t offset = (*zone / 100 * 60 + *zone % 100) * 60 * (east ? 1 : -1);
  return (int64_t{timegm(&t)} - offset) * 1'000'000'000 + int64_t{milliseconds} * 1'000'000;
}

bool is_tag_list(std::string_view text) {
  if (text.empty() || text.front() < 'a' || text.front() > 'z') return false;
  for (const char c : text) {
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != ',' && c != '_') return false;
  }
  return true;
}

bool is_level(std::string_view text) {
  return text == "trace" || text == "debug" || text == "info" || text == "warning" || text == "error";
}

}  // namespace

JvmLine split_jvm_line(std::string_view text) {
  JvmLine line;
  std::string_view rest = text;
  while (!rest.empty() && rest.front() == '[') {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos) break;
    std::string_view word = rest.substr(1, close - 1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    rest.remove_prefix(close + 1);
    line.decorated = true;
    LineScanner s(word);
    const auto uptime = s.duration();
    if (uptime && s.at_end() && *uptime < kLongestUptimeNs) {
      // Nanoseconds are finer than milliseconds are finer than seconds with three decimals.
      if (!line.uptime_ns || word.ends_with("ns")) line.uptime_ns = uptime;
    } else if (const auto date = date_ns(word)) {
      line.unix_ns = date;
    } else if (!is_level(word) && is_tag_list(word)) {
      line.tags = std::string(word);
    }
  }
  if (line.decorated && !rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  line.message = rest;
  return line;
}

}  // namespace keel
