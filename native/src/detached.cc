// System calls on a file whose server may never answer (FUSE, NFS): each on a thread of its own, which waits alone.
// libuv's few threads are no place for them: four such files would stop whatever else needs one, and the end of
// the process waits for them.
#include <fcntl.h>
#include <napi.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "arguments.h"
#include "background_thread.h"
#include "call_back.h"
#include "engine.h"
#include "environment.h"
#include "exports.h"
#include "loop_poll.h"

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

// What the thread and the event loop share; either may outlive the other.
struct Shared {
  explicit Shared(int event) : event(event) {}
  ~Shared() { close(event); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

  const int event;  // eventfd: the result is there
  std::atomic<int64_t> result{0};
};

// A promise until its thread has answered or its environment ends. Not a thread-safe function: Node.js 20 frees those
// with the environment, whatever threads still hold them.
class Waiting {
 public:
  explicit Waiting(napi_env env) : env_(env) {
    napi_create_promise(env, &deferred_, &promise_);
    napi_add_env_cleanup_hook(env, forget, this);
  }
  ~Waiting() {
    napi_remove_env_cleanup_hook(env_, forget, this);
    if (poll_ != nullptr) poll_->close();
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  // To be asked where it was made.
  Napi::Value promise() const { return {env_, promise_}; }

  // Returns 0 or -errno.
  int listen(std::shared_ptr<Shared> shared) {
    int error;
    poll_ = LoopPoll::open(Environment::of(env_), shared->event, UV_READABLE, on_event, this, error);
    shared_ = std::move(shared);
    return error;
  }

  void resolve(int64_t result) const { napi_resolve_deferred(env_, deferred_, number(env_, result)); }

 private:
  static void forget(void* self) { delete static_cast<Waiting*>(self); }

  static void on_event(void* context, int /*events*/) {
    auto* const self = static_cast<Waiting*>(context);
    const napi_env env = self->env_;
    const napi_deferred deferred = self->deferred_;
    const int64_t result = self->shared_->result.load(std::memory_order_acquire);
    // Before JavaScript runs, which may end the environment.
    delete self;
    resolve_back(env, deferred, static_cast<double>(result));
  }

  const napi_env env_;
  napi_deferred deferred_ = nullptr;
  napi_value promise_ = nullptr;
  std::shared_ptr<Shared> shared_;
  LoopPoll* poll_ = nullptr;
};

// Returns 0 or -errno.
int start(Waiting& waiting, const std::function<int64_t()>& work) {
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) return -errno;
  const auto shared = std::make_shared<Shared>(event);
  const int error = waiting.listen(shared);
  if (error != 0) return error;
  return start_detached("lunport-file", [shared, work]() {
    shared->result.store(work(), std::memory_order_release);
    eventfd_write(shared->event, 1);
  });
}

// A promise of what `work` returns, or of -errno when there is no thread for it. `in_any_case`: then it is done here.
Napi::Value promise_of(Napi::Env env, const std::function<int64_t()>& work, bool in_any_case = false) {
  auto waiting = std::make_unique<Waiting>(env);
  const Napi::Value promise = waiting->promise();
  const int error = start(*waiting, work);
  if (error != 0) {
    waiting->resolve(in_any_case ? work() : error);
  } else {
    waiting.release();  // it ends itself
  }
  return promise;
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
  // Whoever closes has nothing to try again with, and the file's locks would stay.
  const bool closes = static_cast<Call>(call) == Call::CLOSE;
  if (closes) {
    for (Engine* engine : Environment::of(env).engines) engine->forget_file(fd);
  }
  return promise_of(env, [call, fd, value]() { return perform(static_cast<Call>(call), fd, value); }, closes);
}

// (path): a promise of 0 or -errno, as soon as the file system that it leads to has been asked and has answered.
Napi::Value reach(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  return promise_of(info.Env(), [path]() {
    struct statfs status;
    return or_errno(statfs(path.c_str(), &status));
  });
}

}  // namespace

void export_detached(Napi::Object exports) {
  add<detached>(exports, "detached");
  add<reach>(exports, "reach");
}

}  // namespace lunport
