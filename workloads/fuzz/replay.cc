// The corpus once more, without a fuzzer: fuzz_replay CORPUS, a folder with a folder of files for each
// target.
//
// Each file goes through its target as it is, and again repeated to a megabyte (--grow BYTES), where what
// takes time or memory out of proportion shows: a reader that is quadratic does not come back within the
// test's time.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "workloads/fuzz/options_target.h"
#include "workloads/fuzz/watched.h"

namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) {
    std::fprintf(stderr, "fuzz_replay: '%s' cannot be read\n", path.c_str());
    std::exit(2);
  }
  return text.str();
}

std::string grown(const std::string& text, size_t bytes) {
  std::string all;
  while (!text.empty() && all.size() < bytes) all += text;
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  size_t grow = size_t{1} << 20;
  std::vector<std::filesystem::path> folders;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--grow") == 0 && i + 1 < argc) {
      grow = std::strtoull(argv[++i], nullptr, 10);
    } else {
      folders.emplace_back(argv[i]);
    }
  }
  if (folders.size() != 1) {
    std::fputs("usage: fuzz_replay [--grow BYTES] CORPUS\n", stderr);
    return 2;
  }
  for (const keel::FuzzTarget& target : keel::all_fuzz_targets()) {
    const std::filesystem::path folder = folders[0] / target.name;
    std::vector<std::filesystem::path> files;
    if (std::filesystem::is_directory(folder)) {
      for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    if (files.empty()) {
      std::fprintf(stderr, "fuzz_replay: no corpus for %s in '%s'\n", target.name, folder.c_str());
      return 1;
    }
    keel::run_watched(target, "");
    for (const std::filesystem::path& file : files) {
      std::printf("%s %s\n", target.name, file.filename().c_str());
      std::fflush(stdout);  // the last line is the one that did not come back
      const std::string text = content_of(file);
      keel::run_watched(target, text);
      keel::run_watched(target, grown(text, grow));
    }
    std::printf("%s: %zu files\n", target.name, files.size());
  }
  return 0;
}
