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

/// Runs Work<backend> as a service; the exit status. `argv` is handed on to the Boehm executable.
template <template <typename> typename Work, typename Settings>
int dispatch(const std::string& name, [[maybe_unused]] char** argv, const CommonOptions& options,
             const Settings& settings, const ServiceSettings& service = {}) {
#ifdef KEEL_FOR_BOEHM
  return run_service<Work<BoehmBackend>>(name, options, settings, service);
#else
  switch (options.collector) {
    case Collector::kBoehm:
    case Collector::kBoehmIncremental:
      start_boehm(name.c_str(), argv);
    case Collector::kMalloc:
      if constexpr (Work<KeelBackend<false>>::kNoMalloc == nullptr) {
        return run_service<Work<MallocBackend>>(name, options, settings, service);
      } else {
        exit_bad_input(name,
                       std::string("option --collector: malloc: ") + Work<KeelBackend<false>>::kNoMalloc);
      }
    case Collector::kKeel:
      break;
  }
  if (options.heap.roots == Roots::kPrecise) {
    return run_service<Work<KeelBackend<true>>>(name, options, settings, service);
  }
  return run_service<Work<KeelBackend<false>>>(name, options, settings, service);
#endif
}

}  // namespace keel
