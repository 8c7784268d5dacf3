// Rows of the vectors table to addresses.
#pragma once

#include <cstdint>

#include "operation.h"
#include "region_table.h"

namespace lunport {

// Fills `operation.vectors` and `operation.regions` from `count` rows. Returns 0; -EINVAL for numbers that
// are none or that do not add up to `length`; -EFAULT for a region that is unknown or broken, or too short. A list that names a
// buffer of the kernel names nothing else: then `operation.lender` is set, and the vector's base counts from the
// buffer's start.
int gather(RegionTable& regions, const double* rows, uint32_t count, uint64_t length, Operation& operation);

}  // namespace lunport
