// Copies from memory of ours to an operation's vectors, and what a fault meanwhile means.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "operation.h"
#include "region_table.h"

namespace lunport {

inline constexpr uint64_t kCacheLine = 64;
// Bytes. What follows the first page, the core's own prefetching has learnt to expect.
inline constexpr uint64_t kApproach = 4096;

// What is read after what is being copied; nothing where `bytes` is 0.
struct Ahead {
  const uint8_t* from = nullptr;
  uint64_t bytes = 0;
};

// Fetches memory that is copied next. Addresses that cannot be read are no fault.
inline void approach(const uint8_t* from, uint64_t length) {
  const uint64_t bytes = std::min(length, kApproach);
  for (uint64_t i = 0; i < bytes; i += kCacheLine) __builtin_prefetch(from + i, 0, 2);
}

// memmove: nothing keeps a caller from naming the memory itself as a buffer.
inline void copy_out(const Operation& operation, const uint8_t* from) {
  for (const iovec& vector : operation.vectors) {
    memmove(vector.iov_base, from, vector.iov_len);
    from += vector.iov_len;
  }
}

// To be asked when the fault counter has moved: what was copied from such a region are zeroes that were never there.
inline bool touches_broken_region(const Operation& operation) {
  const auto& regions = operation.regions;
  return std::any_of(regions.begin(), regions.end(),
                     [](const Region* region) { return region->mapping.broken(); });
}

}  // namespace lunport
