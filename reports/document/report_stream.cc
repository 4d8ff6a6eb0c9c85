// A SAX consumer of nlohmann's parser; see report_stream.h.
#include "reports/document/report_stream.h"

#include <climits>
#include <optional>

#include "reports/document/input_file.h"

namespace keel {
namespace {

using nlohmann::json;

constexpr size_t kDeepest = 64;

// Builds the document on a stack of open containers. An element of a streamed array is built like anything
// else, then taken off again.
class Consumer {
 public:
  explicit Consumer(const ElementVisitor* visit) : visit_(visit) {}

  bool null() { return add(json()); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(INT64_MAX)) return fail("an integer above 2^63 - 1");
    return add(value);
  }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(json::binary_t&) { return fail("binary data"); }
  bool start_object(size_t) { return open(json::object()); }
  bool key(std::string& name) {
    key_.swap(name);
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(size_t) { return open(json::array()); }
  bool end_array() { return close(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without the first word.
    std::string text = error.what();
    if (const size_t at = text.find("] "); at != std::string::npos) text = text.substr(at + 2);
    if (text.size() > 200) text = text.substr(0, 200) + "...";
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    error_ = "is not JSON: " + text + " (byte " + std::to_string(position) + ")";
    return false;
  }

  json root;
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  struct Open {
    json value;
    std::string key;  // under which it goes into its parent
    size_t streamed = 0;
  };

  bool open(json container) {
    if (stack_.size() == kDeepest) return fail("nested deeper than " + std::to_string(kDeepest) + " levels");
    stack_.push_back({std::move(container), std::move(key_), 0});
    key_.clear();
    return true;
  }
  bool close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    key_ = std::move(done.key);
    return add(std::move(done.value));
  }
  bool add(json value) {
    if (stack_.empty()) {
      root = std::move(value);
      return true;
    }
    Open& top = stack_.back();
    if (top.value.is_object()) {
      if (top.value.contains(key_)) return fail("the same name twice");
      top.value[std::move(key_)] = std::move(value);
      key_.clear();
      return true;
    }
    if (visit_ != nullptr && stack_.size() == 2 &&
        (top.key == "cycles" || top.key == "pauses" || top.key == "samples")) {
      stopped_ = !(*visit_)(top.key, top.streamed++, value);
      return !stopped_;
    }
    top.value.push_back(std::move(value));
    return true;
  }
  static size_t index_in(const Open& array) { return array.streamed + array.value.size(); }
  bool fail(const std::string& what) {
    std::string place;
    for (size_t i = 0; i < stack_.size(); ++i) {
      if (i != 0 && stack_[i - 1].value.is_array())
        place.append("/").append(std::to_string(index_in(stack_[i - 1])));
      if (i != 0 && stack_[i - 1].value.is_object()) place.append("/").append(stack_[i].key);
    }
    if (!stack_.empty()) {
      const Open& top = stack_.back();
      place.append("/").append(top.value.is_object() ? key_ : std::to_string(index_in(top)));
    }
    if (place.size() > 200) place = place.substr(0, 200) + "...";
    error_ = (place.empty() ? "/" : place) + ": " + what;
    return false;
  }

  const ElementVisitor* visit_;
  std::vector<Open> stack_;
  std::string key_;
  std::string error_;
  bool stopped_ = false;
};

template <typename Input>
Result<json> parse(Input&& in, const ElementVisitor* visit) {
  Consumer consumer(visit);
  const bool whole = json::sax_parse(std::forward<Input>(in), &consumer);
  if (consumer.stopped()) return json();
  if (!whole) return Error{consumer.error()};
  return std::move(consumer.root);
}

}  // namespace

Result<json> read_report_stream(std::istream& in, const ElementVisitor& visit) { return parse(in, &visit); }

Result<json> read_report_text(std::string_view text, const ElementVisitor& visit) {
  return parse(text, &visit);
}

Result<json> read_json_text(std::string_view text) { return parse(text, nullptr); }

Result<json> read_json_file(const std::string& path) {
  const Result<std::unique_ptr<InputFile>> file = InputFile::open(path);
  if (!file) return Error{file.error()};
  Result<json> document = parse(file.value()->stream(), nullptr);
  if (const Result<bool> read = file.value()->check(); !read) return Error{read.error()};
  if (!document) return Error{"'" + path + "' " + document.error()};
  return document;
}

Result<json> read_report_file(const std::string& path) {
  Result<json> document = read_json_file(path);
  if (!document) return document;
  const json& report = document.value();
  if (!report.is_object() || report.value("schema", json()) != "keel.report")
    return Error{"'" + path + "' is not a keel.report"};
  if (report.value("schema_version", json()) != 1)
    return Error{"'" + path + "' has another schema_version than 1"};
  return document;
}

}  // namespace keel
