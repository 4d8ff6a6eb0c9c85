// gcreport: what a run, or many runs of many collectors, say. The command line; the work is in the files
// beside it and in reports/analysis, import and export.
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "reports/analysis/identities.h"
#include "reports/analysis/run_facts.h"
#include "reports/api/files.h"
#include "reports/document/input_file.h"
#include "reports/document/report_stream.h"
#include "reports/export/export.h"
#include "reports/import/import.h"
#include "reports/recorder/build_facts.h"
#include "reports/tool/compare.h"
#include "reports/tool/html_page.h"
#include "reports/tool/progress.h"
#include "reports/tool/summary.h"

namespace {

using namespace keel;
using nlohmann::json;

[[noreturn]] void bad_input(const std::string& message) {
  std::cerr << "gcreport: " << message << "\n";
  std::exit(2);
}

[[noreturn]] void not_written(const std::string& message) {
  std::cerr << "gcreport: " << message << "\n";
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

void check_not_input(const std::string& output, const std::vector<std::string>& inputs) {
  for (const std::string& input : inputs) {
    if (const Result<bool> other = check_output_is_not_input({"-o", output}, input); !other)
      bad_input(other.error());
  }
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

int import(const std::string& path, const std::string& format, const std::string& workload,
           const std::string& output) {
  if (const Result<bool> writable = check_output_path("-o", output); !writable) bad_input(writable.error());
  check_not_input(output, {path});
  const std::unique_ptr<InputFile> file = open_input(path);
  const Result<json> report = import_log(file->stream(), format, workload);
  check_read(*file);
  if (!report) bad_input("'" + path + "': " + report.error());
  const json& counts = report.value()["import"];
  if (const Result<bool> written = write_report(report.value(), output); !written)
    not_written(written.error());
  std::cerr << "gcreport: " << counts.value("lines", 0) << " lines of " << counts.value("format", "?") << ", "
            << counts.value("read", 0) << " read, " << counts.value("ignored", 0) << " known and ignored, "
            << counts.value("unread", 0) << " not understood\n";
  for (const json& line : counts.value("unread_lines", json::array())) {
    std::cerr << "  line " << line["line"] << ": " << line["text"].get<std::string>() << "\n";
  }
  return 0;
}

int export_to(const std::vector<std::string>& files, const std::string& format, const ExportOptions& options,
              const std::string& output) {
  if (const Result<bool> writable = check_output_path("-o", output); !writable) bad_input(writable.error());
  check_not_input(output, files);
  std::vector<json> reports;
  for (const std::string& file : files) reports.push_back(load(file));
  write_output(output, [&](std::ostream& out) { return export_reports(format, reports, options, out); });
  return 0;
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

}  // namespace

int main(int argc, char** argv) {
  guard_standard_streams("gcreport");
  CLI::App app("What runs say: summary, comparison with statistics, validation, other people's logs.",
               "gcreport");
  app.set_version_flag("--version", std::string("gcreport (keel ") + kVersion + ", commit " + kCommit + ")");
  app.require_subcommand(1);
  std::vector<std::string> files;
  std::vector<std::string> others;
  std::string by;
  std::string format = "auto";
  std::string workload;
  std::string output = "-";
  std::string log;
  bool markdown = false;
  bool as_json = false;
  bool as_html = false;
  bool anyway = false;
  CLI::App* summary_command = app.add_subcommand("summary", "one run on one screen; several side by side");
  summary_command->add_option("reports", files, "reports")->required();
  summary_command->add_flag("--markdown", markdown, "a Markdown table");
  CLI::App* compare_command = app.add_subcommand(
      "compare", "any number of runs a side, matched by workload and arguments, with statistics");
  compare_command->add_option("reports", files, "runs of side A (or of all sides with --by)")->required();
  compare_command->add_option("--vs", others, "runs of side B");
  compare_command->add_option(
      "--by", by,
      "group by label, collector, gogc, ballast, barrier, transitions, goal, threads, roots, workload "
      "or a JSON pointer; each against the first");
  compare_command->add_flag("--markdown", markdown, "a Markdown table");
  compare_command->add_flag("--json", as_json, "JSON");
  compare_command->add_flag("--html", as_html, "a self-contained page with interactive charts");
  compare_command->add_option("-o,--output", output, "a file; - is standard output [-]");
  compare_command->add_flag("--anyway", anyway, "even if the machines or the workloads differ");
  CLI::App* validate_command =
      app.add_subcommand("validate", "against the schema and the identities between fields");
  validate_command->add_option("reports", files, "reports; - is standard input")->required();
  CLI::App* import_command = app.add_subcommand("import", "another collector's log as a report");
  import_command->add_option("log", log, "a file, or - for standard input")->required();
  import_command->add_option("--format", format, "gctrace, jvm, boehm, events or auto [auto]")
      ->check(CLI::IsMember({"gctrace", "jvm", "boehm", "events", "auto"}));
  import_command->add_option("--workload", workload,
                             "what the report calls the program, to match it in compare");
  import_command->add_option("-o,--output", output, "the report; - is standard output [-]");
  ExportOptions export_options;
  CLI::App* export_command = app.add_subcommand("export", "a report in another tool's format");
  export_command->add_option("reports", files, "reports; only benchfmt takes more than one")->required();
  export_command->add_option("--format", format, "perfetto, csv, benchfmt, hgrm or openmetrics")
      ->required()
      ->check(CLI::IsMember(export_formats()));
  export_command->add_option("--table", export_options.table, "of csv: cycles, pauses or samples [cycles]");
  export_command->add_option("--histogram", export_options.histogram,
                             "of hgrm: requests, metered, hiccup or a kind of pause [the first there is]");
  export_command->add_option("-o,--output", output, "a file; - is standard output [-]");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::Error& e) {
    bad_input(e.what());
  }
  try {
    if (*summary_command) {
      std::vector<json> reports;
      for (const std::string& file : files) reports.push_back(load(file));
      write_output("-", [&](std::ostream& out) -> Result<bool> {
        print_summary(out, reports, markdown);
        return true;
      });
      return 0;
    }
    if (*validate_command) return validate(files);
    if (*export_command) return export_to(files, format, export_options, output);
    if (*import_command) return import(log, format, workload, output);
    if (const Result<bool> writable = check_output_path("-o", output); !writable) bad_input(writable.error());
    check_not_input(output, files);
    check_not_input(output, others);
    if (others.empty() == by.empty()) bad_input("compare needs either --vs or --by");
    const std::vector<Side> sides = by.empty() ? two_sides(files, others) : sides_by(files, by);
    const Result<ComparisonSet> set = compare_sides(sides, !by.empty(), anyway);
    if (!set) bad_input(set.error());
    if (static_cast<int>(as_json) + static_cast<int>(as_html) + static_cast<int>(markdown) > 1) {
      bad_input("--markdown, --json and --html: one of them");
    }
    write_output(output, [&](std::ostream& out) -> Result<bool> {
      if (as_html) return write_html_page(out, sides, set.value());
      if (as_json) {
        out << comparison_json(set.value()).dump(1) << "\n";
      } else {
        print_comparison(out, set.value(), markdown);
      }
      return true;
    });
  } catch (const json::exception& e) {
    bad_input(std::string("a report lacks what is needed: ") + e.what());
  }
  return 0;
}
