// poll and pollEventfd: libuv poll handles as JavaScript objects.
#include <cerrno>

#include "arguments.h"
#include "call_back.h"
#include "descriptors.h"
#include "environment.h"
#include "exports.h"
#include "loop_poll.h"

namespace lunport {

namespace {

constexpr int kNoEventfd = -1;

class PollObject : public Napi::ObjectWrap<PollObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Poll",
                       {
                           InstanceMethod<&PollObject::stop>("stop"),
                           InstanceMethod<&PollObject::unref>("unref"),
                           InstanceMethod<&PollObject::events>("events"),
                       });
  }

  explicit PollObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PollObject>(info) {}

  // Returns 0 or a negative errno. `eventfd` is emptied before each call.
  int start(int fd, int events, Napi::Function callback, int eventfd) {
    int error;
    eventfd_ = eventfd;
    poll_ = LoopPoll::open(Environment::of(Env()), fd, events, on_event, this, error);
    if (poll_ == nullptr) return error;
    callback_ = Napi::Persistent(callback);
    Ref();  // lives until stop(), even if JavaScript forgets it
    return 0;
  }

 private:
  static void on_event(void* self, int events) { static_cast<PollObject*>(self)->happened(events); }

  void happened(int events) {
    if (eventfd_ != kNoEventfd) {
      const int drained = drain_eventfd(eventfd_);
      if (drained < 0) {
        poll_->await(0);
      } else if (events < 0) {
        poll_->await(UV_READABLE);  // libuv gives up on a counter at its maximum, but now it is empty
      }
      if (drained == 0) return;  // its other end took it back
      events = drained < 0 ? drained : UV_READABLE;
    }
    const Napi::HandleScope scope(Env());
    call_back(Env(), Value(), callback_.Value(), events);
  }

  void end() {
    if (poll_ == nullptr) return;
    poll_->close();
    poll_ = nullptr;
    callback_.Reset();
    Unref();
  }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    end();
    return info.Env().Undefined();
  }

  Napi::Value unref(const Napi::CallbackInfo& info) {
    if (poll_ != nullptr) poll_->unref();
    return info.Env().Undefined();
  }

  Napi::Value events(const Napi::CallbackInfo& info) {
    uint32_t mask;
    if (!index_argument(info, 0, 4, mask)) throw Napi::RangeError::New(info.Env(), "Expected events 0 to 3");
    if (poll_ != nullptr) poll_->await(static_cast<int>(mask));
    return info.Env().Undefined();
  }

  LoopPoll* poll_ = nullptr;
  Napi::FunctionReference callback_;
  int eventfd_ = kNoEventfd;
};

Napi::Value open(const Napi::CallbackInfo& info, int fd, int events, Napi::Value callback, int eventfd) {
  if (!callback.IsFunction()) throw Napi::TypeError::New(info.Env(), "Expected a function to call back");
  Napi::Object object = Environment::of(info.Env()).poll_class.New({});
  const int error = PollObject::Unwrap(object)->start(fd, events, callback.As<Napi::Function>(), eventfd);
  if (error != 0) return number(info.Env(), error);
  return object;
}

Napi::Value poll(const Napi::CallbackInfo& info) {
  uint32_t mask;
  if (!index_argument(info, 1, 4, mask)) return number(info.Env(), -EINVAL);
  return open(info, descriptor_argument(info, 0), static_cast<int>(mask), info[2], kNoEventfd);
}

Napi::Value poll_eventfd(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  // A pipe whose other end is closed, say, would be readable without end.
  if (!is_eventfd(fd)) return number(info.Env(), -EINVAL);
  return open(info, fd, UV_READABLE, info[1], fd);
}

}  // namespace

void export_poll(Napi::Object exports) {
  Environment::of(exports.Env()).poll_class = Napi::Persistent(PollObject::define(exports.Env()));
  add<poll>(exports, "poll");
  add<poll_eventfd>(exports, "pollEventfd");
}

}  // namespace lunport
