// What can happen at the end of an object's life on Keel: finalizer, cleanup, weak pointer.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "collector/api/keep_alive.h"
#include "workloads/backends/keel_backend.h"

namespace keel {

template <bool kPrecise>
struct KeelEnds {
  using Backend = KeelBackend<kPrecise>;
  using Runtime = typename Backend::Runtime;
  template <typename T>
  using Function = void (*)(T* object, void* context);

  /// Kinds of finalizers whose throughput is measured.
  static constexpr std::array<const char*, 1> kFinalizers = {"finalizer"};
  /// Everything that can be attached to an object; with it, what an object costs.
  static constexpr std::array<const char*, 3> kAttachments = {"finalizer", "cleanup", "weak"};

  template <typename T>
  static void set_finalizer(const std::string&, T* object, Function<T> run, void* context) {
    ::keel::set_finalizer(object, [run, context](T* dying) { run(dying, context); });
  }

  /// Attaches to object after object; what must stay behind stays in here.
  template <typename T>
  class Attacher {
   public:
    Attacher(const std::string& what, uint64_t objects) : what_(what) {
      if (what == "weak") weak_.reserve(objects);
    }
    void attach(T* object) {
      if (what_ == "finalizer") {
        ::keel::set_finalizer(object, [](T*) {});
      } else if (what_ == "cleanup") {
        add_cleanup(
            object, [](int) {}, 0);
      } else {
        weak_.emplace_back(object);
      }
    }

   private:
    const std::string what_;
    std::vector<Weak<T>> weak_;
  };

  /// Returns when every function that is due has run, or after `limit_ns`.
  static void run_finalizers(Runtime& runtime, int64_t limit_ns) { runtime.heap().run_finalizers(limit_ns); }
};

}  // namespace keel
