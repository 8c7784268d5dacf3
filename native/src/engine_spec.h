// The numbers that the io engine's tables hold. src/native/engine-spec.ts says the same; the addon exports
// these as `engineSpec`, and test/native/engine-spec.test.ts compares the two.
#pragma once

// Kind, column 0 of a submission.
//   CANCELLED    does nothing, completes with -ECANCELED: a row withdrawn before its submission
//   READ_FILE    result: bytes read, short only at the end of the file
//   WRITE_FILE   result: bytes written, always all
//   FSYNC        fdatasync
//   PUNCH_HOLE   the range reads as zeroes, its space is given back; files and block devices
//   ZERO_RANGE   the range reads as zeroes and stays allocated
//   PREALLOCATE  space for the range, contents and file size unchanged
//   PREFETCH     starts reading the range into the page cache
//   RAM_READ     copies from region `file` into the vectors; always at once
//   RAM_WRITE    copies from the vectors into region `file`; always at once
//   RAM_ZERO     zeroes a range of region `file`, gives whole pages back; always at once
// A result that is not a count of bytes is 0.
#define LUNPORT_KINDS(X) \
  X(CANCELLED, 0)        \
  X(READ_FILE, 1)        \
  X(WRITE_FILE, 2)       \
  X(FSYNC, 3)            \
  X(PUNCH_HOLE, 4)       \
  X(ZERO_RANGE, 5)       \
  X(PREALLOCATE, 6)      \
  X(PREFETCH, 7)         \
  X(RAM_READ, 8)         \
  X(RAM_WRITE, 9)        \
  X(RAM_ZERO, 10)

// Flags, column 3 of a submission.
//   FUA     WRITE_FILE completes only when its data is on stable storage
//   DIRECT  the descriptor is O_DIRECT: never tried at once, it would block
//   INLINE  a buffered file: may be done at once when it is not expected to block
//   WORKER  whoever asks may hang, in the submission too (FUSE, once its server is slow): only a worker may ask
#define LUNPORT_FLAGS(X) \
  X(FUA, 1)              \
  X(DIRECT, 2)           \
  X(INLINE, 4)           \
  X(WORKER, 8)

namespace lunport {

enum class Kind : unsigned char {
#define LUNPORT_VALUE(name, value) name = value,
  LUNPORT_KINDS(LUNPORT_VALUE)
#undef LUNPORT_VALUE
};
inline constexpr unsigned kLastKind = 10;

namespace flag {
#define LUNPORT_VALUE(name, value) inline constexpr unsigned name = value;
LUNPORT_FLAGS(LUNPORT_VALUE)
#undef LUNPORT_VALUE
inline constexpr unsigned ALL = 15;
}  // namespace flag

// submissions: kind, slot, file, flags, offset, length, first vector, number of vectors
inline constexpr unsigned kSubmissionColumns = 8;
// vectors: region, offset, length
inline constexpr unsigned kVectorColumns = 3;
// completions: slot, result
inline constexpr unsigned kCompletionColumns = 2;

}  // namespace lunport
