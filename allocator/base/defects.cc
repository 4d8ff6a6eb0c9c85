// The list of defects, and which one KEEL_DEFECT names; see defects.h.
#include "allocator/base/defects.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace keel {
namespace {

constexpr DefectFacts kList[] = {
#define KEEL_DEFECT(enumerator, where, what) {Defect::enumerator, #enumerator, where, what},
#include "allocator/base/defects.inc"
#undef KEEL_DEFECT
};

Defect from_environment() {
  if constexpr (!kExploreBuild) return Defect::kNone;
  const char* name = std::getenv("KEEL_DEFECT");
  if (name == nullptr || *name == 0) return Defect::kNone;
  if (const std::optional<Defect> found = find_defect(name)) return *found;
  std::fprintf(stderr, "KEEL_DEFECT: '%s' is not a defect; build/explore/bin/defects --list names them\n",
               name);
  std::exit(2);
}

}  // namespace

namespace detail {
Defect g_defect = from_environment();
}

const DefectFacts* defect_list(size_t& count) {
  count = std::size(kList);
  return kList;
}

std::string to_string(Defect defect) {
  std::string name;
  for (const char* c = kList[static_cast<size_t>(defect)].enumerator + 1; *c != 0; ++c) {
    const auto upper = static_cast<unsigned char>(*c);
    if (std::isupper(upper) != 0 && !name.empty()) name += '_';
    name += static_cast<char>(std::tolower(upper));
  }
  return name;
}

std::optional<Defect> find_defect(std::string_view name) {
  for (const DefectFacts& facts : kList) {
    if (to_string(facts.defect) == name) return facts.defect;
  }
  return std::nullopt;
}

void set_defect_for_testing(Defect defect) {
  if constexpr (kExploreBuild) detail::g_defect = defect;
  static_cast<void>(defect);
}

}  // namespace keel
