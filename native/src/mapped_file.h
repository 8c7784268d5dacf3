// A buffered file's page cache, mapped: a read of pages that are there is a copy without a system call.
//
// Touching a page that is not in memory would stop the event loop for a disk access, so only what mincore(2) has
// called resident within the last second is touched. Asking costs more than a read, so it is asked for a window of
// many pages at a time, and only where enough was read to pay for it. What is not read this way takes the usual one.
//
// A page may leave memory between the question and the copy. That costs one disk access; such faults are counted,
// and after one nothing is read this way for a second, or longer. A file that others have cut raises SIGBUS, which the
// fault guard survives; and inside its last page it reads as zeroes, so zeroes have the file's size looked at.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mapped_area.h"

namespace lunport {

struct Operation;

// What all mapped files of one engine share. Times are milliseconds and may wrap.
class MappedReads {
 public:
  bool allowed(uint32_t now) const { return now - resting_since_ >= rest_; }
  // To be told of each read: looks now and then whether one of them had to wait for the disk.
  void happened(uint32_t now);
  // Whether one more area may be mapped; another one may have to go for it.
  bool admit(MappedArea& area, uint32_t now);
  void remove(MappedArea& area);

 private:
  bool make_room(uint32_t now);

  std::vector<MappedArea*> areas_;
  uint32_t looked_at_ = 0;
  long slow_faults_ = -1;  // of this thread, at the last look
  uint32_t resting_since_ = 0;
  uint32_t rest_ = 0;
};

class MappedFile {
 public:
  // Null when it cannot be mapped, or when what mincore says of it would not be true.
  static std::unique_ptr<MappedFile> open(int fd, MappedReads& reads);
  ~MappedFile();

  // Does a READ_FILE operation if all it asks for is in memory. False: nothing has happened to it.
  bool read(Operation& operation);
  // A read of this range is next.
  void approach(uint64_t offset, uint64_t length) const;
  void drop(size_t index);

 private:
  MappedFile(int fd, bool is_device, MappedReads& reads) : fd_(fd), is_device_(is_device), reads_(reads) {}
  MappedArea* area_of(uint64_t offset, uint64_t length, uint32_t now);
  bool map(size_t index, uint32_t now);
  bool was_cut(const Operation& operation, const uint8_t* from) const;

  const int fd_;
  const bool is_device_;
  MappedReads& reads_;
  std::vector<std::unique_ptr<MappedArea>> areas_;
  std::vector<uint32_t> wanted_;  // by area: pages read since it was last mapped
};

}  // namespace lunport
