// One line of JVM unified logging: decorations by their shape, then the message.
//
// -Xlog's decorators come in any choice and order, each in brackets: [0.711s] [701076651ns] [711ms]
// [2026-11-22T23:19:50.445+0000] [12345] [info] [gc,phases   ]. Which is which is told by its form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keel {

struct JvmLine {
  std::optional<int64_t> uptime_ns;  // the finest of those given
  std::optional<int64_t> unix_ns;    // of [time] or [utctime]
  std::string tags;                  // "gc,phases", without padding
  std::string_view message;
  bool decorated = false;
};

JvmLine split_jvm_line(std::string_view text);

}  // namespace keel
