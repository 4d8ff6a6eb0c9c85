// Defects: faults of the real code that the test build can switch on, one at a time, to see that a check
// catches them (preset `explore`; docs/defects.md).
//
// A line `if (defect(Defect::kX)) ...` is a constant false in every other build, so that these compile to
// exactly what they would be without it. The list is defects.inc; the name on the command line follows from
// the enumerator: kSkipDeletionHalf is skip_deletion_half. Which one is on is read from KEEL_DEFECT before
// main() and does not change while a heap exists, so that any thread may ask without ordering.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "allocator/base/build.h"

namespace keel {

enum class Defect : uint16_t {
#define KEEL_DEFECT(enumerator, where, what) enumerator,
#include "allocator/base/defects.inc"
#undef KEEL_DEFECT
};

struct DefectFacts {
  Defect defect;
  const char* enumerator;
  const char* where;  // file or folder
  const char* what;   // goes wrong, in one line
};

namespace detail {
extern Defect g_defect;
}  // namespace detail

/// True if this defect is switched on. Threads: any. Cost: nothing, except in the test build.
inline bool defect(Defect which) { return kExploreBuild && detail::g_defect == which; }

/// The whole list, kNone first.
const DefectFacts* defect_list(size_t& count);
/// "skip_deletion_half" for Defect::kSkipDeletionHalf.
std::string to_string(Defect defect);
std::optional<Defect> find_defect(std::string_view name);
/// Switches one on, or all off (kNone). Threads: while no heap exists. No effect in other builds.
void set_defect_for_testing(Defect defect);

}  // namespace keel
