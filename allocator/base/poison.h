// Overwriting dead memory so that a use after free is seen, not guessed (Go's clobberfree).
//
// With `--debug poison` the sweeper fills freed slots with kPoisonByte; a pointer made of it (0xdb...) lies
// outside every heap range. Zeroing on allocation undoes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace keel {

inline constexpr unsigned char kPoisonByte = 0xdb;
inline constexpr uint64_t kPoisonWord = 0xdbdbdbdbdbdbdbdb;

inline void poison(void* start, size_t bytes) { std::memset(start, kPoisonByte, bytes); }

}  // namespace keel
