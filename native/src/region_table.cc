#include "region_table.h"

#include <cerrno>

namespace lunport {

namespace {
// An id is reused only when so many others were freed before it.
constexpr size_t kReuseDistance = 64;
}  // namespace

int RegionTable::map(int fd, uint64_t offset, uint64_t length, bool huge_pages) {
  uint32_t id;
  if (free_.size() > kReuseDistance) {
    id = free_.front();
    free_.pop_front();
  } else {
    id = static_cast<uint32_t>(regions_.size());
    regions_.emplace_back();
  }
  const int error = regions_[id].mapping.open(fd, offset, length, huge_pages);
  if (error == 0) return static_cast<int>(id);
  free_.push_back(id);
  return error;
}

int RegionTable::unmap(uint32_t id) {
  Region* const region = find(id);
  if (region == nullptr) return -EINVAL;
  if (region->users > 0) return -EBUSY;
  region->windows.clear();
  region->mapping.close();
  free_.push_back(id);
  return 0;
}

void RegionTable::unmap_all() {
  for (Region& region : regions_) {
    region.windows.clear();
    region.mapping.close();
  }
}

}  // namespace lunport
