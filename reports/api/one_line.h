// one_line(): text of any origin as a piece of one line, for errors that repeat what a user typed.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

namespace keel {

/// Bytes at the front of `text` that end a line or command a terminal: a control character of ASCII or of
/// Latin-1 in UTF-8 (C2 80 to C2 9F), or U+2028 or U+2029; 0: it begins with none.
inline size_t control_length(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  if (at(0) < 0x20 || at(0) == 0x7f) return 1;
  if (at(0) == 0xc2 && at(1) >= 0x80 && at(1) < 0xa0) return 2;
  return at(0) == 0xe2 && at(1) == 0x80 && (at(2) == 0xa8 || at(2) == 0xa9) ? 3 : 0;
}

/// `text` with control characters written as in C: \n, \r, \t, \x1b.
inline std::string one_line(std::string_view text) {
  std::string line;
  for (size_t i = 0; i < text.size();) {
    const size_t length = control_length(text.substr(i));
    if (length == 0) line += text[i++];
    for (const size_t end = i + length; i < end && length != 0; ++i) {
      const char c = text[i];
      char code[8];
      std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      line += c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : code;
    }
  }
  return line;
}

}  // namespace keel
