// Facts of the machine and the build; see environment.h.
#include "reports/recorder/environment.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "allocator/base/machine.h"
#include "reports/recorder/build_facts.h"

namespace keel {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.rfind("model name", 0) == 0) {
      const size_t colon = line.find(':');
      return colon == std::string::npos ? std::string() : line.substr(colon + 2);
    }
  }
  return {};
}

// The bracketed word of "always [madvise] never".
std::string chosen(const std::string& line) {
  const size_t open = line.find('[');
  const size_t close = line.find(']');
  return open == std::string::npos || close == std::string::npos ? line
                                                                 : line.substr(open + 1, close - open - 1);
}

}  // namespace

nlohmann::json environment_json(bool anonymous) {
  nlohmann::json e;
  utsname name{};
  uname(&name);
  if (!anonymous) e["hostname"] = name.nodename;
  e["kernel"] = std::string(name.sysname) + " " + name.release;
  if (const std::string model = cpu_model(); !model.empty()) e["cpu_model"] = model;
  e["cores"] = usable_cores();
  if (const std::string smt = first_line("/sys/devices/system/cpu/smt/active"); !smt.empty())
    e["smt_siblings"] = smt == "1";
  e["memory_bytes"] = physical_memory_bytes();
  e["page_bytes"] = sysconf(_SC_PAGESIZE);
  if (const std::string thp = chosen(first_line("/sys/kernel/mm/transparent_hugepage/enabled"));
      !thp.empty()) {
    e["transparent_huge_pages"] = thp;
  }
  if (const std::string mode = first_line("/proc/sys/vm/overcommit_memory"); !mode.empty()) {
    e["overcommit"] = mode == "0" ? "heuristic" : mode == "1" ? "always" : "strict";
  }
  nlohmann::json cgroup = nlohmann::json::object();
  if (const std::string cpu = cgroup_cpu(); !cpu.empty()) cgroup["cpu"] = cpu;
  if (const uint64_t bytes = cgroup_memory_bytes()) cgroup["memory_bytes"] = bytes;
  e["cgroup"] = cgroup;
  e["compiler"] = kCompiler;
  e["build_type"] = kBuildType;
  e["commit"] = kCommit;
  return e;
}

}  // namespace keel
