// Where the bytes of an output go: what a path that a user has typed means.
//
// Links are followed one by one, the last one too: a report goes to where a link points, and the link stays.
// At the end there is nothing yet, a regular file, or something that must never be replaced: a device, a
// FIFO, a descriptor (/dev/stdout, /dev/fd/N, /proc/self/fd/N, a shell's >(command)). The Go twins and the
// Python tools follow the same rules (workloads/go/twin/output.go, scripts/keelreport/output.py).
#pragma once

#include <sys/stat.h>

#include <string>

#include "allocator/base/result.h"

namespace keel {

struct OutputPlace {
  enum class Kind {
    kNew,      // nothing there yet
    kRegular,  // a file: written beside and renamed over
    kThrough,  // a device, a FIFO, another process's descriptor, a file that is a mount point: written as it
               // is
    kDescriptor,  // one of this process: written at its own offset
  };
  Kind kind = Kind::kNew;
  std::string path;     // links followed; of a descriptor, as it was given
  int descriptor = -1;  // of kDescriptor
  struct stat file {};  // of what is there; of kNew, of the folder
};

/// Where `path` leads ("-" is standard output), found without opening anything. Error: why nothing can be
/// written there, in words that go on from "'path' ".
Result<OutputPlace> find_output_place(const std::string& path);

/// Both lead to one file, FIFO or socket. Two outputs may share a device, such as /dev/null.
bool is_same_output(const OutputPlace& a, const OutputPlace& b);

}  // namespace keel
