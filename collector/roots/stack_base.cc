// The end of the mapping less what the C library keeps there; see stack_base.h.
#include "collector/roots/stack_base.h"

#include <link.h>
#include <pthread.h>

#include <algorithm>
#include <cstddef>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "collector/roots/stack_frame.h"

namespace keel {
namespace {

struct Bounds {
  uintptr_t sp;    // every frame of the callers is at or above
  uintptr_t base;  // everything of theirs is below

  void exclude(uintptr_t at) {
    if (at > sp) base = std::min(base, at);
  }
};

// Each module's block of the calling thread. Of a library that is loaded later the block may lie below those
// there are now, in room kept for it: then it is scanned, as part of the stack.
int exclude_block(dl_phdr_info* module, size_t bytes, void* bounds) {
  if (bytes >= offsetof(dl_phdr_info, dlpi_tls_data) + sizeof module->dlpi_tls_data) {
    static_cast<Bounds*>(bounds)->exclude(reinterpret_cast<uintptr_t>(module->dlpi_tls_data));
  }
  return 0;
}

}  // namespace

uintptr_t stack_base_of_this_thread() {
  pthread_attr_t attributes;
  void* low = nullptr;
  size_t bytes = 0;
  const int rc = pthread_getattr_np(pthread_self(), &attributes);
  KEEL_CHECK(rc == 0, "attach: pthread_getattr_np: error %d", rc);
  pthread_attr_getstack(&attributes, &low, &bytes);
  pthread_attr_destroy(&attributes);
  Bounds bounds{stack_pointer(), reinterpret_cast<uintptr_t>(low) + bytes};
  bounds.exclude(reinterpret_cast<uintptr_t>(pthread_self()));  // glibc, musl: the control block's address
  dl_iterate_phdr(exclude_block, &bounds);
  return round_down(bounds.base, sizeof(uintptr_t));
}

}  // namespace keel
