// A part of a file that is mapped at a time, and what is known of the windows in it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fault_guard.h"

namespace lunport {

class MappedFile;

struct MappedArea {
  // What mincore is asked for at a time: 2.5 µs, where a read by preadv2 costs 1.
  static constexpr uint64_t kWindow = 2u << 20;
  // Costs nothing but addresses until it is touched, then 8 bytes of page table for each page.
  static constexpr uint64_t kLength = 256u << 20;
  static constexpr uint64_t kSmallestPage = 4096;

  MappedArea(MappedFile& file, size_t index) : file(file), index(index) {}
  ~MappedArea();

  // Returns whether it could be mapped.
  bool map(int fd);
  // Whether all of [start, end), offsets into the area, may be touched. Counts as a wish to.
  bool resident(uint64_t start, uint64_t end, uint32_t now);

  MappedFile& file;
  const size_t index;
  uint32_t used_at = 0;
  uint8_t* data = nullptr;
  int guard = fault_guard::kNone;

 private:
  static constexpr size_t kMaxPages = kWindow / kSmallestPage;
  struct Window {
    uint32_t wanted = 0;  // pages read since mincore was asked
    uint32_t asked_at = 0;
    bool asked = false;
    bool sparse = false;
    uint64_t pages[kMaxPages / 64] = {};  // a bit each: resident when mincore was asked

    bool has(size_t first, size_t end) const;
    bool worth_asking(bool believed) const;
    void ask(uint8_t* start, uint32_t now);
  };
  Window windows_[kLength / kWindow];
};

}  // namespace lunport
