// Result<T>: a value or one line that says what was wrong with an input (options, files, sizes).
//
// Only for input errors. Broken invariants use KEEL_CHECK; running out of memory throws (STYLE: three kinds
// of error, never mixed). The message starts in lower case, has no final period, and names value and allowed
// range.
#pragma once

#include <optional>
#include <string>
#include <utility>

namespace keel {

struct Error {
  std::string message;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}                // NOLINT(google-explicit-constructor)
  Result(Error error) : message_(std::move(error.message)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  /// Precondition: ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  /// Precondition: !ok().
  [[nodiscard]] const std::string& error() const { return message_; }

 private:
  std::optional<T> value_;
  std::string message_;
};

}  // namespace keel
