// eventfd, memfd, close, seek: descriptors of the operating system that JavaScript cannot make or use.
#include "descriptors.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "arguments.h"
#include "engine.h"
#include "environment.h"
#include "exports.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3; newer than many build machines' headers
#endif

namespace lunport {

namespace {
// For eventfds before Linux 5.8, and for what is no eventfd.
ssize_t read_if_ready(int fd, void* into, size_t length) {
  pollfd ready = {fd, POLLIN, 0};
  if (poll(&ready, 1, 0) == 1) return read(fd, into, length);
  errno = EAGAIN;
  return -1;
}
}  // namespace

int drain_eventfd(int fd) {
  uint64_t count;
  iovec vector = {&count, sizeof count};
  ssize_t n;
  do {
    n = preadv2(fd, &vector, 1, -1, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP) n = read_if_ready(fd, &count, sizeof count);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof count) return 1;
  if (n >= 0) return -EINVAL;  // an end of file, or no eventfd at all
  return errno == EAGAIN ? 0 : -errno;
}

bool is_eventfd(int fd) {
  char link[64];
  char target[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, target, sizeof target);
  constexpr char kName[] = "anon_inode:[eventfd]";
  return length == sizeof kName - 1 && memcmp(target, kName, sizeof kName - 1) == 0;
}

namespace {

Napi::Value close_fd(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  for (Engine* engine : Environment::of(info.Env()).engines) engine->forget_file(fd);
  return number(info.Env(), or_errno(::close(fd)));
}

Napi::Value eventfd_open(const Napi::CallbackInfo& info) {
  return number(info.Env(), or_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

Napi::Value signal(const Napi::CallbackInfo& info) {
  std::optional<WatchedWriter>& writer = Environment::of(info.Env()).writer;
  if (!writer) writer.emplace();
  return number(info.Env(), writer->signal(descriptor_argument(info, 0)));
}

Napi::Value drain(const Napi::CallbackInfo& info) {
  return number(info.Env(), drain_eventfd(descriptor_argument(info, 0)));
}

Napi::Value is_eventfd_argument(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), is_eventfd(descriptor_argument(info, 0)));
}

Napi::Value set_nonblocking(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  const int flags = fcntl(fd, F_GETFL);
  return number(info.Env(), or_errno(flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK)));
}

int sized_memfd(const char* name, uint64_t length, bool sealed) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  const bool sized = ftruncate(fd, static_cast<off_t>(length)) == 0;
  if (sized && (!sealed || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)) return fd;
  const int error = errno;
  ::close(fd);
  return -error;
}

// Only the kernel's own memory can be sealed.
Napi::Value is_shared_memory(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), fcntl(descriptor_argument(info, 0), F_GET_SEALS) >= 0);
}

Napi::Value memfd(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>();
  uint64_t length;
  if (!unsigned_argument(info, 1, length)) return number(info.Env(), -EINVAL);
  return number(info.Env(), sized_memfd(name.c_str(), length, info[2].ToBoolean()));
}

Napi::Value seek_extent(const Napi::CallbackInfo& info) {
  uint64_t from;
  uint32_t whence;
  if (!unsigned_argument(info, 1, from) || !index_argument(info, 2, 2, whence)) {
    return number(info.Env(), -EINVAL);
  }
  const int fd = descriptor_argument(info, 0);
  const off_t found = lseek(fd, static_cast<off_t>(from), whence == 0 ? SEEK_DATA : SEEK_HOLE);
  return number(info.Env(), or_errno(found));
}

Napi::Value punch_hole(const Napi::CallbackInfo& info) {
  uint64_t offset;
  uint64_t length;
  if (!unsigned_argument(info, 1, offset) || !unsigned_argument(info, 2, length)) {
    return number(info.Env(), -EINVAL);
  }
  return number(info.Env(), or_errno(fallocate(descriptor_argument(info, 0),
                                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                               static_cast<off_t>(offset), static_cast<off_t>(length))));
}

}  // namespace

void export_descriptors(Napi::Object exports) {
  add<close_fd>(exports, "close");
  add<eventfd_open>(exports, "eventfd");
  add<signal>(exports, "signal");
  add<drain>(exports, "drain");
  add<is_eventfd_argument>(exports, "isEventfd");
  add<is_shared_memory>(exports, "isSharedMemory");
  add<set_nonblocking>(exports, "setNonblocking");
  add<memfd>(exports, "memfd");
  add<punch_hole>(exports, "punchHole");
  add<seek_extent>(exports, "seekExtent");
}

}  // namespace lunport
