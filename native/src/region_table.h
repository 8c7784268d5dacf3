// The memory regions of one environment: small integers to mappings. Every address that native code touches
// on behalf of JavaScript comes out of `resolve`.
#pragma once

#include <napi.h>

#include <cstdint>
#include <deque>
#include <vector>

#include "mapping.h"

namespace lunport {

// Data that is in no memory of ours: the pages of requests to a block device, which its driver lends to an io_uring
// when it gets a command, one buffer for each request that can be under way.
struct KernelBuffers {
  int fd = -1;                  // of the driver's device; none: an ordinary region
  uint32_t borrow_command = 0;  // to the driver
  uint32_t give_back_command = 0;
  uint64_t each = 0;    // bytes of the region that stand for one buffer
  uint64_t length = 0;  // bytes of the region
};

struct Region {
  Mapping mapping;
  KernelBuffers kernel;  // then there is no mapping
  uint32_t users = 0;    // running operations that may touch it
  bool is_kernel() const { return kernel.fd >= 0; }
  std::vector<Napi::Reference<Napi::ArrayBuffer>> windows;
};

class RegionTable {
 public:
  // Returns a region id or a negative errno.
  int map(int fd, uint64_t offset, uint64_t length, bool huge_pages);
  // The same for a device's memory; see Mapping.
  int map_read_only(int fd, uint64_t length);
  // The same for buffers of the kernel; the descriptor stays the caller's and must outlive the region.
  int lend(const KernelBuffers& buffers);
  // Windows that are still held show zeroes from now on. Returns 0, -EINVAL, or -EBUSY while operations use the region.
  int unmap(uint32_t id);
  void unmap_all();

  // Null when there is no such region.
  Region* find(double id) {
    if (!(id >= 0 && id < static_cast<double>(regions_.size()))) return nullptr;
    const uint32_t index = static_cast<uint32_t>(id);
    Region& region = regions_[index];
    const bool exists = region.mapping.is_open() || region.is_kernel();
    return static_cast<double>(index) == id && exists ? &region : nullptr;
  }

  // The address of [offset, offset + length) in a region, or null when it is not wholly inside, or has no address.
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
