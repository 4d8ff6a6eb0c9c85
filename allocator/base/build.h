// What kind of build this is, as constants, so that the code of every kind always compiles.
#pragma once

namespace keel {

/// The build that attacks the collector (preset `explore`): its scheduler owns every interleaving, defects
/// can be switched on, and system calls can be made to fail. docs/trust.md says what it is for.
#ifdef KEEL_EXPLORE
inline constexpr bool kExploreBuild = true;
#else
inline constexpr bool kExploreBuild = false;
#endif

}  // namespace keel
