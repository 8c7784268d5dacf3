// One mapping of shared memory (or of anonymous memory of our own) under the fault guard.
#pragma once

#include <cstddef>
#include <cstdint>

#include "address_range.h"
#include "fault_guard.h"

namespace lunport {

inline constexpr int kAnonymous = -1;

class Mapping {
 public:
  Mapping() = default;
  ~Mapping() { close(); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  // Maps `length` bytes from `offset` of a regular file (memfd, hugetlbfs and tmpfs files are such), or
  // anonymous memory for kAnonymous. Returns 0 or a negative errno; -EINVAL when the file is shorter.
  int open(int fd, uint64_t offset, uint64_t length, bool huge_pages);
  // Maps memory of a device that only its driver writes. JavaScript must not write to it either: a fault.
  int open_read_only(int fd, uint64_t length);
  // The memory is gone. Its addresses are taken until nobody holds `range` any more.
  void close();

  const SharedRange& range() const { return range_; }
  bool is_open() const { return data_ != nullptr; }
  uint8_t* data() const { return data_; }
  uint64_t length() const { return length_; }
  bool broken() const { return fault_guard::broken(guard_); }

  // Zeroes a range that the caller has checked; whole pages of long ranges go back to the system.
  void zero(uint64_t offset, uint64_t length);

 private:
  uint8_t* data_ = nullptr;
  uint64_t length_ = 0;
  SharedRange range_;  // what was mapped: `data_` rounded down, the end rounded up
  size_t page_size_ = 0;
  int guard_ = fault_guard::kNone;
  bool anonymous_ = false;
};

}  // namespace lunport
