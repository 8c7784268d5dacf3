#include "region_table.h"

#include <cerrno>

namespace lunport {

namespace {
// An id is reused only when so many others were freed before it.
constexpr size_t kReuseDistance = 64;
}  // namespace

uint32_t RegionTable::free_entry() {
  if (free_.size() > kReuseDistance) {
    const uint32_t id = free_.front();
    free_.pop_front();
    return id;
  }
  regions_.emplace_back();
  return static_cast<uint32_t>(regions_.size() - 1);
}

int RegionTable::map(int fd, uint64_t offset, uint64_t length, bool huge_pages) {
  const uint32_t id = free_entry();
  return settle(id, regions_[id].mapping.open(fd, offset, length, huge_pages));
}

int RegionTable::map_read_only(int fd, uint64_t length) {
  const uint32_t id = free_entry();
  return settle(id, regions_[id].mapping.open_read_only(fd, length));
}

int RegionTable::lend(const KernelBuffers& buffers) {
  const uint32_t id = free_entry();
  regions_[id].kernel = buffers;
  return static_cast<int>(id);
}

int RegionTable::settle(uint32_t id, int error) {
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
  region->kernel = {};
  free_.push_back(id);
  return 0;
}

void RegionTable::unmap_all() {
  for (Region& region : regions_) {
    region.windows.clear();
    region.mapping.close();
    region.kernel = {};
  }
}

}  // namespace lunport
