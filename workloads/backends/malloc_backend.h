// malloc as a backend: zeroed on allocation like the others, freed by the thread and at the time the program
// would.
#pragma once

#include <malloc.h>

#include <atomic>
#include <cstdlib>

#include "collector/api/type_layout.h"
#include "workloads/backends/heap_backend.h"

namespace keel {

/// A plain pointer field; null when zeroed.
template <typename T>
class RawField {
 public:
  RawField() = default;
  RawField(T* target) : target_(target) {}  // NOLINT(google-explicit-constructor)
  RawField& operator=(T* target) {
    target_ = target;
    return *this;
  }
  [[nodiscard]] T* get() const { return target_; }
  operator T*() const { return target_; }  // NOLINT(google-explicit-constructor)
  T* operator->() const { return target_; }

 private:
  T* target_;
};

/// A word that holds a pointer, for closed forms of what a marker would look at.
template <typename T>
struct DeclaredPointers<RawField<T>> {
  static constexpr bool declared = true;
  static void collect(std::vector<uint32_t>& offsets, size_t base) {
    offsets.push_back(static_cast<uint32_t>(base / sizeof(void*)));
  }
};

struct MallocBackend {
  static constexpr const char* kName = "malloc";
  static constexpr bool kFrees = true;
  template <typename T>
  using Local = T*;
  template <typename T>
  using Field = RawField<T>;
  template <typename T>
  class Root {
   public:
    void reset(T* p = nullptr) { p_ = p; }
    [[nodiscard]] T* get() const { return p_; }

   private:
    T* p_ = nullptr;
  };

  static void* zeroed(size_t n) {
    void* p = std::calloc(1, n);
    if (p == nullptr) throw std::bad_alloc();
    return p;
  }
  template <typename T, typename... Args>
  static T* make(Args&&... args) {
    return new (zeroed(sizeof(T))) T{std::forward<Args>(args)...};
  }
  template <typename T>
  static T* make_array(size_t n) {
    return static_cast<T*>(zeroed(total_bytes(n, sizeof(T))));
  }
  template <typename T, typename... Args>
  static T* make_with_tail(size_t tail, Args&&... args) {
    return new (zeroed(total_bytes(1, sizeof(T), tail))) T{std::forward<Args>(args)...};
  }
  static void* make_bytes(size_t n) { return zeroed(n); }
  template <typename T>
  static void release(T* p) {
    std::free(p);
  }
  // glibc: a header of 8 bytes, multiples of 16, at least 32.
  static uint64_t slot_bytes(uint64_t bytes) { return std::max<uint64_t>(32, (bytes + 8 + 15) / 16 * 16); }
  static uint64_t array_bytes(uint64_t bytes) { return slot_bytes(bytes); }
  template <typename F>
  static auto blocking(F&& f) {
    return f();
  }
  static void safepoint() {}

  class Runtime {
   public:
    Runtime(const CommonOptions&, RunRecorder&) {}
    void collect() {}
    void free_os_memory() { malloc_trim(0); }
    HeapSample sample() const { return {}; }
    void sections(nlohmann::json&) {}
  };
  class Thread {
   public:
    Thread(Runtime&, const std::string&) : id_(next_id().fetch_add(1, std::memory_order_relaxed)) {}
    [[nodiscard]] uint32_t id() const { return id_; }

   private:
    // relaxed: only uniqueness matters.
    static std::atomic<uint32_t>& next_id() {
      static std::atomic<uint32_t> id{1};
      return id;
    }
    uint32_t id_;
  };
};

}  // namespace keel
