// See reports/api/files.h.
#include "reports/api/files.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace keel {

Result<bool> check_output_path(const std::string& option, const std::string& path) {
  if (path == "-") return true;
  const std::filesystem::path file(path);
  std::error_code error;
  if (std::filesystem::is_directory(file, error))
    return Error{"option " + option + ": '" + path + "' is a folder"};
  const std::filesystem::path folder =
      file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  if (!std::filesystem::is_directory(folder, error)) {
    return Error{"option " + option + ": '" + path + "' cannot be written: no folder '" + folder.string() +
                 "'"};
  }
  if (access(folder.c_str(), W_OK) != 0) {
    return Error{"option " + option + ": '" + path + "' cannot be written: " + std::strerror(errno)};
  }
  return true;
}

Result<bool> write_file(const std::string& path, const std::function<Result<bool>(std::ostream&)>& write) {
  if (path == "-") {
    Result<bool> written = write(std::cout);
    std::cout << std::flush;
    return written;
  }
  const std::string temporary = path + ".tmp." + std::to_string(getpid());
  std::ofstream file(temporary, std::ios::binary);
  Result<bool> written = write(file);
  file.close();
  if (written && (!file || std::rename(temporary.c_str(), path.c_str()) != 0)) {
    written = Error{"'" + path + "' cannot be written: " + std::strerror(errno)};
  }
  if (!written) std::remove(temporary.c_str());
  return written;
}

Result<bool> write_report(const nlohmann::json& report, const std::string& path) {
  return write_file(path, [&](std::ostream& out) -> Result<bool> {
    // Names and arguments may hold any bytes; the report is valid UTF-8 all the same.
    out << report.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return true;
  });
}

}  // namespace keel
