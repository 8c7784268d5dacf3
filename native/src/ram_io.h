// Reads, writes and zeroing of a disk that is a memory region.
#pragma once

#include "operation.h"
#include "region_table.h"
#include "vector_copy.h"

namespace lunport {

// Does all of a RAM_ operation, whose vectors are gathered already. Returns bytes moved (0 for RAM_ZERO) or a
// negative errno; when the range lies outside the disk nothing was touched. Meanwhile `next` is fetched.
int32_t ram_transfer(Region& disk, const Operation& operation, const Ahead& next);

// The start of a range that is read next; nothing where there is no such range.
Ahead ram_ahead(const Region& disk, uint64_t offset, uint64_t length);

}  // namespace lunport
