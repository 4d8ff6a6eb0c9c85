// A run's trace as a file; see reports/api/files.h.
#include "reports/api/files.h"
#include "reports/export/export.h"

namespace keel {

Result<bool> write_trace(const nlohmann::json& report, const std::string& path) {
  return write_file(path, [&](std::ostream& out) { return export_perfetto(report, out); });
}

}  // namespace keel
