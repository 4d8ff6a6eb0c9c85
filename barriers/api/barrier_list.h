// The kinds of write barrier: one line each. Option parsing, typed tests and the model follow from it.
#pragma once

#include <string_view>
#include <tuple>

#include "barriers/api/barrier_state.h"
#include "barriers/kinds/hybrid.h"
#include "barriers/kinds/none.h"

namespace keel {

using BarrierKinds = std::tuple<HybridBarrier, NoBarrier>;

/// A kind as data: what neutral code needs to run it.
struct BarrierKind {
  BarrierTraits traits;
  BarrierSlowPath slow_path;
};

/// The kind with this name, or null.
const BarrierKind* find_barrier(std::string_view name);

}  // namespace keel
