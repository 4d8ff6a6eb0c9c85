// See table.h.
#include "reports/tool/table.h"

#include <algorithm>

namespace keel {
namespace {

size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

void print_table(std::ostream& out, const std::vector<Row>& rows, bool markdown,
                 const std::vector<size_t>& left) {
  auto is_left = [&](size_t i) { return std::find(left.begin(), left.end(), i) != left.end(); };
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line = markdown ? "| " : "";
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const std::string pad(widths[i] - width_of(rows[r][i]), ' ');
      line += is_left(i) ? rows[r][i] + pad : pad + rows[r][i];
      if (i + 1 < rows[r].size()) line += markdown ? " | " : "  ";
    }
    while (!markdown && !line.empty() && line.back() == ' ') line.pop_back();
    out << line << (markdown ? " |" : "") << "\n";
    if (markdown && r == 0) {
      out << "|";
      for (size_t i = 0; i < widths.size(); ++i) out << (is_left(i) ? "---|" : "---:|");
      out << "\n";
    }
  }
}

}  // namespace keel
