// Copies from memory of ours to an operation's vectors, and what a fault meanwhile means.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "operation.h"
#include "region_table.h"

namespace lunport {

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
