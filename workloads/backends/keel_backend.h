// Keel as a backend; kPrecise picks the roots.
#pragma once

#include "collector/api/heap.h"
#include "workloads/backends/heap_backend.h"

namespace keel {

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

  class Runtime {
   public:
    Runtime(const CommonOptions& options, RunRecorder& recorder)
        : finalize_at_exit_ns_(options.finalize_at_exit_ns), heap_(with_listener(options.heap, recorder)) {
      recorder.set_reserved_bytes([this] { return unused_addresses(); });
    }
    void collect() { heap_.collect(); }
    void free_os_memory() { heap_.free_os_memory(); }
    HeapSample sample() const {
      const HeapStats s = heap_.stats();
      return {s.heap_live_bytes, s.next_gc_bytes, s.last_gc_unix_ns, s.num_gc};
    }
    void sections(nlohmann::json& out) {
      if (finalize_at_exit_ns_ != 0) heap_.run_finalizers(finalize_at_exit_ns_);
      out["memstats"] = memstats_json(heap_.stats());
      out["finalization"] = finalizers_json(heap_.stats().finalizers);
      out["gc_stats"] = gc_stats_json(heap_.gc_stats());
      if (out.value("interrupted", false)) return;
      nlohmann::json layouts = nlohmann::json::array();
      for (const LayoutStats& l : heap_.layouts()) {
        layouts.push_back({{"layout", l.layout},
                           {"spans", l.spans},
                           {"objects", l.objects},
                           {"used_bytes", l.used_bytes},
                           {"pointer_words", l.pointer_words},
                           {"waste_bytes", l.waste_bytes}});
      }
      out["heap_by_layout"] = std::move(layouts);
    }
    Heap& heap() { return heap_; }

   private:
    static HeapConfig with_listener(HeapConfig config, RunRecorder& recorder) {
      config.listener = &recorder;
      return config;
    }
    // Addresses that are reserved, for the heap and for tables that describe it, and were never made memory.
    uint64_t unused_addresses() const {
      const HeapStats s = heap_.stats();
      const uint64_t tables = PageTable::metadata_bytes(s.reserved_bytes >> kPageShift);
      return s.reserved_unused_bytes + tables - std::min(tables, s.gc_sys_bytes);
    }
    const int64_t finalize_at_exit_ns_;
    Heap heap_;
  };

  class Thread {
   public:
    Thread(Runtime& runtime, const std::string& name) : scope_(runtime.heap(), name) {}
    [[nodiscard]] uint32_t id() const { return Mutator::current()->id(); }

   private:
    MutatorScope scope_;
  };
};

}  // namespace keel
