#include "operation.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <cerrno>

namespace lunport {

namespace {
// More lists than this are rare, and a slot remembers having seen one.
constexpr size_t kReservedVectors = 32;
constexpr size_t kReservedRegions = 4;
// A file that says EAGAIN for ever is none that we can serve.
constexpr uint16_t kMaxRefusals = 1000;

int64_t outcome_of(int64_t result) { return result < 0 ? -int64_t{errno} : result; }
}  // namespace

Operation::Operation() {
  vectors.reserve(kReservedVectors);
  regions.reserve(kReservedRegions);
}

bool Operation::settle(int64_t outcome) {
  if (outcome == -EINTR || outcome == -EAGAIN) {
    const bool gave_up = ++refusals > kMaxRefusals;
    result = cancelled ? -ECANCELED : static_cast<int32_t>(outcome);
    return gave_up || cancelled;
  }
  refusals = 0;
  if (outcome < 0 || !moves_data()) {
    result = static_cast<int32_t>(outcome < 0 ? outcome : 0);
    return true;
  }
  advance(static_cast<uint64_t>(outcome));
  if (remaining == 0 || outcome == 0) {
    // A read of nothing is the end of the file; a write of nothing has no excuse.
    result = remaining > 0 && kind == Kind::WRITE_FILE ? -EIO : moved;
    return true;
  }
  result = -ECANCELED;
  return cancelled;
}

void Operation::advance(uint64_t bytes) {
  moved += static_cast<int32_t>(bytes);
  offset += bytes;
  remaining -= bytes;
  while (bytes > 0) {
    iovec& vector = vectors[first];
    if (bytes < vector.iov_len) {
      vector.iov_base = static_cast<uint8_t*>(vector.iov_base) + bytes;
      vector.iov_len -= bytes;
      return;
    }
    bytes -= vector.iov_len;
    first++;
  }
}

int64_t Operation::attempt(int extra) const {
  const off_t at = static_cast<off_t>(offset);
  const off_t length = static_cast<off_t>(remaining);
  const int count = static_cast<int>(next_vector_count());
  switch (kind) {
    case Kind::READ_FILE:
      return outcome_of(preadv2(fd, next_vectors(), count, at, extra));
    case Kind::WRITE_FILE:
      if (count == 1 && (extra | write_flags()) == 0) {  // a tenth less for 4 KiB than with a list
        return outcome_of(pwrite(fd, next_vectors()->iov_base, next_vectors()->iov_len, at));
      }
      return outcome_of(pwritev2(fd, next_vectors(), count, at, extra | write_flags()));
    case Kind::FSYNC:
      return outcome_of(fdatasync(fd));
    case Kind::PUNCH_HOLE:
    case Kind::ZERO_RANGE:
    case Kind::PREALLOCATE:
      return outcome_of(fallocate(fd, fallocate_mode(), at, length));
    case Kind::PREFETCH:
      return -posix_fadvise(fd, at, length, POSIX_FADV_WILLNEED);
    default:
      return -EINVAL;
  }
}

int Operation::fallocate_mode() const {
  switch (kind) {
    case Kind::PUNCH_HOLE:
      return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    case Kind::ZERO_RANGE:
      return FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    default:
      return FALLOC_FL_KEEP_SIZE;
  }
}

}  // namespace lunport
