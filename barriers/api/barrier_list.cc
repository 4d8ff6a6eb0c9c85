// The table behind find_barrier(); see barrier_list.h.
#include "barriers/api/barrier_list.h"

#include <array>
#include <utility>

namespace keel {
namespace {

template <size_t... I>
constexpr auto make_table(std::index_sequence<I...>) {
  return std::array<BarrierKind, sizeof...(I)>{
      BarrierKind{std::tuple_element_t<I, BarrierKinds>::kTraits,
                  &barrier_slow_path<std::tuple_element_t<I, BarrierKinds>>}...};
}

template <size_t... I>
constexpr bool all_are_barriers(std::index_sequence<I...>) {
  return (WriteBarrier<std::tuple_element_t<I, BarrierKinds>, BarrierState, Slot> && ...);
}

using Indices = std::make_index_sequence<std::tuple_size_v<BarrierKinds>>;
static_assert(all_are_barriers(Indices{}));
constexpr auto kTable = make_table(Indices{});

}  // namespace

std::string barrier_names() {
  std::string names;
  for (const BarrierKind& kind : kTable) {
    if (!names.empty()) names += ", ";
    names += kind.traits.name;
  }
  return names;
}

const BarrierKind* find_barrier(std::string_view name) {
  for (const BarrierKind& kind : kTable) {
    if (kind.traits.name == name) return &kind;
  }
  return nullptr;
}

}  // namespace keel
