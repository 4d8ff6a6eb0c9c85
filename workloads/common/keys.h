// Real strings as keys: one a line from a file, by default the paths in the machine's Debian package lists.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "allocator/base/result.h"

namespace keel {

struct KeyList {
  std::vector<std::string> keys;
  std::string source;  // said in the report and on the terminal
};

/// Keys of `file`; if empty, the Debian package lists; if there are none, generated ones. Errors: the file
/// does not exist, is empty, or is binary (a NUL byte or a line above 64 KiB), with the place.
Result<KeyList> load_keys(const std::string& file, uint64_t seed);

/// Leaves the first of equal keys; order kept.
void keep_distinct(KeyList& list);

}  // namespace keel
