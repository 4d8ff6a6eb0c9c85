// What the run ran on: the report's `environment`.
#pragma once

#include <nlohmann/json.hpp>

namespace keel {

/// Host, kernel, processor, memory, limits, compiler, commit. `anonymous` leaves the host name out.
nlohmann::json environment_json(bool anonymous);

}  // namespace keel
