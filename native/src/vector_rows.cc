#include "vector_rows.h"

#include <cerrno>
#include <limits>

#include "numbers.h"

namespace lunport {

namespace {

int borrow(Region& lender, uint64_t offset, uint64_t bytes, Operation& operation) {
  const uint64_t each = lender.kernel.each;
  const uint64_t length = lender.kernel.length;
  const uint64_t at = offset % each;
  if (offset > length || bytes > length - offset || bytes > each - at) return -EFAULT;
  operation.lender = &lender.kernel;
  operation.lent_buffer = static_cast<uint32_t>(offset / each);
  operation.regions.push_back(&lender);
  operation.vectors.push_back({reinterpret_cast<void*>(at), bytes});
  return 0;
}

}  // namespace

int gather(RegionTable& regions, const double* rows, uint32_t count, uint64_t length, Operation& operation) {
  operation.vectors.clear();
  operation.regions.clear();
  uint64_t total = 0;
  double last_id = std::numeric_limits<double>::quiet_NaN();  // equals no id, not even a bad one
  Region* region = nullptr;
  for (const double* row = rows; row != rows + size_t{count} * kVectorColumns; row += kVectorColumns) {
    uint64_t offset;
    uint64_t bytes;
    if (!to_unsigned(row[1], offset) || !to_unsigned(row[2], bytes)) return -EINVAL;
    if (row[0] != last_id) {
      region = regions.find(row[0]);
      if (region == nullptr) return -EFAULT;
      if (region->is_kernel()) {
        if (count != 1 || bytes != length || bytes == 0) return -EFAULT;
        return borrow(*region, offset, bytes, operation);
      }
      if (region->mapping.broken()) return -EFAULT;
      operation.regions.push_back(region);
      last_id = row[0];
    }
    uint8_t* const data = RegionTable::resolve(*region, offset, bytes);
    if (data == nullptr) return -EFAULT;
    if (bytes == 0) continue;
    operation.vectors.push_back({data, bytes});
    total += bytes;
    if (total > length) return -EINVAL;
  }
  return total == length ? 0 : -EINVAL;
}

}  // namespace lunport
