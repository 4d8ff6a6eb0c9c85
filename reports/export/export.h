// Reports in the formats of other tools.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "allocator/base/result.h"

namespace keel {

struct ExportOptions {
  std::string table = "cycles";  // csv: cycles, pauses or samples
  std::string histogram;  // hgrm: requests, metered, hiccup or a kind of pause; empty: the first there is
};

/// perfetto, csv, benchfmt, hgrm, openmetrics.
const std::vector<std::string>& export_formats();

/// Writes `reports` (valid ones) to `out`. Only benchfmt takes more than one. Error: the report has not what
/// the format is about, or an option names nothing.
Result<bool> export_reports(const std::string& format, const std::vector<nlohmann::json>& reports,
                            const ExportOptions& options, std::ostream& out);

// The writers; export_reports() knows them by name.
Result<bool> export_perfetto(const nlohmann::json& report, std::ostream& out);
Result<bool> export_csv(const nlohmann::json& report, const std::string& table, std::ostream& out);
Result<bool> export_benchfmt(const std::vector<nlohmann::json>& reports, std::ostream& out);
Result<bool> export_hgrm(const nlohmann::json& report, const std::string& histogram, std::ostream& out);
Result<bool> export_openmetrics(const nlohmann::json& report, std::ostream& out);

}  // namespace keel
