// From the options to the right instantiation of a workload: Keel with either kind of roots, malloc, or, in
// the executable compiled with KEEL_FOR_BOEHM, Boehm. `--collector boehm` starts that executable.
#pragma once

#include <string>

#include "workloads/common/service.h"
#ifdef KEEL_FOR_BOEHM
#include "workloads/backends/boehm_backend.h"
#else
#include "workloads/backends/keel_backend.h"
#include "workloads/backends/malloc_backend.h"
#include "workloads/common/boehm_start.h"
#endif

namespace keel {

template <typename Work>
int run_service(const std::string& name, const CommonOptions& options,
                const typename Work::Settings& settings, const ServiceSettings& service) {
  Session session(name, options);
  return Service<Work>(session, settings, service).run(name);
}

/// Calls f.template operator()<Backend>() for the backend that the options name; its result is the exit
/// status. `argv` is handed on to the Boehm executable.
template <typename F>
int on_backend([[maybe_unused]] const std::string& name, [[maybe_unused]] char** argv,
               const CommonOptions& options, F&& f) {
#ifdef KEEL_FOR_BOEHM
  static_cast<void>(options);
  return f.template operator()<BoehmBackend>();
#else
  switch (options.collector) {
    case Collector::kBoehm:
    case Collector::kBoehmIncremental:
      start_boehm(name.c_str(), argv);
    case Collector::kMalloc:
      return f.template operator()<MallocBackend>();
    case Collector::kKeel:
      break;
  }
  if (options.heap.roots == Roots::kPrecise) return f.template operator()<KeelBackend<true>>();
  return f.template operator()<KeelBackend<false>>();
#endif
}

/// Runs Work<backend> as a service; the exit status.
template <template <typename> typename Work, typename Settings>
int dispatch(const std::string& name, char** argv, const CommonOptions& options, const Settings& settings,
             const ServiceSettings& service = {}) {
  return on_backend(name, argv, options, [&]<typename B>() -> int {
    if constexpr (B::kFrees && Work<B>::kNoMalloc != nullptr) {
      exit_bad_input(name, std::string("option --collector: malloc: ") + Work<B>::kNoMalloc);
    } else {
      return run_service<Work<B>>(name, options, settings, service);
    }
  });
}

}  // namespace keel
