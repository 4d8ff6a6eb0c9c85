// gcreport summary: one run on one screen, several side by side.
#pragma once

#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

namespace keel {

/// "AMD EPYC, 2 cores, Linux 6.1": what must agree for runs to be compared.
std::string machine_of(const nlohmann::json& report);

/// The facts of every run; for a single run also its pauses by kind and by cause, its worst windows with
/// their causes, its latencies by smoothing window, and who kept its stops waiting. Precondition: not empty.
void print_summary(std::ostream& out, const std::vector<nlohmann::json>& reports, bool markdown);

}  // namespace keel
