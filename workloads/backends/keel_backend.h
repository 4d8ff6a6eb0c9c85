// Keel as a backend; kPrecise picks the roots.
#pragma once

#include "collector/api/heap.h"
#include "workloads/backends/heap_backend.h"

namespace keel {

/// A heap and the recorder that listens to it. Its functions are for the main thread, attached where they
/// collect.
class KeelRuntime {
 public:
  KeelRuntime(const CommonOptions& options, RunRecorder& recorder);
  void collect() { heap_.collect(); }
  void free_os_memory() { heap_.free_os_memory(); }
  HeapSample sample() const;
  /// The end of the run: runs the finalizers that are due, if that was asked for, waits for a cycle that
  /// runs, and ends the recording there. Adds memstats, finalization, gc_stats and heap_by_layout to the
  /// report.
  void sections(nlohmann::json& out);
  Heap& heap() { return heap_; }

 private:
  uint64_t unused_addresses() const;

  RunRecorder& recorder_;
  const int64_t finalize_at_exit_ns_;
  Heap heap_;
};

/// Attaches the calling thread for as long as it lives.
class KeelThread {
 public:
  KeelThread(KeelRuntime& runtime, const std::string& name) : scope_(runtime.heap(), name) {}
  [[nodiscard]] uint32_t id() const { return Mutator::current()->id(); }

 private:
  MutatorScope scope_;
};

template <bool kPrecise>
struct KeelBackend {
  static constexpr const char* kName = "keel";
  static constexpr bool kFrees = false;

  template <typename T>
  using Local = LocalFor<kPrecise, T>;
  template <typename T>
  using Field = Ptr<T>;
  template <typename T>
  using Root = ::keel::Root<T>;

  template <typename T, typename... Args>
  static T* make(Args&&... args) {
    return ::keel::make<T>(std::forward<Args>(args)...);
  }
  template <typename T>
  static T* make_array(size_t n) {
    return ::keel::make_array<T>(n);
  }
  template <typename T, typename... Args>
  static T* make_with_tail(size_t tail, Args&&... args) {
    return ::keel::make_with_tail<T>(tail, std::forward<Args>(args)...);
  }
  static void* make_bytes(size_t n) { return ::keel::make_bytes(n); }
  template <typename T>
  static void release(T*) {}
  static uint64_t slot_bytes(uint64_t bytes) {
    const uint8_t size_class = size_class_of(bytes);
    return size_class == 0 ? round_up(bytes, kPageBytes) : kSizeClasses[size_class].slot_bytes;
  }
  static uint64_t array_bytes(uint64_t bytes) { return slot_bytes(bytes + 1); }
  template <typename F>
  static auto blocking(F&& f) {
    return ::keel::blocking(std::forward<F>(f));
  }
  static void safepoint() { ::keel::safepoint(); }

  using Runtime = KeelRuntime;
  using Thread = KeelThread;
};

}  // namespace keel
