// operator new that a test can make fail. Only for programs that link keel_failing_new: it is theirs
// everywhere.
//
// fail_new_for_testing() works in every build; in builds with checks KEEL_FAIL=new:N:ENOMEM does as well
// (system_calls.h). Counted is every operator new of the process but those for more than the usual alignment,
// whichever library makes it. Threads: any.
#pragma once

#include <cstdint>

namespace keel {

/// The `number`-th operator new from now on throws std::bad_alloc, once; 0: none does. Threads: while nobody
/// else allocates.
void fail_new_for_testing(uint64_t number);
/// How many there were since then.
uint64_t news_for_testing();
/// One has failed since then.
bool new_failed_for_testing();

}  // namespace keel
