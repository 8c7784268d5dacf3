// The memory regions of one environment: small integers to mappings. Every address that native code touches
// on behalf of JavaScript comes out of `resolve`.
#pragma once

#include <napi.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "mapping.h"

namespace lunport {

struct Region {
  Mapping mapping;
  uint32_t users = 0;  // running operations that may touch it
  std::vector<Napi::Reference<Napi::ArrayBuffer>> windows;
};

class RegionTable {
 public:
  // Returns a region id or a negative errno.
  int map(int fd, uint64_t offset, uint64_t length, bool huge_pages);
  // The same for a device's memory; see Mapping.
  int map_read_only(int fd, uint64_t length);
  // Windows that are still held show zeroes from now on. Returns 0, -EINVAL, or -EBUSY while operations use the region.
  int unmap(uint32_t id);
  void unmap_all();

  // Null when there is no such region.
  Region* find(double id) {
    if (!(id >= 0 && id < static_cast<double>(regions_.size()))) return nullptr;
    const uint32_t index = static_cast<uint32_t>(id);
    Region& region = regions_[index];
    return static_cast<double>(index) == id && region.mapping.is_open() ? &region : nullptr;
  }

  // The address of [offset, offset + length) in a region, or null when it is not wholly inside.
  static uint8_t* resolve(const Region& region, uint64_t offset, uint64_t length) {
    const uint64_t size = region.mapping.length();
    return offset <= size && length <= size - offset ? region.mapping.data() + offset : nullptr;
  }

 private:
  uint32_t free_entry();
  int settle(uint32_t id, int error);

  std::deque<Region> regions_;  // never moves: running operations point to entries
  std::deque<uint32_t> free_;   // oldest first, so that a stale id meets an empty entry for long
};

}  // namespace lunport
