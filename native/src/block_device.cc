// What the kernel says about a block device, and about direct I/O to a file.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdio>

#include "arguments.h"
#include "exports.h"

namespace lunport {

namespace {

// A partition shares the queue of its disk, whose folder is the one above.
double discard_granularity(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return 0;
  for (const char* parent : {"", "../"}) {
    char path[96];
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%squeue/discard_granularity", major(status.st_rdev),
             minor(status.st_rdev), parent);
    FILE* const file = fopen(path, "re");
    if (file == nullptr) continue;
    double granularity = 0;
    const bool found = fscanf(file, "%lf", &granularity) == 1;
    fclose(file);
    if (found) return granularity;
  }
  return 0;
}

Napi::Value block_device(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  uint64_t size = 0;
  int logical = 0;
  unsigned physical = 0;
  unsigned short rotational = 0;
  int read_only = 0;
  if (ioctl(fd, BLKGETSIZE64, &size) != 0 || ioctl(fd, BLKSSZGET, &logical) != 0 ||
      ioctl(fd, BLKPBSZGET, &physical) != 0 || ioctl(fd, BLKROTATIONAL, &rotational) != 0 ||
      ioctl(fd, BLKROGET, &read_only) != 0) {
    return number(info.Env(), -errno);
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("size", static_cast<double>(size));
  result.Set("logicalBlockSize", logical);
  result.Set("physicalBlockSize", physical);
  result.Set("rotational", rotational != 0);
  result.Set("readOnly", read_only != 0);
  result.Set("discardGranularity", discard_granularity(fd));
  return result;
}

struct Alignment {
  uint32_t memory = 0;
  uint32_t offset = 0;
};

// Linux 6.1 can say; before it, a block device needs whole blocks, and a file at most whole pages.
int direct_alignment(int fd, Alignment& out) {
  struct statx status;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_DIOALIGN, &status) != 0) return -errno;
  if ((status.stx_mask & STATX_DIOALIGN) != 0) {
    out = {status.stx_dio_mem_align, status.stx_dio_offset_align};
    return out.offset == 0 ? -EOPNOTSUPP : 0;
  }
  int logical = 4096;
  if (S_ISBLK(status.stx_mode) && ioctl(fd, BLKSSZGET, &logical) != 0) return -errno;
  out = {static_cast<uint32_t>(logical), static_cast<uint32_t>(logical)};
  return 0;
}

Napi::Value direct_alignment_of(const Napi::CallbackInfo& info) {
  Alignment alignment;
  const int error = direct_alignment(descriptor_argument(info, 0), alignment);
  if (error != 0) return number(info.Env(), error);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("memory", alignment.memory);
  result.Set("offset", alignment.offset);
  return result;
}

}  // namespace

void export_block_device(Napi::Object exports) {
  add<block_device>(exports, "blockDevice");
  add<direct_alignment_of>(exports, "directAlignment");
}

}  // namespace lunport
