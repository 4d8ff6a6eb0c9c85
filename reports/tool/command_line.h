// gcreport's command line, read and checked, before anything is done.
#pragma once

#include <string>
#include <vector>

#include "allocator/base/result.h"
#include "reports/export/export.h"

namespace keel {

struct GcreportCommand {
  enum class Kind { kSummary, kCompare, kValidate, kImport, kExport, kText };
  enum class Form { kText, kMarkdown, kJson, kHtml };
  Kind kind = Kind::kText;
  std::vector<std::string> files;   // to read: of side A for compare, the log for import
  std::vector<std::string> others;  // of side B
  std::string by;
  Form form = Form::kText;
  bool anyway = false;
  std::string format = "auto";
  std::string workload;
  std::string output = "-";
  ExportOptions exporting;
  std::string text;  // of kText: help or version, to be printed
};

/// `arguments` without the program's name. Error: one line. Opens nothing; outputs are looked at with
/// check_output_path().
Result<GcreportCommand> read_command_line(std::vector<std::string> arguments);

}  // namespace keel
