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

bool apart(const uint8_t* one, const uint8_t* other, size_t length) {
  return one + length <= other || other + length <= one;
}

// Writes of whole pages to a disk that does not fit the caches go past them: so no line of it is read before it is written.
bool goes_past(const Region& disk, const uint8_t* at, const iovec& vector) {
#ifdef __SSE2__
  constexpr size_t kFrom = 4u << 10;
  constexpr uint64_t kDisk = 64u << 20;
  const auto* const from = static_cast<const uint8_t*>(vector.iov_base);
  const bool whole_lines = (reinterpret_cast<uintptr_t>(at) | vector.iov_len) % kCacheLine == 0;
  return vector.iov_len >= kFrom && disk.mapping.length() >= kDisk && whole_lines &&
         apart(at, from, vector.iov_len);
#else
  return false;
#endif
}

// Such stores are not ordered: see settle().
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
#else
  memmove(to, from, length);
#endif
}

typedef uint64_t Half __attribute__((vector_size(kCacheLine / 2), aligned(1), may_alias));

// Copies and fetches in turns, line by line: fetched all at once, the lines hold up the copy.
#if defined(__x86_64__) && defined(__GLIBC__)
[[gnu::target_clones("avx2", "default")]]
#endif
void copy_fetching(uint8_t* to, const uint8_t* from, size_t length, const Ahead& next) {
  const uint8_t* const ahead = next.from;
  const size_t both = std::min<size_t>(length, next.bytes) / kCacheLine * kCacheLine;
  for (size_t i = 0; i < both; i += kCacheLine) {
    __builtin_prefetch(ahead + i);
    const Half* const source = reinterpret_cast<const Half*>(from + i);
    Half* const target = reinterpret_cast<Half*>(to + i);
    const Half first = source[0];
    const Half second = source[1];
    target[0] = first;
    target[1] = second;
  }
  memcpy(to + both, from + both, length - both);
}

void read(const Operation& operation, const uint8_t* at, const Ahead& next) {
  const auto& vectors = operation.vectors;
  if (vectors.size() == 1 && next.bytes > 0 && vectors[0].iov_len <= RamIo::kShort) {
    uint8_t* const to = static_cast<uint8_t*>(vectors[0].iov_base);
    if (apart(to, at, vectors[0].iov_len)) return copy_fetching(to, at, vectors[0].iov_len, next);
  }
  // A long one is only held up by it.
  if (operation.remaining <= RamIo::kShort) approach(next.from, next.bytes);
  copy_out(operation, at);
}

// Returns whether any of it went past the caches.
bool write(const Region& disk, const Operation& operation, uint8_t* at) {
  bool past = false;
  for (const iovec& vector : operation.vectors) {
    if (goes_past(disk, at, vector)) {
      copy_past(at, vector.iov_base, vector.iov_len);
      past = true;
    } else {
      // memmove: nothing keeps a caller from naming the disk itself as a buffer.
      memmove(at, vector.iov_base, vector.iov_len);
    }
    at += vector.iov_len;
  }
  return past;
}

}  // namespace

int32_t RamIo::transfer(Region& disk, const Operation& operation, const Ahead& next) {
  uint8_t* const at = RegionTable::resolve(disk, operation.offset, operation.remaining);
  if (at == nullptr) return -EINVAL;
  if (disk.mapping.broken()) return -EFAULT;
  const uint32_t before = faults();
  if (operation.kind == Kind::RAM_ZERO) {
    disk.mapping.zero(operation.offset, operation.remaining);
  } else if (operation.kind == Kind::RAM_READ) {
    read(operation, at, next);
  } else {
    approach(next.from, next.bytes);
    unordered_ |= write(disk, operation, at);
  }
  // After a fault, what was copied may be zeroes that were never there. The counter is the whole process's:
  // it only says when to look.
  if (faults() != before && (disk.mapping.broken() || touches_broken_region(operation))) return -EFAULT;
  return operation.kind == Kind::RAM_ZERO ? 0 : static_cast<int32_t>(operation.remaining);
}

void RamIo::settle() {
  if (!unordered_) return;
#ifdef __SSE2__
  _mm_sfence();
#endif
  unordered_ = false;
}

Ahead RamIo::ahead(const Region& disk, uint64_t offset, uint64_t length) {
  const uint8_t* const at = RegionTable::resolve(disk, offset, length);
  return at == nullptr ? Ahead{} : Ahead{at, length};
}

}  // namespace lunport
