// Formatting of gctrace lines; see gctrace.h.
#include "reports/output/gctrace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace keel {

// What dedicated and fractional workers take together (Go's gcBackgroundUtilization).
constexpr double kWorkerShare = 0.25;

std::string format_ns_as_ms(int64_t ns) {
  if (ns >= 10'000'000) return std::to_string(ns / 1'000'000);
  int64_t x = ns / 1000;
  if (x <= 0) return "0";
  int decimals = 3;
  while (x >= 100) {
    x /= 10;
    --decimals;
  }
  if (decimals == 0) return std::to_string(x);
  int64_t scale = 1;
  for (int i = 0; i < decimals; ++i) scale *= 10;
  return fmt::format("{}.{:0{}}", x / scale, x % scale, decimals);
}

std::string gctrace_line(const CycleRecord& c, int64_t run_start_ns) {
  const int64_t first = c.first_stop_ns;
  const int64_t mark = c.mark_termination_ns - c.mark_begin_ns;
  const int64_t last = c.last_stop_ns;
  const int64_t cores = std::max<int64_t>(1, c.usable_cores);
  const auto ms = format_ns_as_ms;
  return fmt::format(
      "gc {} @{:.3f}s {}%: {}+{}+{} ms clock, {}+{}/{}/{}+{} ms cpu, {}->{}->{} MB, {} MB goal, {} MB "
      "stacks, "
      "{} MB globals, {} P{}",
      c.number, static_cast<double>(c.begin_ns - run_start_ns) / 1e9,
      static_cast<int>(100 * c.gc_cpu_fraction), ms(first), ms(mark), ms(last), ms(first * cores),
      ms(c.assist_ns), ms(c.dedicated_cpu_ns + c.fractional_cpu_ns), ms(c.idle_cpu_ns), ms(last * cores),
      c.heap_begin_bytes >> 20, c.heap_mark_end_bytes >> 20, c.heap_live_bytes >> 20, c.heap_goal_bytes >> 20,
      c.scanned_stack_bytes >> 20, c.scanned_root_bytes >> 20, c.usable_cores,
      c.trigger == CycleTrigger::kForced ? " (forced)" : "");
}

namespace {
// Go's print of a float64: sign, one digit, six decimals, exponent of three digits.
std::string go_float(double value) {
  if (value == 0) return "+0.000000e+000";
  const int exponent = static_cast<int>(std::floor(std::log10(std::fabs(value))));
  double digits = std::fabs(value) / std::pow(10, exponent);
  int shown = exponent;
  if (digits >= 9.9999995) {
    digits /= 10;
    ++shown;
  }
  return fmt::format("{}{:.6f}e{}{:03}", value < 0 ? '-' : '+', digits, shown < 0 ? '-' : '+',
                     std::abs(shown));
}
}  // namespace

std::string pacertrace_lines(const CycleRecord& c) {
  const double fractional = c.fractional_workers != 0
                                ? kWorkerShare - static_cast<double>(c.dedicated_workers) / c.usable_cores
                                : 0;
  const auto goal_error =
      static_cast<int64_t>(c.heap_mark_end_bytes) - static_cast<int64_t>(c.heap_goal_bytes);
  return fmt::format(
      "pacer: assist ratio={} (scan {} MB in {}->{} MB) workers={}+{}\n"
      "pacer: {}% CPU ({} exp.) for {}+{}+{} B work ({} B exp.) in {} B -> {} B (∆goal {}, cons/mark {})",
      go_float(c.assist_ratio), c.expected_scan_bytes >> 20, c.heap_begin_bytes >> 20,
      c.heap_goal_bytes >> 20, c.dedicated_workers, go_float(fractional),
      static_cast<int64_t>(c.utilization * 100), static_cast<int64_t>(kWorkerShare * 100),
      c.scanned_heap_bytes, c.scanned_stack_bytes, c.scanned_root_bytes, c.expected_scan_bytes,
      c.heap_begin_bytes, c.heap_mark_end_bytes, goal_error, go_float(c.cons_mark));
}

std::string scavtrace_line(const CycleRecord& c) {
  const uint64_t retained = std::max<uint64_t>(1, c.heap_retained_bytes);
  return fmt::format("scav {} KiB work (bg), {} KiB work (eager), {} KiB now, {}% util",
                     c.background_released_bytes >> 10, c.eager_released_bytes >> 10,
                     c.heap_released_bytes >> 10, c.heap_in_use_bytes * 100 / retained);
}

}  // namespace keel
