// See reports/api/files.h.
#include "reports/api/files.h"

#include "reports/output/file_calls.h"
#include "reports/output/output_file.h"

namespace keel {

Result<bool> check_output_path(const std::string& option, const std::string& path) {
  const Result<OutputPlace> place = find_output_place(path);
  if (!place) return Error{"option " + option + ": '" + path + "' " + place.error()};
  return true;
}

Result<bool> check_outputs_differ(const std::vector<NamedOutput>& outputs) {
  std::vector<std::pair<const NamedOutput*, OutputPlace>> places;
  for (const NamedOutput& output : outputs) {
    if (output.path.empty()) continue;
    Result<OutputPlace> place = find_output_place(output.path);
    if (!place) return Error{"option " + output.option + ": '" + output.path + "' " + place.error()};
    for (const auto& [other, taken] : places) {
      if (!is_same_output(place.value(), taken)) continue;
      return Error{"options " + other->option + " and " + output.option + ": '" + other->path + "' and '" +
                   output.path + "' are one file"};
    }
    places.emplace_back(&output, std::move(place).value());
  }
  return true;
}

Result<bool> check_output_is_not_input(const NamedOutput& output, const std::string& input) {
  struct stat read {};
  const Result<OutputPlace> place = find_output_place(output.path);
  const bool known = input == "-" ? fstat(0, &read) == 0 : stat(input.c_str(), &read) == 0;
  if (!place || !known || !S_ISREG(read.st_mode) || place.value().kind == OutputPlace::Kind::kNew ||
      place.value().file.st_dev != read.st_dev || place.value().file.st_ino != read.st_ino) {
    return true;
  }
  return Error{"option " + output.option + ": '" + output.path + "' is what is read"};
}

void give_up_outputs_from(int64_t at_ns) { file_calls::give_up_from(at_ns); }

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
