// Makes a keel.report of what a foreign log tells: cycles and pauses in any order, then the document.
//
// Memory: what the report will hold. Lines are counted: read (something came of it), ignored (known, and of
// no use here), unread (not understood: the first hundred are kept with their numbers).
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "reports/api/log_histogram.h"

namespace keel {

struct ImportedPause {
  std::string kind;  // of document/pause_kinds.h
  int64_t begin_ns = 0;
  int64_t duration_ns = 0;
  std::optional<int64_t> time_to_stop_ns;
  std::optional<int64_t> cycle;
  std::optional<int64_t> thread;
  std::string cause;
};

class ReportBuilder {
 public:
  explicit ReportBuilder(std::string name);

  /// Counts one line, by what became of it.
  void line_read() { ++lines_, ++read_; }
  void line_ignored() { ++lines_, ++ignored_; }
  void line_unread(std::string_view text);

  void add_pause(ImportedPause pause) { pauses_.push_back(std::move(pause)); }
  [[nodiscard]] std::vector<ImportedPause>& pauses() { return pauses_; }
  /// A cycle object of the schema.
  void add_cycle(nlohmann::json cycle) { cycles_.push_back(std::move(cycle)); }
  void add_sample(nlohmann::json sample) { samples_.push_back(std::move(sample)); }
  void set_thread_count(uint64_t threads) { threads_ = threads; }
  /// No log goes on for longer, and no sum of its times is above: 73 years. What ends later is not taken.
  static constexpr int64_t kLatestNs = int64_t{1} << 61;
  /// The log has been alive at `at_ns`.
  void alive(int64_t at_ns) { wall_ns_ = std::max(wall_ns_, at_ns); }

  // Sections that the importer fills as it learns.
  nlohmann::json collector = {{"name", "unknown"}};
  nlohmann::json environment = nlohmann::json::object();
  nlohmann::json run = nlohmann::json::object();
  nlohmann::json memstats = nlohmann::json::object();
  nlohmann::json workload;  // in place of the name and nothing, where the log knows more

  /// The report. `clock`: false if the log has none, so that times count collections only.
  nlohmann::json finish(const std::string& format, bool complete, bool clock);

 private:
  void drop_pauses_beyond_bounds();
  [[nodiscard]] nlohmann::json pause_json(const ImportedPause& pause) const;
  [[nodiscard]] nlohmann::json totals() const;
  [[nodiscard]] nlohmann::json mmu() const;

  const std::string name_;
  uint64_t lines_ = 0;
  uint64_t read_ = 0;
  uint64_t ignored_ = 0;
  uint64_t unread_ = 0;
  uint64_t threads_ = 1;
  uint64_t dropped_ = 0;  // pauses that lie in no time a log can have
  int64_t wall_ns_ = 0;
  std::vector<ImportedPause> pauses_;
  std::vector<nlohmann::json> cycles_;
  std::vector<nlohmann::json> samples_;
  nlohmann::json unread_lines_ = nlohmann::json::array();
};

}  // namespace keel
