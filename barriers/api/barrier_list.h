// The kinds of write barrier: one line each. Option parsing, typed tests and the model follow from it.
#pragma once

#include <string>
#include <string_view>
#include <tuple>

#include "barriers/api/barrier_state.h"
#include "barriers/kinds/dijkstra.h"
#include "barriers/kinds/hybrid.h"
#include "barriers/kinds/hybrid_conditional.h"
#include "barriers/kinds/none.h"
#include "barriers/kinds/yuasa.h"

namespace keel {

using BarrierKinds =
    std::tuple<HybridBarrier, HybridConditionalBarrier, DijkstraBarrier, YuasaBarrier, NoBarrier>;

/// A kind as data: what neutral code needs to run it.
struct BarrierKind {
  BarrierTraits traits;
  BarrierSlowPath slow_path;
};

/// "hybrid, hybrid-conditional, ...": for messages.
std::string barrier_names();
/// The kind with this name, or null.
const BarrierKind* find_barrier(std::string_view name);

}  // namespace keel
