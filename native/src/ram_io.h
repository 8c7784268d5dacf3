// Reads, writes and zeroing of a disk that is a memory region.
#pragma once

#include "operation.h"
#include "region_table.h"

namespace lunport {

// Does all of a RAM_ operation, whose vectors are gathered already. Returns bytes moved (0 for RAM_ZERO) or a
// negative errno; when the range lies outside the disk nothing was touched.
int32_t ram_transfer(Region& disk, const Operation& operation);

// Begins to fetch the start of a range that is about to be read; nothing where there is no such range.
void ram_approach(const Region& disk, uint64_t offset, uint64_t length);

}  // namespace lunport
