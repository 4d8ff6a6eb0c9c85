// ReadProgress: a file read through a buffer that tells a terminal how far it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <istream>
#include <streambuf>
#include <string>
#include <vector>

namespace keel {

/// Hands on the bytes of `source` and, once a second from the second second on, draws "<name>: <percent>" on
/// standard error if that is a terminal. Clears the line when destroyed. One thread.
class ReadProgress : public std::streambuf {
 public:
  /// `bytes`: the size of the whole; 0 if unknown, then only what has been read is told.
  ReadProgress(std::istream& source, std::string name, uint64_t bytes);
  ~ReadProgress() override;

 protected:
  int_type underflow() override;

 private:
  void draw();

  std::istream& source_;
  const std::string name_;
  const uint64_t bytes_;
  const bool shown_;
  uint64_t read_ = 0;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_;
  std::vector<char> chunk_;
};

}  // namespace keel
