// Formatting of gctrace lines; see gctrace.h.
#include "reports/output/gctrace.h"

#include <fmt/format.h>

#include <algorithm>

namespace keel {

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
  const int64_t first = c.mark_begin_ns - c.begin_ns;
  const int64_t mark = c.mark_termination_ns - c.mark_begin_ns;
  const int64_t last = c.end_ns - c.mark_termination_ns;
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

}  // namespace keel
