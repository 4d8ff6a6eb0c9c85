// gcreport: what a run, or many runs of many collectors, say. Reads what the command line (command_line.h)
// names and hands it to the files beside it and to reports/analysis, import and export.
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "reports/analysis/identities.h"
#include "reports/analysis/run_facts.h"
#include "reports/api/files.h"
#include "reports/api/one_line.h"
#include "reports/document/input_file.h"
#include "reports/document/report_stream.h"
#include "reports/export/export.h"
#include "reports/import/import.h"
#include "reports/tool/command_line.h"
#include "reports/tool/compare.h"
#include "reports/tool/html_page.h"
#include "reports/tool/progress.h"
#include "reports/tool/summary.h"

namespace {

using namespace keel;
using nlohmann::json;

[[noreturn]] void bad_input(const std::string& message) {
  std::cerr << "gcreport: " << one_line(message) << "\n";
  std::exit(2);
}

[[noreturn]] void not_written(const std::string& message) {
  std::cerr << "gcreport: " << one_line(message) << "\n";
  std::exit(1);
}

// Fills `output`; ends the program with status 2 for what `write` found wrong with the input, 1 for a write
// that failed.
void write_output(const std::string& output, const std::function<Result<bool>(std::ostream&)>& write) {
  Result<bool> usable = true;
  const Result<bool> written = write_file(output, [&](std::ostream& out) {
    usable = write(out);
    return usable;
  });
  if (!usable) bad_input(usable.error());
  if (!written) not_written(written.error());
}

std::unique_ptr<InputFile> open_input(const std::string& path) {
  Result<std::unique_ptr<InputFile>> file = InputFile::open(path);
  if (!file) bad_input(file.error());
  return std::move(file).value();
}

void check_read(const InputFile& file) {
  if (const Result<bool> read = file.check(); !read) bad_input(read.error());
}

// A report this tool may read figures from: right schema, right version, valid.
json load(const std::string& path) {
  Result<json> report = read_report_file(path);
  if (!report) bad_input(report.error());
  if (const std::string fault = first_fault(report.value()); !fault.empty())
    bad_input("'" + path + "' is not valid: " + fault);
  return std::move(report).value();
}

int validate(const std::vector<std::string>& files) {
  int status = 0;
  for (const std::string& path : files) {
    const std::unique_ptr<InputFile> file = open_input(path);
    std::string fault;
    {
      ReadProgress progress(file->stream(), path, file->bytes());
      std::istream in(&progress);
      fault = first_fault(in);
    }
    check_read(*file);
    std::cout << path << ": " << (fault.empty() ? "valid" : fault) << "\n";
    if (!fault.empty()) status = 1;
  }
  return status;
}

int import(const GcreportCommand& c) {
  const std::string& path = c.files[0];
  const std::unique_ptr<InputFile> file = open_input(path);
  const Result<json> report = import_log(file->stream(), c.format, c.workload);
  check_read(*file);
  if (!report) bad_input("'" + path + "': " + report.error());
  const json& counts = report.value()["import"];
  if (const Result<bool> written = write_report(report.value(), c.output); !written)
    not_written(written.error());
  std::cerr << "gcreport: " << counts.value("lines", 0) << " lines of " << counts.value("format", "?") << ", "
            << counts.value("read", 0) << " read, " << counts.value("ignored", 0) << " known and ignored, "
            << counts.value("unread", 0) << " not understood\n";
  for (const json& line : counts.value("unread_lines", json::array())) {
    std::cerr << "  line " << line["line"] << ": " << line["text"].get<std::string>() << "\n";
  }
  return 0;
}

void export_to(const GcreportCommand& c) {
  std::vector<json> reports;
  for (const std::string& file : c.files) reports.push_back(load(file));
  write_output(c.output,
               [&](std::ostream& out) { return export_reports(c.format, reports, c.exporting, out); });
}

// The group of a report under --by: what tables call it, a few short names, or a JSON pointer.
std::string key_of(const json& report, const std::string& by) {
  if (by == "label") return run_label(report);
  static const std::map<std::string, std::string> kShort{{"collector", "/collector/name"},
                                                         {"gogc", "/collector/gogc_percent"},
                                                         {"ballast", "/collector/ballast_bytes"},
                                                         {"barrier", "/collector/barrier"},
                                                         {"transitions", "/collector/transitions"},
                                                         {"goal", "/collector/goal"},
                                                         {"threads", "/workload/threads"},
                                                         {"roots", "/collector/roots"},
                                                         {"workload", "/workload/name"}};
  const auto found = kShort.find(by);
  const std::string path = found != kShort.end() ? found->second : by;
  if (path.empty() || path[0] != '/') {
    std::string names = "label, ";
    for (const auto& [name, pointer] : kShort) names += name + ", ";
    bad_input("option --by: '" + by + "' is not one of " + names + "or a JSON pointer");
  }
  try {
    const json::json_pointer pointer(path);
    if (!report.contains(pointer)) return "absent";
    const json& value = report[pointer];
    return value.is_string() ? value.get<std::string>() : value.dump();
  } catch (const json::exception&) {
    bad_input("option --by: '" + by + "' is no JSON pointer");
  }
}

std::vector<Side> sides_by(const std::vector<std::string>& files, const std::string& by) {
  std::vector<Side> sides;
  for (const std::string& file : files) {
    json report = load(file);
    const std::string key = (by == "label" ? "" : by + " ") + key_of(report, by);
    auto at = std::find_if(sides.begin(), sides.end(), [&](const Side& s) { return s.label == key; });
    if (at == sides.end()) at = sides.insert(sides.end(), Side{key, {}});
    at->reports.push_back(std::move(report));
  }
  if (sides.size() < 2) bad_input("option --by: all runs have '" + sides[0].label + "'");
  return sides;
}

std::vector<Side> two_sides(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<Side> sides(2);
  for (const std::string& file : a) sides[0].reports.push_back(load(file));
  for (const std::string& file : b) sides[1].reports.push_back(load(file));
  for (Side& side : sides) side.label = run_label(side.reports[0]);
  if (sides[0].label == sides[1].label) {
    sides[0].label += " (A)";
    sides[1].label += " (B)";
  }
  return sides;
}

void compare(const GcreportCommand& c) {
  const std::vector<Side> sides = c.by.empty() ? two_sides(c.files, c.others) : sides_by(c.files, c.by);
  const Result<ComparisonSet> set = compare_sides(sides, !c.by.empty(), c.anyway);
  if (!set) bad_input(set.error());
  write_output(c.output, [&](std::ostream& out) -> Result<bool> {
    if (c.form == GcreportCommand::Form::kHtml) return write_html_page(out, sides, set.value());
    if (c.form == GcreportCommand::Form::kJson) {
      out << comparison_json(set.value()).dump(1) << "\n";
    } else {
      print_comparison(out, set.value(), c.form == GcreportCommand::Form::kMarkdown);
    }
    return true;
  });
}

void summary(const GcreportCommand& c) {
  std::vector<json> reports;
  for (const std::string& file : c.files) reports.push_back(load(file));
  write_output("-", [&](std::ostream& out) -> Result<bool> {
    print_summary(out, reports, c.form == GcreportCommand::Form::kMarkdown);
    return true;
  });
}

int run(const GcreportCommand& c) {
  switch (c.kind) {
    case GcreportCommand::Kind::kText:
      std::cout << c.text;
      return 0;
    case GcreportCommand::Kind::kSummary:
      summary(c);
      return 0;
    case GcreportCommand::Kind::kValidate:
      return validate(c.files);
    case GcreportCommand::Kind::kImport:
      return import(c);
    case GcreportCommand::Kind::kExport:
      export_to(c);
      return 0;
    case GcreportCommand::Kind::kCompare:
      compare(c);
      return 0;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  guard_standard_streams("gcreport");
  const Result<GcreportCommand> command = read_command_line({argv + 1, argv + argc});
  if (!command) bad_input(command.error());
  try {
    return run(command.value());
  } catch (const json::exception& e) {
    bad_input(std::string("a report lacks what is needed: ") + e.what());
  } catch (const std::bad_alloc&) {
    std::cerr << "gcreport: out of memory\n";
    return 3;
  }
}
