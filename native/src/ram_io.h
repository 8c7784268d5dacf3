// Reads, writes and zeroing of a disk that is a memory region.
#pragma once

#include "operation.h"
#include "region_table.h"
#include "vector_copy.h"

namespace lunport {

class RamIo {
 public:
  // Bytes. Up to here a loop that also fetches is quicker than memmove.
  static constexpr uint64_t kShort = 16u << 10;
  // How far ahead of its own copy such a read is fetched that nobody fetched before.
  static constexpr uint64_t kLead = 1024;

  // Does all of a RAM_ operation, whose vectors are gathered already. Returns bytes moved (0 for RAM_ZERO) or a
  // negative errno; when the range lies outside the disk nothing was touched. Meanwhile `next` is fetched.
  int32_t transfer(Region& disk, const Operation& operation, const Ahead& next);

  // Orders what was written before all that follows. To be called after the last transfer of a batch, before anybody
  // hears that one is done: one fence for all of them, as each waits until memory has taken everything.
  void settle();

  // The start of a range that is read next; nothing where there is no such range.
  static Ahead ahead(const Region& disk, uint64_t offset, uint64_t length);

 private:
  bool unordered_ = false;
};

}  // namespace lunport
