// Where in the program something was made: file and line of a call, taken by a default argument.
//
// As std::source_location, which clang 14 does not have with this standard library. Cost: two words and no
// code at run time beyond storing them.
#pragma once

namespace keel {

struct SourcePlace {
  const char* file = "";
  int line = 0;

  /// As a default argument: the place of the call that left it out.
  static constexpr SourcePlace here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace keel
