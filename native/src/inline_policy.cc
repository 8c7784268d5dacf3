#include "inline_policy.h"

#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <time.h>

#include <cerrno>

#include "operation.h"

namespace lunport {

namespace {

constexpr uint64_t kSlow = 2'000'000;  // ns; plus a nanosecond per byte, which any copy beats
// How long a file that blocked goes the long way: so long that, should every trial block, the loop would
// still have nearly all of its time.
constexpr uint64_t kPenalty = 100'000'000;  // ns
constexpr uint64_t kPenaltyFactor = 16;
constexpr uint64_t kWatch = 200'000'000;  // ns
constexpr uint32_t kReadsBetweenQuestions = 64;
constexpr int kMaxDescriptor = 1 << 16;  // files above are never tried: a bound for the table

uint64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(time.tv_nsec);
}

// How often this thread has given up its processor of its own will, to wait for something.
long sleeps() {
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

bool is_memory(int fd) {
  struct statfs system;
  return fstatfs(fd, &system) == 0 && (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

}  // namespace

InlinePolicy::File* InlinePolicy::file(int fd) {
  if (fd < 0 || fd >= kMaxDescriptor) return nullptr;
  if (static_cast<size_t>(fd) >= files_.size()) files_.resize(static_cast<size_t>(fd) + 1);
  return &files_[static_cast<size_t>(fd)];
}

void InlinePolicy::map(int fd) {
  File* const known = file(fd);
  if (known != nullptr) known->mapped = MappedFile::open(fd, mapped_reads_);
}

void InlinePolicy::forget(int fd) {
  if (fd >= 0 && static_cast<size_t>(fd) < files_.size()) files_[static_cast<size_t>(fd)] = {};
}

bool InlinePolicy::try_now(Operation& operation) {
  File* const known = file(operation.fd);
  if (known == nullptr) return false;
  if (operation.kind == Kind::READ_FILE) return try_read(operation, *known);
  if (operation.kind == Kind::WRITE_FILE && (operation.flags & flag::FUA) == 0) {
    return try_timed(operation, *known);
  }
  return false;
}

bool InlinePolicy::try_read(Operation& operation, File& file) {
  if (file.mapped != nullptr && file.mapped->read(operation)) return true;
  if (file.reads_without_nowait > 0) {
    file.reads_without_nowait--;
    return try_timed(operation, file);
  }
  const int64_t outcome = operation.attempt(RWF_NOWAIT);
  if (outcome == -EAGAIN) return false;
  if (outcome == -EOPNOTSUPP) {
    // Reads from memory may go ahead, timed, since only swapping can block them; others never.
    if (!is_memory(operation.fd)) return false;
    file.reads_without_nowait = kReadsBetweenQuestions;
    return try_timed(operation, file);
  }
  // A short count may be the end of the file or of what is cached: whoever takes the rest will see.
  return operation.settle(outcome);
}

bool InlinePolicy::try_timed(Operation& operation, File& file) {
  const uint64_t start = now();
  if (start < file.slow_until) return false;
  const uint64_t length = operation.remaining;
  if (start < watched_until_ && sleeps_in_round_ == kUnknown) sleeps_in_round_ = sleeps();
  while (!operation.settle(operation.attempt(0))) {
  }
  const uint64_t end = now();
  if (end - start > kSlow + length) judge(file, end, end - start);
  return true;
}

void InlinePolicy::judge(File& file, uint64_t end, uint64_t elapsed) {
  const long count = sleeps();
  if (count == sleeps_when_slow_) return;
  if (sleeps_in_round_ != kUnknown && count > sleeps_in_round_) {
    file.slow_until = end + kPenalty + kPenaltyFactor * elapsed;
  }
  sleeps_when_slow_ = count;
  watched_until_ = end + kWatch;
}

}  // namespace lunport
