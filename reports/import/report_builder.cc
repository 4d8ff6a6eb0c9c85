// See report_builder.h.
#include "reports/import/report_builder.h"

#include <algorithm>
#include <memory>

#include "reports/analysis/utilization.h"
#include "reports/api/run_recorder.h"
#include "reports/document/pause_kinds.h"

namespace keel {
namespace {

using nlohmann::json;

constexpr uint64_t kMostUnread = 100;
constexpr size_t kMostText = 200;

}  // namespace

ReportBuilder::ReportBuilder(std::string name) : name_(std::move(name)) {}

void ReportBuilder::line_unread(std::string_view text) {
  ++lines_;
  ++unread_;
  if (unread_ > kMostUnread) return;
  // Whatever the bytes are, the report is UTF-8.
  std::string shown(text.substr(0, kMostText));
  for (char& c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) c = '?';
  }
  unread_lines_.push_back({{"line", lines_}, {"text", shown}});
}

json ReportBuilder::pause_json(const ImportedPause& p) const {
  json out{{"kind", p.kind}, {"begin_ns", p.begin_ns}, {"duration_ns", p.duration_ns}};
  if (p.time_to_stop_ns) out["time_to_stop_ns"] = *p.time_to_stop_ns;
  if (p.cycle) out["cycle"] = *p.cycle;
  if (p.thread) out["thread"] = *p.thread;
  if (!p.cause.empty()) out["cause"] = p.cause;
  return out;
}

json ReportBuilder::totals() const {
  std::map<std::pair<std::string, int64_t>, std::unique_ptr<LogHistogram>> histograms;
  for (const ImportedPause& p : pauses_) {
    auto& histogram = histograms[{p.kind, p.thread.value_or(0)}];
    if (!histogram) histogram = std::make_unique<LogHistogram>();
    histogram->record(p.duration_ns);
  }
  json out = json::array();
  for (const auto& [key, histogram] : histograms) {
    json total{{"kind", key.first},
               {"count", histogram->count()},
               {"total_ns", histogram->total()},
               {"max_ns", histogram->max()},
               {"histogram", histogram_json(*histogram)}};
    if (key.second != 0) total["thread"] = key.second;
    out.push_back(std::move(total));
  }
  return out;
}

json ReportBuilder::mmu() const {
  std::vector<Interruption> all;
  std::vector<Interruption> without_assists;
  const double share = 1 / static_cast<double>(std::max<uint64_t>(1, threads_));
  for (const ImportedPause& p : pauses_) {
    const Interruption i{p.begin_ns, p.begin_ns + p.duration_ns, stops_world(p.kind) ? 1 : share, 0};
    all.push_back(i);
    if (p.kind != "assist") without_assists.push_back(i);
  }
  return mmu_json(Utilization(std::move(all), 0, wall_ns_),
                  Utilization(std::move(without_assists), 0, wall_ns_));
}

// Whatever a damaged log says: pauses lie within bounds, and their sum is a number.
void ReportBuilder::drop_pauses_beyond_bounds() {
  int64_t sum = 0;
  const auto kept = std::remove_if(pauses_.begin(), pauses_.end(), [&](ImportedPause& p) {
    if (p.begin_ns < 0 || p.begin_ns > kLatestNs || p.duration_ns < 0 || p.duration_ns > kLatestNs - sum)
      return true;
    sum += p.duration_ns;
    if (p.time_to_stop_ns) p.time_to_stop_ns = std::clamp<int64_t>(*p.time_to_stop_ns, 0, p.duration_ns);
    return false;
  });
  dropped_ += static_cast<uint64_t>(pauses_.end() - kept);
  pauses_.erase(kept, pauses_.end());
}

json ReportBuilder::finish(const std::string& format, bool complete, bool clock) {
  drop_pauses_beyond_bounds();
  for (const ImportedPause& p : pauses_) alive(p.begin_ns + p.duration_ns);
  for (const json& c : cycles_) alive(c["end_ns"].get<int64_t>());
  std::stable_sort(pauses_.begin(), pauses_.end(),
                   [](const ImportedPause& a, const ImportedPause& b) { return a.begin_ns < b.begin_ns; });
  std::stable_sort(cycles_.begin(), cycles_.end(),
                   [](const json& a, const json& b) { return a["end_ns"] < b["end_ns"]; });
  std::stable_sort(samples_.begin(), samples_.end(),
                   [](const json& a, const json& b) { return a["at_ns"] < b["at_ns"]; });
  json out{{"schema", "keel.report"}, {"schema_version", 1}, {"complete", complete}};
  out["workload"] = {{"name", name_.empty() ? "unknown" : name_},
                     {"arguments", json::object()},
                     {"seed", 0},
                     {"threads", threads_}};
  if (workload.is_object()) out["workload"] = workload;
  out["collector"] = collector;
  out["environment"] = environment;
  out["run"] = run;
  out["run"]["wall_ns"] = std::max(wall_ns_, run.value("wall_ns", int64_t{0}));
  if (!memstats.empty()) out["memstats"] = memstats;
  out["cycles"] = cycles_;
  out["pauses"] = json::array();
  for (const ImportedPause& p : pauses_) out["pauses"].push_back(pause_json(p));
  out["pause_totals"] = totals();
  out["threads"] = json::array();
  out["samples"] = samples_;
  out["latency"] = json::object();
  if (clock && !pauses_.empty() && wall_ns_ > 0) out["mmu"] = mmu();
  out["events"] = {{"recorded", pauses_.size() + cycles_.size() + samples_.size()}, {"dropped", dropped_}};
  out["import"] = {{"format", format},    {"lines", lines_},   {"read", read_},
                   {"ignored", ignored_}, {"unread", unread_}, {"clock", clock}};
  if (unread_ != 0) out["import"]["unread_lines"] = unread_lines_;
  return out;
}

}  // namespace keel
