// See watched.h.
#include "workloads/fuzz/watched.h"

#include "allocator/base/check.h"
#include "workloads/fuzz/live_bytes.h"

namespace keel {

void run_watched(const FuzzTarget& target, std::string_view input) {
  reset_most_live_bytes();
  const size_t before = live_bytes();
  target.run(input);
  const size_t most = most_live_bytes() - before;
  const size_t bound = target.base_bytes + target.bytes_per_byte * input.size();
  KEEL_CHECK(most <= bound,
             "%s: %zu bytes of input made %zu bytes live at once; its bound is %zu + %zu a byte", target.name,
             input.size(), most, target.base_bytes, target.bytes_per_byte);
}

}  // namespace keel
