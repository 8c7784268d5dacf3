#include "mapped_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "operation.h"
#include "vector_copy.h"

namespace lunport {

namespace {

// In the whole process: 16 GiB, with page tables of 32 MiB.
constexpr int kMaxAreas = 64;
// What lies behind is read the usual way: a bound for the list of areas.
constexpr uint64_t kMaxFile = uint64_t{16} << 40;
// An area that was not read for so long makes room for another, ms.
constexpr uint32_t kUnused = 5000;
// Pages read of an area before it is mapped.
constexpr uint32_t kWorthMapping = 64;
// After a fault that waited for the disk, ms; twice as long after each that comes soon after the last rest.
constexpr uint32_t kRest = 1000;
constexpr uint32_t kLongestRest = 32000;

std::atomic<int> areas_mapped{0};

const uint64_t page_size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));

uint32_t milliseconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);  // a quarter of the precise one's cost, and right to 4 ms
  return static_cast<uint32_t>(time.tv_sec * 1000 + time.tv_nsec / 1'000'000);
}

}  // namespace

void MappedReads::happened(uint32_t now) {
  // So often as the clock moves: 250 times per second, and at once after a fault that took longer than that.
  if (now == looked_at_) return;
  looked_at_ = now;
  rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  const bool waited = slow_faults_ >= 0 && usage.ru_majflt > slow_faults_;
  slow_faults_ = waited ? -1 : usage.ru_majflt;  // what others wait for during the rest says nothing
  if (!waited) return;
  const bool again = now - resting_since_ < 2 * rest_;
  rest_ = again ? std::min(2 * rest_, kLongestRest) : kRest;
  resting_since_ = now;
}

bool MappedReads::admit(MappedArea& area, uint32_t now) {
  if (areas_mapped.fetch_add(1, std::memory_order_relaxed) >= kMaxAreas && !make_room(now)) {
    areas_mapped.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  areas_.push_back(&area);
  return true;
}

// Only among this engine's own: another thread's may be in use.
bool MappedReads::make_room(uint32_t now) {
  const auto age = [now](const MappedArea* area) { return now - area->used_at; };
  const auto oldest = std::max_element(areas_.begin(), areas_.end(), [&age](const auto* a, const auto* b) {
    return age(a) < age(b);
  });
  if (oldest == areas_.end() || age(*oldest) < kUnused) return false;
  (*oldest)->file.drop((*oldest)->index);
  return true;
}

void MappedReads::remove(MappedArea& area) {
  areas_mapped.fetch_sub(1, std::memory_order_relaxed);
  std::erase(areas_, &area);
}

std::unique_ptr<MappedFile> MappedFile::open(int fd, MappedReads& reads) {
  struct stat status;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fstat(fd, &status) != 0) return nullptr;
  if (page_size < MappedArea::kSmallestPage || page_size > MappedArea::kWindow) return nullptr;
  const bool is_device = S_ISBLK(status.st_mode);
  if ((!S_ISREG(status.st_mode) && !is_device) || (flags & O_DIRECT) != 0) return nullptr;
  // Of a file that one may neither write nor owns, mincore says that all of it is resident.
  if ((flags & O_ACCMODE) != O_RDWR && status.st_uid != geteuid()) return nullptr;
  return std::unique_ptr<MappedFile>(new MappedFile(fd, is_device, reads));
}

MappedFile::~MappedFile() {
  for (size_t index = 0; index < areas_.size(); index++) drop(index);
}

bool MappedFile::read(Operation& operation) {
  const uint32_t now = milliseconds();
  if (!reads_.allowed(now)) return false;
  MappedArea* const area = area_of(operation.offset, operation.remaining, now);
  if (area == nullptr) return false;
  const uint64_t start = operation.offset % MappedArea::kLength;
  if (!area->resident(start, start + operation.remaining, now)) return false;
  area->used_at = now;
  const uint8_t* const from = area->data + start;
  const uint32_t before = fault_guard::fault_counter().load(std::memory_order_relaxed);
  copy_out(operation, from);
  const bool cut = was_cut(operation, from);
  reads_.happened(now);
  // Both the copy and the look for a cut may fault. The counter is the whole process's: it only says when to look.
  if (fault_guard::fault_counter().load(std::memory_order_relaxed) != before) {
    if (fault_guard::broken(area->guard)) {
      drop(area->index);
      return false;
    }
    if (touches_broken_region(operation)) {
      operation.result = -EFAULT;
      return true;
    }
  }
  if (cut) return false;
  operation.result = static_cast<int32_t>(operation.remaining);
  return true;
}

void MappedFile::approach(uint64_t offset, uint64_t length) const {
  const uint64_t index = offset / MappedArea::kLength;
  if (index >= areas_.size() || areas_[index] == nullptr) return;
  const uint64_t start = offset % MappedArea::kLength;
  lunport::approach(areas_[index]->data + start, std::min(length, MappedArea::kLength - start));
}

MappedArea* MappedFile::area_of(uint64_t offset, uint64_t length, uint32_t now) {
  const uint64_t last = offset + length - 1;
  const size_t index = static_cast<size_t>(offset / MappedArea::kLength);
  if (last >= kMaxFile || last / MappedArea::kLength != index) return nullptr;
  if (index >= areas_.size()) {
    areas_.resize(index + 1);
    wanted_.resize(index + 1);
  }
  if (areas_[index] != nullptr) return areas_[index].get();
  wanted_[index] += static_cast<uint32_t>(length / page_size) + 1;
  if (wanted_[index] < kWorthMapping) return nullptr;
  wanted_[index] = 0;
  return map(index, now) ? areas_[index].get() : nullptr;
}

bool MappedFile::map(size_t index, uint32_t now) {
  auto area = std::make_unique<MappedArea>(*this, index);
  area->used_at = now;
  if (!reads_.admit(*area, now)) return false;
  if (!area->map(fd_)) {
    reads_.remove(*area);
    return false;
  }
  areas_[index] = std::move(area);
  return true;
}

void MappedFile::drop(size_t index) {
  if (areas_[index] == nullptr) return;
  reads_.remove(*areas_[index]);
  areas_[index].reset();
}

// Whether the file may end before the end of what was copied from `from`. Pages behind its end cannot be touched,
// but what its last page has behind it reads as zeroes.
bool MappedFile::was_cut(const Operation& operation, const uint8_t* from) const {
  if (is_device_) return false;
  const uint8_t* const end = from + operation.remaining;
  const uint64_t in_page = operation.offset % page_size;
  const uint8_t* last = from + (page_size - in_page) - 1;
  while (last < end && *last != 0) last += page_size;
  if (last >= end && end[-1] != 0) return false;
  struct stat status;
  return fstat(fd_, &status) != 0 ||
         static_cast<uint64_t>(status.st_size) < operation.offset + operation.remaining;
}

}  // namespace lunport
