#include "mapping.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace lunport {

namespace {

constexpr size_t kHugePage = 2u << 20;
// Below this, clearing memory is quicker than giving pages back and faulting them in again.
constexpr uint64_t kGiveBack = 64u << 10;

// Checks that [offset, end) lies in the file, so that an honest mistake is an errno and not a SIGBUS.
// `page` becomes the unit in which this file can be mapped: hugetlbfs knows only its own.
int check_file(int fd, uint64_t end, size_t& page) {
  struct stat status;
  if (fstat(fd, &status) != 0) return -errno;
  // A device could do anything on access, and has no size to check.
  if (!S_ISREG(status.st_mode)) return -ENODEV;
  if (static_cast<uint64_t>(status.st_size) < end) return -EINVAL;
  struct statfs system;
  if (fstatfs(fd, &system) != 0) return -errno;
  if (system.f_type == HUGETLBFS_MAGIC) page = static_cast<size_t>(system.f_bsize);
  return 0;
}

// Anonymous memory that starts on a huge page's boundary, or its first huge page stays small ones.
void* map_anonymous(size_t length, bool huge_pages) {
  constexpr int protection = PROT_READ | PROT_WRITE;
  constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (!huge_pages) return mmap(nullptr, length, protection, flags, -1, 0);
  void* const reserved = mmap(nullptr, length + kHugePage, protection, flags, -1, 0);
  if (reserved == MAP_FAILED) return reserved;
  const uintptr_t start = reinterpret_cast<uintptr_t>(reserved);
  const uintptr_t aligned = (start + kHugePage - 1) & ~(kHugePage - 1);
  if (aligned > start) munmap(reserved, aligned - start);
  if (aligned < start + kHugePage) {
    munmap(reinterpret_cast<void*>(aligned + length), start + kHugePage - aligned);
  }
  return reinterpret_cast<void*>(aligned);
}

}  // namespace

int Mapping::open(int fd, uint64_t offset, uint64_t length, bool huge_pages) {
  if (length == 0 || offset > UINT64_MAX - length) return -EINVAL;
  page_size_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  anonymous_ = fd == kAnonymous;
  if (!anonymous_) {
    const int error = check_file(fd, offset + length, page_size_);
    if (error != 0) return error;
  }
  const uint64_t before = anonymous_ ? 0 : offset % page_size_;
  const size_t pages_length = (before + length + page_size_ - 1) / page_size_ * page_size_;
  void* const pages = anonymous_ ? map_anonymous(pages_length, huge_pages)
                                 : mmap(nullptr, pages_length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                                        static_cast<off_t>(offset - before));
  if (pages == MAP_FAILED) return -errno;
  SharedRange range = std::make_shared<AddressRange>(pages, pages_length);
  // A guest's memory in a core dump helps nobody and may be a secret. Both are wishes, not needs.
  madvise(pages, pages_length, MADV_DONTDUMP);
  if (huge_pages) madvise(pages, pages_length, MADV_HUGEPAGE);
  if (!anonymous_) {
    guard_ = fault_guard::watch(pages, pages_length);
    if (guard_ == fault_guard::kNone) return -ENFILE;
  }
  range_ = std::move(range);
  data_ = static_cast<uint8_t*>(pages) + before;
  length_ = length;
  return 0;
}

int Mapping::open_read_only(int fd, uint64_t length) {
  if (length == 0) return -EINVAL;
  page_size_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t pages_length = (length + page_size_ - 1) / page_size_ * page_size_;
  void* const pages = mmap(nullptr, pages_length, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (pages == MAP_FAILED) return -errno;
  range_ = std::make_shared<AddressRange>(pages, pages_length);
  data_ = static_cast<uint8_t*>(pages);
  length_ = length;
  return 0;
}

void Mapping::close() {
  if (data_ == nullptr) return;
  fault_guard::unwatch(guard_);
  // Alone it unmaps at once.
  if (range_.use_count() > 1) range_->vacate();
  range_.reset();
  guard_ = fault_guard::kNone;
  data_ = nullptr;
  length_ = 0;
}

void Mapping::zero(uint64_t offset, uint64_t length) {
  uint8_t* const start = data_ + offset;
  uint8_t* const end = start + length;
  if (length >= kGiveBack) {
    const uintptr_t mask = page_size_ - 1;
    uint8_t* const first = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(start) + mask) & ~mask);
    uint8_t* const last = reinterpret_cast<uint8_t*>(reinterpret_cast<uintptr_t>(end) & ~mask);
    // MADV_REMOVE punches a hole into the file below the mapping; anonymous memory just forgets.
    const int advice = anonymous_ ? MADV_DONTNEED : MADV_REMOVE;
    if (first < last && madvise(first, static_cast<size_t>(last - first), advice) == 0) {
      memset(start, 0, static_cast<size_t>(first - start));
      memset(last, 0, static_cast<size_t>(end - last));
      return;
    }
  }
  memset(start, 0, length);
}

}  // namespace lunport
