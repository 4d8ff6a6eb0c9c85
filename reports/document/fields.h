// Reading single fields of a report: absent, or of another type, is absent.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

namespace keel {

/// The number at a JSON pointer.
inline std::optional<double> number_at(const nlohmann::json& document, const char* pointer) {
  const nlohmann::json::json_pointer p(pointer);
  if (!document.contains(p) || !document[p].is_number()) return std::nullopt;
  return document[p].get<double>();
}

}  // namespace keel
