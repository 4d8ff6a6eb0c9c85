// See other_collectors.h.
#include "workloads/micro/other_collectors.h"

#include <dlfcn.h>

#include <atomic>

#include "allocator/base/clock.h"

#ifdef KEEL_MICRO_BOEHM
#define GC_THREADS
#include <gc/gc.h>
#endif

namespace keel::micro {

const Mimalloc& mimalloc() {
  static const Mimalloc found = [] {
    Mimalloc m;
    void* library = dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return m;
    m.zalloc = reinterpret_cast<void* (*)(size_t)>(dlsym(library, "mi_zalloc"));
    m.free = reinterpret_cast<void (*)(void*)>(dlsym(library, "mi_free"));
    return m;
  }();
  return found;
}

#ifdef KEEL_MICRO_BOEHM
namespace {

// Written by Boehm's callbacks with its lock held, read after GC_gcollect() on the same thread.
int64_t g_mark_begin_ns = 0;
int64_t g_mark_ns = 0;

void on_event(GC_EventType event) {
  if (event == GC_EVENT_MARK_START) g_mark_begin_ns = now_ns();
  if (event == GC_EVENT_MARK_END) g_mark_ns = now_ns() - g_mark_begin_ns;
}

}  // namespace

void start_boehm_beside() {
  static const bool started = [] {
    GC_INIT();
    GC_allow_register_threads();
    GC_start_mark_threads();
    GC_set_finalize_on_demand(1);
    GC_set_on_collection_event(on_event);
    return true;
  }();
  static_cast<void>(started);
}

BoehmThread::BoehmThread() {
  if (GC_thread_is_registered() != 0) return;
  GC_stack_base base;
  GC_get_stack_base(&base);
  registered_ = GC_register_my_thread(&base) == GC_SUCCESS;
}

BoehmThread::~BoehmThread() {
  if (registered_) GC_unregister_my_thread();
}

int64_t boehm_mark_ns() {
  GC_gcollect();
  return g_mark_ns;
}

void boehm_run_finalizers() { GC_invoke_finalizers(); }

int boehm_markers() { return GC_get_parallel() + 1; }

#endif

}  // namespace keel::micro
