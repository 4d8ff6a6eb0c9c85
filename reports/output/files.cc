// See reports/api/files.h.
#include "reports/api/files.h"

#include "reports/output/output_file.h"

namespace keel {

Result<bool> check_output_path(const std::string& option, const std::string& path) {
  const Result<OutputPlace> place = find_output_place(path);
  if (!place) return Error{"option " + option + ": '" + path + "' " + place.error()};
  return true;
}

bool is_file_output(const std::string& path) {
  const Result<OutputPlace> place = find_output_place(path);
  return place &&
         (place.value().kind == OutputPlace::Kind::kNew || place.value().kind == OutputPlace::Kind::kRegular);
}

Result<bool> write_file(const std::string& path, const std::function<Result<bool>(std::ostream&)>& write) {
  const Result<std::unique_ptr<OutputFile>> file = OutputFile::open(path, OutputWay::kBeside);
  if (!file) return Error{file.error()};
  const Result<bool> written = write(file.value()->stream());
  if (!written) return written;
  return file.value()->finish();
}

Result<bool> write_report(const nlohmann::json& report, const std::string& path) {
  return write_file(path, [&](std::ostream& out) -> Result<bool> {
    // Names and arguments may hold any bytes; the report is valid UTF-8 all the same.
    out << report.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
    return true;
  });
}

}  // namespace keel
