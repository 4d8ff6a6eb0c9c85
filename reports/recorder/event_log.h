// EventLog: the lines of --events on their way out, so that whoever reads them holds nobody up.
//
// The recorder adds lines to a bounded queue; a thread of the log's own writes them, and holds no lock
// meanwhile. Into a file or a device all lines come: who adds to a full queue waits for the disk. A pipe, a
// socket or a terminal may have a reader that stands still, for which nobody waits: a line that finds the
// queue full is dropped, whole, and counted.
//
// Threads: add() and flush() from any; the rest from one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "allocator/base/mutex.h"
#include "allocator/base/thread.h"
#include "reports/output/output_file.h"

namespace keel {

class EventLog {
 public:
  /// Bytes that wait, and once more as many that are being written. Measured (docs/workloads.md): the densest
  /// log grows by 4.5 MB/s, so a reader may pause for almost two seconds.
  static constexpr size_t kMostBytes = size_t{8} << 20;
  /// A reader that has taken nothing for so long at the end of the run is waited for no more.
  static constexpr int64_t kPatienceNs = 2'000'000'000;

  struct Ended {
    std::string error;     // why nothing more could be written from some line on; empty: it could
    uint64_t dropped = 0;  // lines that are not in the log
  };

  /// Throws std::system_error: no thread.
  explicit EventLog(std::unique_ptr<OutputFile> file);
  /// finish(), if it was not called.
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  /// `line` without its end. Cost: a copy, under a lock that is never held while something is written.
  void add(const std::string& line);
  /// What was added goes to the system now, and not only when there is more of it.
  void flush();
  /// Writes the rest, ends the thread, closes the file. Waits for a reader while it reads, up to
  /// kPatienceNs for each piece, less once outputs are given up (file_calls.h).
  Ended finish();

 private:
  void write_loop();
  /// Lines of `batch` that did not arrive, the one that was cut included.
  uint64_t write(const std::string& batch);

  const std::unique_ptr<OutputFile> file_;
  Mutex mu_{LockRank::kLeaf};
  ConditionVariable more_;  // for the writer: lines, or the end
  ConditionVariable room_;  // for who adds, and for finish()
  std::string queue_ KEEL_GUARDED_BY(mu_);
  bool closing_ KEEL_GUARDED_BY(mu_) = false;
  bool failed_ KEEL_GUARDED_BY(mu_) = false;  // nothing is written any more
  bool done_ KEEL_GUARDED_BY(mu_) = false;    // the writer has ended
  uint64_t dropped_ KEEL_GUARDED_BY(mu_) = 0;
  Thread writer_;
};

}  // namespace keel
