// Lower-bound overhead of a collector: what it costs at least, over a set of collectors on one workload.
//
// Cai, Blackburn, Bond, Maas, "Distilling the Real Cost of Production Garbage Collectors", ISPASS 2022:
//   distilled(g) = total(g) - explicit(g),  base = min over g of distilled(g),  overhead(g) = total(g) /
//   base.
// What stays in "distilled" (barriers, allocation, cache effects) makes the base too high and the overhead a
// lower bound. Explicit is taken both ways: world stops only, comparable with the paper's figures, and all
// work that the collector accounts for.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace keel {

enum class CostMetric { kWall, kCpu };
enum class ExplicitWork { kWorldStops, kAll };

/// What one operation of a run cost, ns: everything, and the two explicit parts.
///
/// Wall: the measured part by its operations; explicit are world stops, and with kAll the time mutators
/// themselves spend on assists, sweeping, handshakes and stalls, divided by their number (work of other
/// threads takes no wall time that could be told apart). CPU: the whole process by all operations; explicit
/// are the cores idle in stops, and with kAll workers, assists, sweeping and scavenging too.
struct OperationCost {
  double total = 0;
  double world_stops = 0;
  std::optional<double> all;  // absent where the collector does not account for it
};

/// Absent without operations, without that clock, or for wall time in an open loop, where the rate sets it.
std::optional<OperationCost> operation_cost(const nlohmann::json& report, CostMetric metric);

/// overhead(g) for each side, from the medians of its runs; absent for all if any lacks the metric. A side
/// without collections (malloc) has no explicit part.
std::optional<std::vector<double>> lower_bound_overheads(
    const std::vector<std::vector<const nlohmann::json*>>& sides, CostMetric metric, ExplicitWork work);

}  // namespace keel
