// Addresses that stay taken while somebody may still look at them, whatever is mapped there.
//
// JavaScript's views of a region can outlive it. They are not detached: V8 checks at every access to any typed
// array whether it was detached from the first time on that one is, for as long as the process lives. So the
// range keeps its addresses and loses its memory, and is unmapped when the last view has been collected.
#pragma once

#include <cstddef>
#include <memory>

namespace lunport {

class AddressRange {
 public:
  // Takes over what is mapped at [start, start + length), in whole pages.
  AddressRange(void* start, size_t length) : start_(start), length_(length) {}
  ~AddressRange();
  AddressRange(const AddressRange&) = delete;
  AddressRange& operator=(const AddressRange&) = delete;

  void* start() const { return start_; }
  size_t length() const { return length_; }

  // Puts private zeroes in place of what was mapped: who still looks sees nothing, and changes nothing of anybody.
  void vacate();

 private:
  void* const start_;
  const size_t length_;
};

using SharedRange = std::shared_ptr<AddressRange>;

}  // namespace lunport
