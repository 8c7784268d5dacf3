// When a buffered file's read or write is done at once, on the event loop's thread, instead of handed over.
//
// Data in the page cache is a copy away, and a hand-over costs more than the copy. Reads can ask the kernel
// to refuse rather than block (RWF_NOWAIT). Writes cannot, on most file systems; so each is timed, and one
// that blocked (a journal commit, dirty throttling) sends that file's writes the long way for a while. On a
// busy machine a write may also be slow because the thread was preempted, which says nothing about the file.
// To ask whether the thread really slept costs a system call before the write. So a slow write has that asked
// once per round of the next moments, and only where the thread slept at all since the slow one before it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mapped_file.h"

namespace lunport {

struct Operation;

class InlinePolicy {
 public:
  // Operations that come together follow.
  void new_round() { sleeps_in_round_ = kUnknown; }
  // Tries the operation as far as it goes without blocking. True: it has ended (Operation::result).
  bool try_now(Operation& operation);
  // Reads of this file may be copies from its page cache, until it is forgotten.
  void map(int fd);
  // A read of this range is next.
  void approach(int fd, uint64_t offset, uint64_t length) const {
    if (static_cast<size_t>(fd) >= files_.size()) return;
    const File& file = files_[static_cast<size_t>(fd)];
    if (file.mapped != nullptr) file.mapped->approach(offset, length);
  }
  // The descriptor number will mean another file.
  void forget(int fd);

 private:
  struct File {
    // Reads to do without asking again whether this file system knows RWF_NOWAIT. It is asked now and then,
    // because the number may mean another file by now: not everybody closes files through the addon.
    uint32_t reads_without_nowait = 0;
    // CLOCK_MONOTONIC, ns; so is watched_until_.
    uint64_t slow_until = 0;
    std::unique_ptr<MappedFile> mapped;
  };

  File* file(int fd);
  bool try_read(Operation& operation, File& file);
  bool try_timed(Operation& operation, File& file);
  // A timed operation was slow.
  void judge(File& file, uint64_t end, uint64_t elapsed);

  static constexpr long kUnknown = -1;
  // How often this thread had slept before this round's first watched operation, and after the last slow one.
  long sleeps_in_round_ = kUnknown;
  long sleeps_when_slow_ = kUnknown;
  uint64_t watched_until_ = 0;
  MappedReads mapped_reads_;
  std::vector<File> files_;
};

}  // namespace lunport
