#include "address_range.h"

#include <sys/mman.h>

namespace lunport {

AddressRange::~AddressRange() { munmap(start_, length_); }

void AddressRange::vacate() {
  constexpr int protection = PROT_READ | PROT_WRITE;
  constexpr int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  // It replaces one whole mapping, so it needs no more of the kernel's than was there. Should it fail all the same,
  // the old memory stays until the last view has gone: nobody is left to use it, and nobody loses it.
  mmap(start_, length_, protection, flags, -1, 0);
}

}  // namespace lunport
