// gcreport compare: sides of any number of runs, matched by workload and arguments, with statistics.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "allocator/base/result.h"
#include "reports/analysis/run_facts.h"
#include "reports/analysis/statistics.h"

namespace keel {

struct Side {
  std::string label;
  std::vector<nlohmann::json> reports;
};

struct ComparedFact {
  const Fact* fact = nullptr;
  std::vector<double> a;
  std::vector<double> b;
  std::optional<double> ratio;  // of medians, a to b
  std::optional<Interval> interval;
  std::optional<double> p;  // Mann-Whitney
  [[nodiscard]] bool significant() const { return p && *p < 0.05; }
};

/// Side `a` against side `b` on one workload.
struct Comparison {
  std::string workload;  // name and the arguments that make it the same
  std::string a;
  std::string b;
  size_t runs_a = 0;
  size_t runs_b = 0;
  std::vector<ComparedFact> facts;
  std::vector<std::string> notes;  // what was refused, and why
};

struct Overhead {
  std::string workload;
  std::vector<std::string> sides;
  // Rows: metric and kind of explicit work; one value a side.
  std::vector<std::pair<std::string, std::vector<double>>> rows;
};

struct ComparisonSet {
  std::vector<Comparison> comparisons;
  std::vector<Overhead> overheads;
  std::vector<std::string> notes;
  /// By side pair ("keel" against "boehm"): geometric mean over workloads and facts, below 1: a is better.
  std::vector<std::pair<std::string, double>> geometric_means;
};

/// Compares every side with the first (`against_first`) or the first with the second. Refuses runs of
/// different machines, and sides without a workload in common, unless `anyway`.
Result<ComparisonSet> compare_sides(const std::vector<Side>& sides, bool against_first, bool anyway);

void print_comparison(std::ostream& out, const ComparisonSet& set, bool markdown);
nlohmann::json comparison_json(const ComparisonSet& set);

/// The workload of a run with those arguments that change what it does: not the collector's, not where
/// output goes, not the seed. An imported log has only a name, if that.
std::string workload_key(const nlohmann::json& report);

}  // namespace keel
