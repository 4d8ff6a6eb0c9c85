// gcreport compare --html: one self-contained page with the comparison's tables and interactive charts.
#pragma once

#include <ostream>
#include <vector>

#include "allocator/base/result.h"
#include "reports/tool/compare.h"

namespace keel {

/// The page. Opens offline; its charts are Debian's dygraphs, embedded when this was built. Error: it was
/// built without. Cost: the pauses, samples and cycles of every run stand in the page.
Result<bool> write_html_page(std::ostream& out, const std::vector<Side>& sides, const ComparisonSet& set);

}  // namespace keel
