// Reading keys; see keys.h.
#include "workloads/common/keys.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <unordered_set>

#include "allocator/base/rng.h"

namespace keel {
namespace {

constexpr size_t kLongestKey = 64 * 1024;
// Enough for hundreds of MiB of live data before keys repeat with a suffix.
constexpr size_t kMostKeys = 2'000'000;
constexpr size_t kGeneratedKeys = 200'000;

Result<KeyList> from_file(const std::string& name) {
  std::error_code error;
  if (std::filesystem::is_directory(name, error))
    return Error{"option --keys: '" + name + "' is a folder, not a file"};
  std::ifstream file(name, std::ios::binary);
  if (!file) return Error{"option --keys: '" + name + "' cannot be read: " + std::strerror(errno)};
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (const size_t nul = text.find('\0'); nul != std::string::npos) {
    return Error{"option --keys: '" + name + "' is binary (a NUL at byte " + std::to_string(nul) +
                 "), not text with one key a line"};
  }
  KeyList list{{}, name};
  size_t line = 1;
  for (size_t begin = 0; begin < text.size() && list.keys.size() < kMostKeys; ++line) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end - begin > kLongestKey) {
      return Error{"option --keys: '" + name + "' line " + std::to_string(line) + " has " +
                   std::to_string(end - begin) + " bytes, above 65536"};
    }
    if (end > begin) list.keys.emplace_back(text, begin, end - begin);
    begin = end + 1;
  }
  if (list.keys.empty()) return Error{"option --keys: '" + name + "' holds no key"};
  return list;
}

}  // namespace

Result<KeyList> load_keys(const std::string& file, uint64_t seed) {
  if (!file.empty()) return from_file(file);
  KeyList list{{}, "Debian package lists"};
  std::error_code error;
  std::vector<std::filesystem::path> lists;
  for (const auto& entry : std::filesystem::directory_iterator("/var/lib/dpkg/info", error)) {
    if (entry.path().extension() == ".list") lists.push_back(entry.path());
  }
  std::sort(lists.begin(), lists.end());
  for (const auto& path : lists) {
    std::ifstream in(path);
    std::string line;
    while (list.keys.size() < kMostKeys && std::getline(in, line)) {
      if (line.size() > 2) list.keys.push_back(line);
    }
  }
  if (!list.keys.empty()) return list;
  list.source = "generated";
  Rng rng(seed);
  for (size_t i = 0; i < kGeneratedKeys; ++i) {
    char text[96];
    std::snprintf(text, sizeof text, "/generated/%03llx/%06zu/%016llx",
                  static_cast<unsigned long long>(rng.below(4096)), i,
                  static_cast<unsigned long long>(rng.next()));
    list.keys.emplace_back(text);
  }
  return list;
}

void keep_distinct(KeyList& list) {
  std::unordered_set<std::string> seen;
  std::erase_if(list.keys, [&](const std::string& key) { return !seen.insert(key).second; });
}

}  // namespace keel
