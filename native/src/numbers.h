// JavaScript numbers to integers, with nothing lost on the way.
#pragma once

#include <cstdint>

namespace lunport {

inline constexpr double kMaxSafeInteger = 9007199254740991.0;  // 2^53 - 1

// Whether `value` is an integer in [0, 2^53); then it is in `out`. NaN fails every comparison.
inline bool to_unsigned(double value, uint64_t& out) {
  if (!(value >= 0 && value <= kMaxSafeInteger)) return false;
  out = static_cast<uint64_t>(value);
  return static_cast<double>(out) == value;
}

// Whether `value` is an integer in [0, limit).
inline bool to_index(double value, uint32_t limit, uint32_t& out) {
  if (!(value >= 0 && value < limit)) return false;
  out = static_cast<uint32_t>(value);
  return static_cast<double>(out) == value;
}

}  // namespace lunport
