// OutputFile: one file on its way to a disk, into a pipe or onto a device.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <ostream>
#include <streambuf>
#include <string>
#include <vector>

#include "allocator/base/result.h"
#include "reports/output/output_place.h"

namespace keel {

/// A buffer before a descriptor. The first write that fails is remembered; nothing is written after it, so
/// that what is there is a beginning of what was meant. One thread, but for give_up() and bytes_taken().
class DescriptorBuffer : public std::streambuf {
 public:
  explicit DescriptorBuffer(int descriptor);

  /// errno of the first write that failed; 0: none has.
  [[nodiscard]] int failure() const { return failure_; }
  /// A write may wait for somebody: a pipe, a socket, a terminal.
  [[nodiscard]] bool may_wait() const { return may_wait_; }
  /// relaxed [output.give_up]: who waits looks again and again.
  void give_up() { given_up_.store(true, std::memory_order_relaxed); }
  /// relaxed [output.taken]: a count by which another thread sees that things go on.
  [[nodiscard]] uint64_t bytes_taken() const { return taken_.load(std::memory_order_relaxed); }

 protected:
  int_type overflow(int_type c) override;
  int sync() override;

 private:
  const int descriptor_;
  bool may_wait_ = false;
  bool would_block_ = false;  // and cannot be told not to
  int failure_ = 0;
  std::atomic<bool> given_up_{false};
  std::atomic<uint64_t> taken_{0};
  std::vector<char> bytes_;
};

/// How a regular file comes to its new content; whatever else a path leads to is written as it is, either
/// way.
enum class OutputWay {
  kBeside,   // whole or not at all: under a temporary name in the same folder, synced, renamed
  kInPlace,  // from the first byte on where it belongs: for what is read while it grows
};

class OutputFile {
 public:
  /// Opens what `path` leads to (output_place.h); "-" is standard output. A FIFO that nobody reads is waited
  /// for, until outputs are given up (file_calls.h). Error: one line that names the path.
  static Result<std::unique_ptr<OutputFile>> open(const std::string& path, OutputWay way);
  /// What was not finished is dropped: a file that was to be renamed is removed.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Writing may wait for somebody: a pipe, a socket, a terminal.
  [[nodiscard]] bool may_wait() const { return buffer_.may_wait(); }
  /// Ends a wait of another thread in stream(), flush() or finish(): an error then. Threads: any.
  void give_up() { buffer_.give_up(); }
  /// Bytes that the system has. Threads: any.
  [[nodiscard]] uint64_t bytes_taken() const { return buffer_.bytes_taken(); }

  /// Goes bad when a write fails.
  [[nodiscard]] std::ostream& stream() { return stream_; }
  /// Hands what is buffered to the system.
  Result<bool> flush();
  /// The rest, then the close, then the name. Error: the first thing that failed; a file that was to be
  /// replaced is as it was. At most once.
  Result<bool> finish();

 private:
  OutputFile(std::string given, OutputPlace place, int descriptor, std::string temporary);
  void keep_owner_and_mode() const;

  const std::string given_;
  const OutputPlace place_;
  const std::string temporary_;  // empty: not renamed
  int descriptor_;
  DescriptorBuffer buffer_;
  std::ostream stream_;
};

}  // namespace keel
