#include "mapped_area.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "background_thread.h"

namespace lunport {

namespace {

// How long an answer of mincore is believed, ms.
constexpr uint32_t kBelieved = 1000;
// Pages to be read before mincore is asked: so many that the answer pays, and four times all of them where it said
// no a moment ago or had little to offer.
constexpr uint32_t kWorthAsking = 16;
constexpr uint32_t kWorthAskingAgain = 512;

const uint64_t page_size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));

// In small parts, since each keeps others from changing the address space meanwhile: 0.2 ms, and 20 for all.
void unmap(uint8_t* data) {
  for (uint64_t at = 0; at < MappedArea::kLength; at += MappedArea::kWindow) {
    madvise(data + at, MappedArea::kWindow, MADV_DONTNEED);
  }
  munmap(data, MappedArea::kLength);
}

}  // namespace

bool MappedArea::map(int fd) {
  const off_t offset = static_cast<off_t>(index * kLength);
  void* const mapped = mmap(nullptr, kLength, PROT_READ, MAP_SHARED, fd, offset);
  if (mapped == MAP_FAILED) return false;
  guard = fault_guard::watch(mapped, kLength);
  if (guard == fault_guard::kNone) {
    munmap(mapped, kLength);
    return false;
  }
  madvise(mapped, kLength, MADV_DONTDUMP);
  data = static_cast<uint8_t*>(mapped);
  return true;
}

MappedArea::~MappedArea() {
  if (data == nullptr) return;
  fault_guard::unwatch(guard);
  uint8_t* const mapped = data;
  if (start_detached("lunport-unmap", [mapped] { unmap(mapped); }) != 0) unmap(mapped);
}

bool MappedArea::resident(uint64_t start, uint64_t end, uint32_t now) {
  while (start < end) {
    const size_t number = static_cast<size_t>(start / kWindow);
    const uint64_t base = number * kWindow;
    const uint64_t part_end = std::min(end, base + kWindow);
    const size_t first = static_cast<size_t>((start - base) / page_size);
    const size_t last = static_cast<size_t>((part_end - 1 - base) / page_size);
    Window& window = windows_[number];
    window.wanted += static_cast<uint32_t>(last - first + 1);
    const bool believed = window.asked && now - window.asked_at < kBelieved;
    if (!believed || !window.has(first, last + 1)) {
      if (!window.worth_asking(believed)) return false;
      window.ask(data + base, now);
      if (!window.has(first, last + 1)) return false;
    }
    start = part_end;
  }
  return true;
}

bool MappedArea::Window::has(size_t first, size_t end) const {
  for (size_t page = first; page < end; page++) {
    if ((pages[page / 64] >> (page % 64) & 1) == 0) return false;
  }
  return true;
}

bool MappedArea::Window::worth_asking(bool believed) const {
  return wanted >= (believed || sparse ? kWorthAskingAgain : kWorthAsking);
}

void MappedArea::Window::ask(uint8_t* start, uint32_t now) {
  unsigned char answer[kMaxPages];
  const size_t count = kWindow / page_size;
  if (mincore(start, kWindow, answer) != 0) std::fill_n(answer, count, 0);
  std::fill(std::begin(pages), std::end(pages), 0);
  size_t found = 0;
  for (size_t page = 0; page < count; page++) {
    const uint64_t bit = answer[page] & 1u;
    pages[page / 64] |= bit << (page % 64);
    found += bit;
  }
  sparse = found * 4 < count;
  wanted = 0;
  asked = true;
  asked_at = now;
}

}  // namespace lunport
