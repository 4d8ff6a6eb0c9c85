// What can happen at the end of an object's life under Boehm: finalizers in topological order or in none,
// disappearing links. Finalizers run in the thread that collects, when its collection is over, as Boehm does
// by default.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "collector/api/keep_alive.h"
#include "workloads/backends/boehm_backend.h"

namespace keel {

struct BoehmEnds {
  using Backend = BoehmBackend;
  using Runtime = BoehmBackend::Runtime;
  template <typename T>
  using Function = void (*)(T* object, void* context);

  // GC_register_finalizer: an object that another finalizable one reaches waits for it, and cycles never run.
  // GC_register_finalizer_no_order: all at once, as Java does.
  static constexpr std::array<const char*, 2> kFinalizers = {"finalizer_ordered", "finalizer_unordered"};
  static constexpr std::array<const char*, 3> kAttachments = {"finalizer_ordered", "finalizer_unordered",
                                                              "weak"};

  template <typename T>
  static void set_finalizer(const std::string& kind, T* object, Function<T> run, void* context) {
    struct Call {
      Function<T> run;
      void* context;
    };
    // Outside the collected heap: the collector must not find the object through its own finalizer's data.
    auto* call = new Call{run, context};
    const auto trampoline = [](void* dying, void* data) {
      const std::unique_ptr<Call> owned(static_cast<Call*>(data));
      owned->run(static_cast<T*>(dying), owned->context);
    };
    if (kind == "finalizer_unordered") {
      GC_register_finalizer_no_order(object, trampoline, call, nullptr, nullptr);
    } else {
      GC_register_finalizer(object, trampoline, call, nullptr, nullptr);
    }
  }

  template <typename T>
  class Attacher {
   public:
    Attacher(const std::string& what, uint64_t objects) : what_(what) {
      // Links in memory that is not scanned: else they would be strong.
      if (what == "weak") links_ = std::make_unique<void*[]>(objects);
    }
    ~Attacher() {
      for (uint64_t i = 0; i < used_; ++i) GC_unregister_disappearing_link(&links_[i]);
    }
    Attacher(const Attacher&) = delete;
    Attacher& operator=(const Attacher&) = delete;
    void attach(T* object) {
      const auto nothing = [](void*, void*) {};
      if (what_ == "finalizer_ordered") {
        GC_register_finalizer(object, nothing, nullptr, nullptr, nullptr);
      } else if (what_ == "finalizer_unordered") {
        GC_register_finalizer_no_order(object, nothing, nullptr, nullptr, nullptr);
      } else {
        links_[used_] = object;
        GC_general_register_disappearing_link(&links_[used_++], object);
      }
    }

   private:
    const std::string what_;
    std::unique_ptr<void*[]> links_;
    uint64_t used_ = 0;
  };

  static void run_finalizers(Runtime&, int64_t) { GC_invoke_finalizers(); }
};

}  // namespace keel
