// A cursor over one line of a log: literals, numbers, sizes. Never reads past the end, never throws.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keel {

class LineScanner {
 public:
  /// Ten years: what is longer is no duration of a log, and its sums would not fit.
  static constexpr double kLongestDurationNs = 3.2e17;

  explicit LineScanner(std::string_view text) : rest_(text) {}

  [[nodiscard]] std::string_view rest() const { return rest_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  /// Takes `literal` if it comes next.
  bool accept(std::string_view literal) {
    if (rest_.substr(0, literal.size()) != literal) return false;
    rest_.remove_prefix(literal.size());
    return true;
  }
  void skip_spaces() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t')) rest_.remove_prefix(1);
  }
  /// Everything before `literal`, which is taken too; absent, and nothing taken, if it does not come.
  std::optional<std::string_view> until(std::string_view literal) {
    const size_t at = rest_.find(literal);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view before = rest_.substr(0, at);
    rest_.remove_prefix(at + literal.size());
    return before;
  }
  std::optional<int64_t> integer() {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc()) return std::nullopt;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  /// An integer from 0 to `most`; absent, and nothing taken, for any other.
  std::optional<int64_t> count(int64_t most) {
    const LineScanner before = *this;
    const auto value = integer();
    if (value && *value >= 0 && *value <= most) return value;
    *this = before;
    return std::nullopt;
  }
  /// A decimal number without sign or exponent, at most 1e15.
  std::optional<double> decimal() {
    double value = 0;
    if (rest_.empty() || rest_.front() < '0' || rest_.front() > '9') return std::nullopt;
    const auto [end, error] =
        std::from_chars(rest_.data(), rest_.data() + rest_.size(), value, std::chars_format::fixed);
    if (error != std::errc() || value > 1e15) return std::nullopt;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }
  /// "8.243ms", "0.024s", "5028 ns", "12 us" as ns.
  std::optional<int64_t> duration() {
    const LineScanner before = *this;
    const auto value = decimal();
    if (value) {
      accept(" ");
      for (const auto& [unit, ns] :
           {std::pair{"ns", 1.0}, std::pair{"us", 1e3}, std::pair{"ms", 1e6}, std::pair{"s", 1e9}}) {
        if (accept(unit) && *value * ns <= kLongestDurationNs) return static_cast<int64_t>(*value * ns + 0.5);
      }
    }
    *this = before;
    return std::nullopt;
  }
  /// "6M", "17472K", "0B", "2G" (powers of 1024) as bytes.
  std::optional<int64_t> size() {
    const LineScanner before = *this;
    const auto value = integer();
    if (value && *value >= 0 && *value < (int64_t{1} << 40)) {
      for (const auto& [unit, factor] :
           {std::pair{"B", 0}, std::pair{"K", 10}, std::pair{"M", 20}, std::pair{"G", 30}}) {
        if (accept(unit))
          return factor == 30 && *value >= (int64_t{1} << 32) ? std::nullopt
                                                              : std::optional(*value << factor);
      }
    }
    *this = before;
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

}  // namespace keel
