// Definitions of gcreport's subcommands; see command_line.h.
#include "reports/tool/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "reports/api/files.h"
#include "reports/import/import.h"
#include "reports/recorder/build_facts.h"

namespace keel {
namespace {

using Kind = GcreportCommand::Kind;
using Form = GcreportCommand::Form;

struct Forms {
  bool markdown = false;
  bool json = false;
  bool html = false;
};

void add_output(CLI::App* command, GcreportCommand& c) {
  command->add_option("-o,--output", c.output, "a file; - is standard output [-]");
}

void add_summary(CLI::App& app, GcreportCommand& c, Forms& forms) {
  CLI::App* command = app.add_subcommand("summary", "one run on one screen; several side by side");
  command->add_option("reports", c.files, "reports")->required();
  command->add_flag("--markdown", forms.markdown, "a Markdown table");
  command->callback([&c] { c.kind = Kind::kSummary; });
}

void add_compare(CLI::App& app, GcreportCommand& c, Forms& forms) {
  CLI::App* command = app.add_subcommand(
      "compare", "any number of runs a side, matched by workload and arguments, with statistics");
  command->add_option("reports", c.files, "runs of side A (or of all sides with --by)")->required();
  command->add_option("--vs", c.others, "runs of side B");
  command->add_option("--by", c.by,
                      "group by label, collector, gogc, ballast, barrier, transitions, goal, threads, roots, "
                      "workload or a JSON pointer; each against the first");
  command->add_flag("--markdown", forms.markdown, "a Markdown table");
  command->add_flag("--json", forms.json, "JSON");
  command->add_flag("--html", forms.html, "a self-contained page with interactive charts");
  add_output(command, c);
  command->add_flag("--anyway", c.anyway, "even if the machines or the workloads differ");
  command->callback([&c] { c.kind = Kind::kCompare; });
}

void add_validate(CLI::App& app, GcreportCommand& c) {
  CLI::App* command = app.add_subcommand("validate", "against the schema and the identities between fields");
  command->add_option("reports", c.files, "reports; - is standard input")->required();
  command->callback([&c] { c.kind = Kind::kValidate; });
}

void add_import(CLI::App& app, GcreportCommand& c) {
  CLI::App* command = app.add_subcommand("import", "another collector's log as a report");
  command->add_option("log", c.files, "a file, or - for standard input")->required()->expected(1);
  std::vector<std::string> formats = import_formats();
  formats.emplace_back("auto");
  command->add_option("--format", c.format, "gctrace, jvm, boehm, events or auto [auto]")
      ->check(CLI::IsMember(formats));
  command->add_option("--workload", c.workload, "what the report calls the program, to match it in compare");
  command->add_option("-o,--output", c.output, "the report; - is standard output [-]");
  command->callback([&c] { c.kind = Kind::kImport; });
}

void add_export(CLI::App& app, GcreportCommand& c) {
  CLI::App* command = app.add_subcommand("export", "a report in another tool's format");
  command->add_option("reports", c.files, "reports; only benchfmt takes more than one")->required();
  command->add_option("--format", c.format, "perfetto, csv, benchfmt, hgrm or openmetrics")
      ->required()
      ->check(CLI::IsMember(export_formats()));
  command->add_option("--table", c.exporting.table, "of csv: cycles, pauses or samples [cycles]");
  command->add_option("--histogram", c.exporting.histogram,
                      "of hgrm: requests, metered, hiccup or a kind of pause [the first there is]");
  add_output(command, c);
  command->callback([&c] { c.kind = Kind::kExport; });
}

Result<bool> check(GcreportCommand& c, const Forms& forms) {
  if (static_cast<int>(forms.json) + static_cast<int>(forms.html) + static_cast<int>(forms.markdown) > 1)
    return Error{"--markdown, --json and --html: one of them"};
  c.form = forms.json       ? Form::kJson
           : forms.html     ? Form::kHtml
           : forms.markdown ? Form::kMarkdown
                            : Form::kText;
  if (c.kind == Kind::kCompare && c.others.empty() == c.by.empty())
    return Error{"compare needs either --vs or --by"};
  if (c.kind == Kind::kSummary || c.kind == Kind::kValidate) return true;
  if (const Result<bool> writable = check_output_path("-o", c.output); !writable) return writable;
  for (const auto* inputs : {&c.files, &c.others}) {
    for (const std::string& input : *inputs) {
      if (const Result<bool> other = check_output_is_not_input({"-o", c.output}, input); !other) return other;
    }
  }
  return true;
}

}  // namespace

Result<GcreportCommand> read_command_line(std::vector<std::string> arguments) {
  GcreportCommand c;
  Forms forms;
  CLI::App app("What runs say: summary, comparison with statistics, validation, other people's logs.",
               "gcreport");
  app.set_version_flag("--version", std::string("gcreport (keel ") + kVersion + ", commit " + kCommit + ")");
  app.require_subcommand(1);
  add_summary(app, c, forms);
  add_compare(app, c, forms);
  add_validate(app, c);
  add_import(app, c);
  add_export(app, c);
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::Success& e) {
    std::ostringstream text;
    app.exit(e, text, text);
    c.kind = Kind::kText;
    c.text = text.str();
    return c;
  } catch (const CLI::Error& e) {
    return Error{e.what()};
  }
  if (const Result<bool> usable = check(c, forms); !usable) return Error{usable.error()};
  return c;
}

}  // namespace keel
