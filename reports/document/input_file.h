// InputFile: a file that is read, whatever it turns out to be.
#pragma once

#include <cstdint>
#include <istream>
#include <memory>
#include <streambuf>
#include <string>
#include <vector>

#include "allocator/base/result.h"

namespace keel {

/// Bytes of a descriptor. A read that fails ends them, is remembered, and throws nothing (a std::filebuf
/// throws, past whoever reads the buffer and not the stream). One thread.
class InputBuffer : public std::streambuf {
 public:
  explicit InputBuffer(int descriptor);

  /// errno of the read that failed; 0: none has.
  [[nodiscard]] int failure() const { return failure_; }

 protected:
  int_type underflow() override;

 private:
  const int descriptor_;
  int failure_ = 0;
  std::vector<char> bytes_;
};

class InputFile {
 public:
  /// Opens `path` for reading; "-" is standard input. Error: one line that names the path: it is a folder, or
  /// why the system refused.
  static Result<std::unique_ptr<InputFile>> open(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  [[nodiscard]] std::istream& stream() { return stream_; }
  /// Of a regular file; 0: of another size, or unknown.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  /// Error, naming the path: what has been read is not all, for a read failed. Ask when the end has been
  /// reached.
  [[nodiscard]] Result<bool> check() const;

 private:
  InputFile(std::string path, int descriptor, uint64_t bytes);

  const std::string path_;
  const int descriptor_;
  const uint64_t bytes_;
  InputBuffer buffer_;
  std::istream stream_;
};

}  // namespace keel
