// The leak check for GoogleTest: EXPECT_TRUE(verify_none(heap)) at the end of a test.
#pragma once

#include <gtest/gtest.h>

#include "collector/api/leak_check.h"

namespace keel {

/// Fails with one line per leak that outlasts options.patience_ns.
inline testing::AssertionResult verify_none(Heap& heap, const LeakOptions& options = {}) {
  const std::vector<Leak> leaks = wait_for_no_leaks(heap, options);
  if (leaks.empty()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << leaks.size() << " left in the heap:\n" << to_string(leaks);
}

}  // namespace keel
