#include "ram_io.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "vector_copy.h"

namespace lunport {

namespace {

uint32_t faults() { return fault_guard::fault_counter().load(std::memory_order_relaxed); }

// Long writes to a disk that does not fit the caches go past them: so no line of it is read before it is written.
bool goes_past(const Region& disk, const uint8_t* at, const iovec& vector) {
#ifdef __SSE2__
  constexpr size_t kFrom = 64u << 10;
  constexpr uint64_t kDisk = 64u << 20;
  const auto* const from = static_cast<const uint8_t*>(vector.iov_base);
  const bool apart = from + vector.iov_len <= at || at + vector.iov_len <= from;
  const bool whole_lines = (reinterpret_cast<uintptr_t>(at) | vector.iov_len) % kCacheLine == 0;
  return vector.iov_len >= kFrom && disk.mapping.length() >= kDisk && whole_lines && apart;
#else
  return false;
#endif
}

void copy_past(uint8_t* to, const void* from, size_t length) {
#ifdef __SSE2__
  const __m128i* source = static_cast<const __m128i*>(from);
  __m128i* const end = reinterpret_cast<__m128i*>(to + length);
  for (__m128i* target = reinterpret_cast<__m128i*>(to); target != end; target += 4, source += 4) {
    const __m128i first = _mm_loadu_si128(source);
    const __m128i second = _mm_loadu_si128(source + 1);
    const __m128i third = _mm_loadu_si128(source + 2);
    const __m128i fourth = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, first);
    _mm_stream_si128(target + 1, second);
    _mm_stream_si128(target + 2, third);
    _mm_stream_si128(target + 3, fourth);
  }
  // Such stores are not ordered: they come before whatever tells that the write is done.
  _mm_sfence();
#else
  memmove(to, from, length);
#endif
}

void copy(const Region& disk, const Operation& operation, uint8_t* at) {
  for (const iovec& vector : operation.vectors) {
    // memmove: nothing keeps a caller from naming the disk itself as a buffer.
    if (operation.kind == Kind::RAM_READ) {
      memmove(vector.iov_base, at, vector.iov_len);
    } else if (goes_past(disk, at, vector)) {
      copy_past(at, vector.iov_base, vector.iov_len);
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
  if (disk.mapping.broken()) return -EFAULT;
  const uint32_t before = faults();
  if (operation.kind == Kind::RAM_ZERO) {
    disk.mapping.zero(operation.offset, operation.remaining);
  } else {
    copy(disk, operation, at);
  }
  // After a fault, what was copied may be zeroes that were never there. The counter is the whole process's:
  // it only says when to look.
  if (faults() != before && (disk.mapping.broken() || touches_broken_region(operation))) return -EFAULT;
  return operation.kind == Kind::RAM_ZERO ? 0 : static_cast<int32_t>(operation.remaining);
}

void ram_approach(const Region& disk, uint64_t offset, uint64_t length) {
  const uint64_t bytes = std::min(length, kApproach);
  const uint8_t* const at = RegionTable::resolve(disk, offset, bytes);
  if (at != nullptr) approach(at, bytes);
}

}  // namespace lunport
