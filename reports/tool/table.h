// Tables of text: aligned for a terminal, or Markdown.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace keel {

using Row = std::vector<std::string>;

/// rows[0] is the head; columns are aligned as `left` says, by default the first left and the others right.
/// UTF-8 is counted by character. A row of empty strings is a blank line. Precondition: rows of equal length.
void print_table(std::ostream& out, const std::vector<Row>& rows, bool markdown,
                 const std::vector<size_t>& left = {0});

}  // namespace keel
