// See reports/api/fuzz_targets.h.
#include "reports/api/fuzz_targets.h"

#include <functional>
#include <istream>
#include <sstream>
#include <streambuf>

#include "allocator/base/check.h"
#include "reports/analysis/identities.h"
#include "reports/analysis/run_facts.h"
#include "reports/document/report_stream.h"
#include "reports/export/export.h"
#include "reports/import/import.h"
#include "reports/tool/command_line.h"
#include "reports/tool/compare.h"
#include "reports/tool/html_page.h"
#include "reports/tool/summary.h"

namespace keel {
namespace {

using nlohmann::json;

// The bytes where they are.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* const begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

// Counts what is written and keeps none of it.
class NoBuffer : public std::streambuf {
 protected:
  int_type overflow(int_type c) override { return traits_type::not_eof(c); }
  std::streamsize xsputn(const char*, std::streamsize count) override { return count; }
};

// What an importer makes of any log is a report, and a valid one.
void import_as(std::string_view input, const char* format) {
  ViewBuffer buffer(input);
  std::istream in(&buffer);
  const Result<json> report = import_log(in, format, "fuzzed");
  if (!report) return;
  // Writing it and reading it again takes as long as all the rest, and is nlohmann's work: for one input in
  // eight.
  if (std::hash<std::string_view>()(input) % 8 != 0) {
    const std::string fault = first_fault(report.value());
    KEEL_CHECK(fault.empty(), "an imported log makes an invalid report: %s", fault.c_str());
    return;
  }
  // As write_report() writes it.
  const std::string text = report.value().dump(1, ' ', false, json::error_handler_t::replace);
  const std::string fault = first_fault_in_text(text);
  KEEL_CHECK(fault.empty(), "an imported log makes an invalid report: %s", fault.c_str());
}

void gctrace(std::string_view input) { import_as(input, "gctrace"); }
void jvm(std::string_view input) { import_as(input, "jvm"); }
void boehm(std::string_view input) { import_as(input, "boehm"); }
void events(std::string_view input) { import_as(input, "events"); }
void any_format(std::string_view input) { import_as(input, "auto"); }

void export_all(const json& report, std::ostream& out) {
  for (const std::string& format : export_formats()) {
    for (const char* table : {"cycles", "pauses", "samples"}) {
      ExportOptions options;
      options.table = table;
      static_cast<void>(export_reports(format, {report}, options, out));
      if (format != "csv") break;
    }
  }
}

void report(std::string_view input) {
  ViewBuffer buffer(input);
  std::istream in(&buffer);
  const std::string streamed = first_fault(in);
  const Result<json> whole = read_json_text(input);
  // gcreport reads figures from valid reports alone; whoever reads them one way or the other agrees on which
  // are.
  const std::string fault = whole ? first_fault(whole.value()) : whole.error();
  KEEL_CHECK(streamed.empty() == fault.empty(), "one reader says '%s', the other '%s'", streamed.c_str(),
             fault.c_str());
  if (!fault.empty()) return;
  NoBuffer nowhere;
  std::ostream out(&nowhere);
  for (const bool markdown : {false, true}) print_summary(out, {whole.value()}, markdown);
  export_all(whole.value(), out);
  const std::vector<Side> sides{{"a", {whole.value()}}, {"b", {whole.value()}}};
  const Result<ComparisonSet> set = compare_sides(sides, false, true);
  if (!set) return;
  print_comparison(out, set.value(), false);
  out << comparison_json(set.value()).dump(1);
  static_cast<void>(write_html_page(out, sides, set.value()));
}

// One argument a line.
void gcreport_options(std::string_view input) {
  std::vector<std::string> arguments;
  std::istringstream lines{std::string(input)};
  for (std::string line; std::getline(lines, line);) arguments.push_back(line);
  const Result<GcreportCommand> command = read_command_line(arguments);
  if (!command) KEEL_CHECK(!command.error().empty(), "a command line is refused without a word");
}

}  // namespace

const std::vector<FuzzTarget>& report_fuzz_targets() {
  // Bounds: a log of "gc 1 @0s ..." lines of 90 bytes makes a cycle, two pauses and a histogram; see
  // docs/fuzzing.md.
  constexpr size_t kMiB = size_t{1} << 20;
  static const std::vector<FuzzTarget> targets{{"gctrace", gctrace, 4 * kMiB, 400},
                                               {"jvm", jvm, 4 * kMiB, 400},
                                               {"boehm", boehm, 4 * kMiB, 400},
                                               {"events", events, 4 * kMiB, 400},
                                               {"auto", any_format, 4 * kMiB, 400},
                                               {"report", report, 8 * kMiB, 400},
                                               {"gcreport-options", gcreport_options, 4 * kMiB, 400}};
  return targets;
}

}  // namespace keel
