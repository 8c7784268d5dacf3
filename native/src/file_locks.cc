// Open file description locks: they belong to the open file, not to the process, and end with its last close.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "arguments.h"
#include "exports.h"

namespace lunport {

namespace {

constexpr short kTypes[] = {F_RDLCK, F_WRLCK, F_UNLCK};

// Reads (fd, type, start, length) and calls fcntl; returns 0 or a negative errno.
int lock_call(const Napi::CallbackInfo& info, int command, struct flock& lock) {
  uint32_t type;
  uint64_t start;
  uint64_t length;
  if (!index_argument(info, 1, 3, type) || !unsigned_argument(info, 2, start) ||
      !unsigned_argument(info, 3, length)) {
    return -EINVAL;
  }
  lock = {};
  lock.l_type = kTypes[type];
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(start);
  lock.l_len = static_cast<off_t>(length);
  int result;
  do {
    result = fcntl(descriptor_argument(info, 0), command, &lock);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : -errno;
}

Napi::Value lock_range(const Napi::CallbackInfo& info) {
  struct flock lock;
  return number(info.Env(), lock_call(info, F_OFD_SETLK, lock));
}

Napi::Value test_lock(const Napi::CallbackInfo& info) {
  struct flock lock;
  const int error = lock_call(info, F_OFD_GETLK, lock);
  return number(info.Env(), error != 0 ? error : lock.l_type != F_UNLCK);
}

}  // namespace

void export_file_locks(Napi::Object exports) {
  add<lock_range>(exports, "lockRange");
  add<test_lock>(exports, "testLock");
}

}  // namespace lunport
