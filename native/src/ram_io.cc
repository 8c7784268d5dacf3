#include "ram_io.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lunport {

namespace {

uint32_t faults() { return fault_guard::fault_counter().load(std::memory_order_relaxed); }

bool is_broken(const Region* region) { return region->mapping.broken(); }

void copy(const Operation& operation, uint8_t* at) {
  for (const iovec& vector : operation.vectors) {
    // memmove: nothing keeps a caller from naming the disk itself as a buffer.
    if (operation.kind == Kind::RAM_READ) {
      memmove(vector.iov_base, at, vector.iov_len);
    } else {
      memmove(at, vector.iov_base, vector.iov_len);
    }
    at += vector.iov_len;
  }
}

}  // namespace

int32_t ram_transfer(Region& disk, const Operation& operation) {
  uint8_t* const at = RegionTable::resolve(disk, operation.offset, operation.remaining);
  if (at == nullptr) return -EINVAL;
  if (is_broken(&disk)) return -EFAULT;
  const uint32_t before = faults();
  if (operation.kind == Kind::RAM_ZERO) {
    disk.mapping.zero(operation.offset, operation.remaining);
  } else {
    copy(operation, at);
  }
  // After a fault, what was copied may be zeroes that were never there. The counter is the whole process's:
  // it only says when to look.
  if (faults() != before) {
    const auto& regions = operation.regions;
    if (is_broken(&disk) || std::any_of(regions.begin(), regions.end(), is_broken)) return -EFAULT;
  }
  return operation.kind == Kind::RAM_ZERO ? 0 : static_cast<int32_t>(operation.remaining);
}

}  // namespace lunport
