// The Boehm collector as a backend, set up as its own users would: thread-local allocation, parallel markers,
// pointer- free memory as atomic. Only in executables of its own: it installs signal handlers and wraps
// threads.
#pragma once

#ifndef GC_THREADS
#define GC_THREADS
#endif
#include <gc/gc.h>

#include <atomic>
#include <cstring>

#include "allocator/base/clock.h"
#include "collector/api/type_layout.h"
#include "workloads/backends/malloc_backend.h"

namespace keel {

struct BoehmBackend {
  static constexpr const char* kName = "boehm";
  static constexpr bool kFrees = false;
  template <typename T>
  using Local = T*;
  template <typename T>
  using Field = RawField<T>;
  /// A slot in memory that the collector scans and never frees.
  template <typename T>
  class Root {
   public:
    void reset(T* p = nullptr) {
      if (slot_ == nullptr) slot_ = static_cast<T**>(GC_MALLOC_UNCOLLECTABLE(sizeof(T*)));
      *slot_ = p;
    }
    [[nodiscard]] T* get() const { return slot_ == nullptr ? nullptr : *slot_; }
    ~Root() {
      if (slot_ != nullptr) GC_FREE(slot_);
    }

   private:
    T** slot_ = nullptr;
  };

  /// A type is pointer-free to Boehm if its author says so.
  template <typename T>
  static constexpr bool kAtomic = requires {
    T::kNoPointers;
  }
  || std::is_arithmetic_v<T>;

  static void* checked(void* p) {
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }
  template <typename T, typename... Args>
  static T* make(Args&&... args) {
    void* p = nullptr;
    if constexpr (kAtomic<T>) {
      p = checked(GC_MALLOC_ATOMIC(sizeof(T)));
      std::memset(p, 0, sizeof(T));
    } else {
      p = checked(GC_MALLOC(sizeof(T)));
    }
    return new (p) T{std::forward<Args>(args)...};
  }
  template <typename T>
  static T* make_array(size_t n) {
    if constexpr (kAtomic<T>) {
      const size_t bytes = total_bytes(n, sizeof(T));
      void* p = checked(GC_MALLOC_ATOMIC(bytes));
      std::memset(p, 0, bytes);
      return static_cast<T*>(p);
    } else {
      return static_cast<T*>(checked(GC_MALLOC(total_bytes(n, sizeof(T)))));
    }
  }
  template <typename T, typename... Args>
  static T* make_with_tail(size_t tail, Args&&... args) {
    return new (checked(GC_MALLOC(total_bytes(1, sizeof(T), tail)))) T{std::forward<Args>(args)...};
  }
  static void* make_bytes(size_t n) { return checked(GC_MALLOC_ATOMIC_IGNORE_OFF_PAGE(n)); }
  template <typename T>
  static void release(T*) {}
  // Granules of 16 bytes; one byte more, so that end() stays inside.
  static uint64_t slot_bytes(uint64_t bytes) { return (bytes + 1 + 15) / 16 * 16; }
  static uint64_t array_bytes(uint64_t bytes) { return slot_bytes(bytes); }
  template <typename F>
  static auto blocking(F&& f) {
    return f();  // Boehm stops threads by signal wherever they are
  }
  static void safepoint() {}

  class Runtime {
   public:
    Runtime(const CommonOptions& options, RunRecorder& recorder);
    ~Runtime();
    void collect() {
      // relaxed: a label for the next cycle record, written and read under Boehm's own lock order.
      forced().store(true, std::memory_order_relaxed);
      GC_gcollect();
    }
    void free_os_memory() {
      forced().store(true, std::memory_order_relaxed);
      GC_gcollect_and_unmap();
    }
    HeapSample sample() const {
      HeapSample s;
      s.num_gc = static_cast<uint32_t>(GC_get_gc_no());
      s.last_gc_unix_ns = last_gc().load(std::memory_order_relaxed);
      s.heap_bytes = GC_get_heap_size() - GC_get_free_bytes();
      return s;
    }
    void sections(nlohmann::json& out);
    static std::atomic<bool>& forced();
    static std::atomic<int64_t>& last_gc();
  };
  class Thread {
   public:
    Thread(Runtime&, const std::string&);
    ~Thread();
    [[nodiscard]] uint32_t id() const { return id_; }

   private:
    uint32_t id_;
    bool registered_ = false;
  };
};

}  // namespace keel
