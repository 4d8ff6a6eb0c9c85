// See lower_bound.h.
#include "reports/analysis/lower_bound.h"

#include <algorithm>

#include "reports/analysis/statistics.h"
#include "reports/document/fields.h"
#include "reports/document/pause_kinds.h"

namespace keel {
namespace {

using nlohmann::json;

struct Span {
  double begin;
  double end;
  [[nodiscard]] bool holds(double t) const { return begin <= t && t <= end; }
};

double stops_in(const json& report, const Span& span) {
  double sum = 0;
  for (const json& p : report.value("pauses", json::array())) {
    const std::string kind = p.value("kind", "");
    if (kind != "other_stop" && stops_world(kind) && span.holds(p.value("begin_ns", -1.0))) {
      sum += p.value("duration_ns", 0.0);
    }
  }
  return sum;
}

std::optional<OperationCost> wall_cost(const json& report) {
  if (report["workload"].value("arguments", json::object()).contains("rate")) return std::nullopt;
  const auto begin = number_at(report, "/run/measured/begin_ns");
  const auto end = number_at(report, "/run/measured/end_ns");
  auto operations = number_at(report, "/latency/simple/count");
  if (!operations) operations = number_at(report, "/run/operations");
  if (!begin || !end || !operations || *operations <= 0) return std::nullopt;
  OperationCost cost;
  cost.total = (*end - *begin) / *operations;
  cost.world_stops = stops_in(report, {*begin, *end}) / *operations;
  // Mutators' own shares come as totals of the whole run: scaled to the measured part.
  const double threads = std::max(1.0, number_at(report, "/workload/threads").value_or(1));
  const double wall = number_at(report, "/run/wall_ns").value_or(*end - *begin);
  double own = 0;
  for (const json& total : report.value("pause_totals", json::array())) {
    if (!stops_world(total.value("kind", ""))) own += total.value("total_ns", 0.0);
  }
  cost.all = cost.world_stops + own / threads * ((*end - *begin) / std::max(wall, 1.0)) / *operations;
  return cost;
}

std::optional<OperationCost> cpu_cost(const json& report) {
  const auto user = number_at(report, "/run/user_cpu_ns");
  const auto system = number_at(report, "/run/system_cpu_ns");
  const auto operations = number_at(report, "/run/operations");
  if (!user || !system || !operations || *operations <= 0) return std::nullopt;
  OperationCost cost;
  cost.total = (*user + *system) / *operations;
  double all = 0;
  bool accounted = true;
  double stopped = 0;
  for (const json& c : report.value("cycles", json::array())) {
    if (!c.contains("cpu_ns")) {
      accounted = false;
      continue;
    }
    stopped += c["cpu_ns"].value("pause", 0.0);
    for (const char* part : {"dedicated", "fractional", "idle", "assist", "pause", "sweep", "scavenge"}) {
      all += c["cpu_ns"].value(part, 0.0);
    }
  }
  // A collector that marks in the stop on all its markers and tells no CPU time: the stop on every core.
  if (!accounted) stopped = stops_in(report, {0, 9e18}) * number_at(report, "/environment/cores").value_or(1);
  cost.world_stops = stopped / *operations;
  if (accounted) cost.all = all / *operations;
  return cost;
}

}  // namespace

std::optional<OperationCost> operation_cost(const json& report, CostMetric metric) {
  return metric == CostMetric::kWall ? wall_cost(report) : cpu_cost(report);
}

std::optional<std::vector<double>> lower_bound_overheads(const std::vector<std::vector<const json*>>& sides,
                                                         CostMetric metric, ExplicitWork work) {
  std::vector<double> totals;
  double base = 0;
  for (const auto& side : sides) {
    std::vector<double> total;
    std::vector<double> distilled;
    for (const json* report : side) {
      const auto cost = operation_cost(*report, metric);
      if (!cost) return std::nullopt;
      const double part =
          work == ExplicitWork::kAll ? cost->all.value_or(cost->world_stops) : cost->world_stops;
      total.push_back(cost->total);
      distilled.push_back(cost->total - part);
    }
    if (total.empty()) return std::nullopt;
    totals.push_back(median(total));
    const double least = median(distilled);
    if (least <= 0) return std::nullopt;  // explicit work beyond the total: clocks do not fit together
    base = base == 0 ? least : std::min(base, least);
  }
  for (double& t : totals) t /= base;
  return totals;
}

}  // namespace keel
