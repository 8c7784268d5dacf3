// System calls on a file whose server may never answer (FUSE, NFS): each on a thread of its own, which waits alone.
// libuv's few threads are no place for them: four such files would stop whatever else needs one, and the end of
// the process waits for them.
#include <fcntl.h>
#include <napi.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <thread>

#include "arguments.h"
#include "engine.h"
#include "environment.h"
#include "exports.h"

namespace lunport {

namespace {

// The numbers are those of `Detached` in src/native/detached.ts.
enum class Call : uint32_t { CLOSE, SYNC, SIZE, GROW, FIND_DATA, FIND_HOLE };
constexpr uint32_t kCalls = 6;

int64_t size_of(int fd) {
  struct stat status;
  return fstat(fd, &status) < 0 ? -int64_t{errno} : int64_t{status.st_size};
}

// The new size is on stable storage.
int64_t grow(int fd, uint64_t size) {
  if (ftruncate(fd, static_cast<off_t>(size)) < 0 || fsync(fd) < 0) return -int64_t{errno};
  return 0;
}

int64_t perform(Call call, int fd, uint64_t value) {
  switch (call) {
    case Call::CLOSE:
      return or_errno(close(fd));
    case Call::SYNC:
      return or_errno(fdatasync(fd));
    case Call::SIZE:
      return size_of(fd);
    case Call::GROW:
      return grow(fd, value);
    case Call::FIND_DATA:
      return or_errno(lseek(fd, static_cast<off_t>(value), SEEK_DATA));
    case Call::FIND_HOLE:
      return or_errno(lseek(fd, static_cast<off_t>(value), SEEK_HOLE));
  }
  return -EINVAL;
}

struct Answer {
  Napi::Promise::Deferred deferred;
  int64_t result = 0;
};

// Without an environment the event loop ends, and nobody waits any more.
void resolve(Napi::Env env, Napi::Function /*unused*/, Answer* answer) {
  if (env != nullptr) answer->deferred.Resolve(number(env, answer->result));
  delete answer;
}

// 0 or -errno. The process's signals are for Node.js's main thread; those that a fault raises stay open.
template <typename Work>
int start_thread(Work work) {
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int fault : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  int error = 0;
  try {
    std::thread thread(work);
    pthread_setname_np(thread.native_handle(), "lunport-file");
    thread.detach();
  } catch (const std::system_error& failure) {
    error = -failure.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

// (call, fd, value): a promise of the result, or -errno.
Napi::Value detached(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uint32_t call;
  uint64_t value;
  if (!index_argument(info, 0, kCalls, call) || !unsigned_argument(info, 2, value)) {
    throw Napi::RangeError::New(env, "expected a call, a descriptor and a value");
  }
  const int fd = descriptor_argument(info, 1);
  if (static_cast<Call>(call) == Call::CLOSE) {
    for (Engine* engine : Environment::of(env).engines) engine->forget_file(fd);
  }
  auto* answer = new Answer{Napi::Promise::Deferred::New(env)};
  const Napi::Promise promise = answer->deferred.Promise();
  auto wake = Napi::ThreadSafeFunction::New(env, Napi::Function(), "lunport-file", 0, 1);
  const int error = start_thread([wake, answer, call, fd, value]() {
    answer->result = perform(static_cast<Call>(call), fd, value);
    // Refused when the environment has gone: then nobody is left to tell.
    if (wake.BlockingCall(answer, resolve) != napi_ok) delete answer;
    wake.Release();
  });
  if (error != 0) {
    wake.Release();
    answer->deferred.Resolve(number(env, error));
    delete answer;
  }
  return promise;
}

}  // namespace

void export_detached(Napi::Object exports) { add<detached>(exports, "detached"); }

}  // namespace lunport
