// valijson is a template library: this is its one place.
#include "reports/analysis/schema_check.h"

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

namespace keel {

struct SchemaCheck::Compiled {
  valijson::Schema schema;
};

SchemaCheck::SchemaCheck(const nlohmann::json& schema) : compiled_(std::make_unique<Compiled>()) {
  valijson::SchemaParser parser;
  const valijson::adapters::NlohmannJsonAdapter adapter(schema);
  parser.populateSchema(adapter, compiled_->schema);
}

SchemaCheck::~SchemaCheck() = default;

std::string SchemaCheck::fault(const nlohmann::json& value, const std::string& place) const {
  valijson::Validator validator;
  const valijson::adapters::NlohmannJsonAdapter target(value);
  if (validator.validate(compiled_->schema, target, nullptr)) return {};
  valijson::ValidationResults results;
  validator.validate(compiled_->schema, target, &results);
  // The last error pushed first names the innermost place.
  valijson::ValidationResults::Error error;
  std::string path;
  std::string what;
  while (results.popError(error)) {
    std::string at;
    for (const std::string& piece : error.context) {
      std::string key = piece;
      if (key == "<root>") continue;
      if (key.size() > 2 && key.front() == '[') key = key.substr(1, key.size() - 2);
      if (key.size() > 2 && key.front() == '"') key = key.substr(1, key.size() - 2);
      at += "/" + key;
    }
    if (at.size() >= path.size()) {
      path = at;
      what = error.description;
    }
  }
  path = place + path;
  return (path.empty() ? std::string("/") : path) + ": " + what;
}

}  // namespace keel
