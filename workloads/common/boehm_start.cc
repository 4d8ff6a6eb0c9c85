// See boehm_start.h.
#include "workloads/common/boehm_start.h"

#include <unistd.h>

#include <filesystem>

#include "workloads/common/options.h"

namespace keel {

void start_boehm(const char* program, char** argv) {
  std::error_code error;
  const std::string other = std::filesystem::read_symlink("/proc/self/exe", error).string() + "-boehm";
  execv(other.c_str(), argv);
  exit_bad_input(program,
                 "option --collector: boehm is not built: '" + other + "' cannot be started (libgc-dev)");
}

}  // namespace keel
