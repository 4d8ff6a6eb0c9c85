// SchemaCheck: whether a JSON value follows a JSON schema (draft 7, as valijson reads it).
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace keel {

/// One compiled schema. Not for several threads at once. Cost of a check: the nodes of the value times the
/// rules that apply to each.
class SchemaCheck {
 public:
  /// Throws std::runtime_error if `schema` is not one.
  explicit SchemaCheck(const nlohmann::json& schema);
  ~SchemaCheck();
  SchemaCheck(const SchemaCheck&) = delete;
  SchemaCheck& operator=(const SchemaCheck&) = delete;

  /// Empty if the value follows the schema; otherwise "<JSON pointer>: <what>", for the innermost fault.
  /// `place` is the pointer of the value itself.
  [[nodiscard]] std::string fault(const nlohmann::json& value, const std::string& place) const;

 private:
  struct Compiled;
  const std::unique_ptr<Compiled> compiled_;
};

}  // namespace keel
