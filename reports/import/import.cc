// Which reader gets the lines; see import.h.
#include "reports/import/import.h"

#include "reports/import/line_scanner.h"

namespace keel {
namespace {

constexpr size_t kMostUndecided = 10'000;
constexpr size_t kLongestLine = size_t{1} << 20;

// A line without its end ("\n" or "\r\n"); what is longer than a mebibyte is cut there, the rest dropped.
bool next_line(std::istream& in, std::string& line) {
  line.clear();
  std::streambuf* buffer = in.rdbuf();
  bool any = false;
  for (;;) {
    const int c = buffer->sbumpc();
    if (c == std::char_traits<char>::eof()) break;
    any = true;
    if (c == '\n') break;
    if (line.size() < kLongestLine) line += static_cast<char>(c);
  }
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return any;
}

}  // namespace

const std::vector<std::string>& import_formats() {
  static const std::vector<std::string> formats = {"gctrace", "jvm", "boehm", "events"};
  return formats;
}

std::unique_ptr<LogReader> make_log_reader(const std::string& format, const std::string& workload) {
  if (format == "gctrace") return make_gctrace_reader(workload);
  if (format == "jvm") return make_jvm_reader(workload);
  if (format == "boehm") return make_boehm_reader(workload);
  if (format == "events") return make_events_reader(workload);
  return nullptr;
}

std::string format_of_line(std::string_view text) {
  if (text.find("\"keel.events\"") != std::string_view::npos) return "events";
  LineScanner go(text);
  if (go.until("gc ") && go.integer() && go.accept(" @") && go.decimal() && go.accept("s ")) return "gctrace";
  for (const char* typical :
       {"World-stopped marking took", "--> Marking for collection", "Grow heap to ",
        "Initiating full world-stop collection", " us PRE_STOP_WORLD", "Number of processors: "}) {
    if (text.find(typical) != std::string_view::npos) return "boehm";
  }
  // A decoration and a word of the JVM's collectors.
  if (!text.empty() && text.front() == '[' && text.find("] ") != std::string_view::npos) {
    for (const char* typical : {"Using Serial", "Using Parallel", "Using G1", "Using Shenandoah",
                                "Z Garbage Collector", "GC(", "Safepoint \"", "[gc", "[safepoint"}) {
      if (text.find(typical) != std::string_view::npos) return "jvm";
    }
  }
  return {};
}

Result<nlohmann::json> import_log(std::istream& in, const std::string& format, const std::string& workload) {
  std::unique_ptr<LogReader> reader = make_log_reader(format, workload);
  if (reader == nullptr && format != "auto") return Error{"no such format: '" + format + "'"};
  std::vector<std::string> undecided;
  std::string line;
  while (next_line(in, line)) {
    if (reader == nullptr) {
      const std::string found = format_of_line(line);
      if (found.empty()) {
        undecided.push_back(line);
        if (undecided.size() == kMostUndecided) break;
        continue;
      }
      reader = make_log_reader(found, workload);
      for (const std::string& before : undecided) reader->line(before);
      undecided.clear();
    }
    reader->line(line);
  }
  if (reader == nullptr) {
    return Error{"no line of " + std::to_string(undecided.size()) +
                 " is typical of gctrace, a JVM's log, Boehm's log or keel events"};
  }
  return reader->finish();
}

}  // namespace keel
