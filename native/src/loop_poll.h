// A libuv poll handle with an owner that may go first: libuv needs its memory until the close callback.
#pragma once

#include <uv.h>

namespace lunport {

class Environment;

class LoopPoll {
 public:
  // `events`: 1 readable, 2 writable; or a negative errno when libuv gave up (the peer is gone, say).
  using Callback = void (*)(void* context, int events);

  // Starts polling; on failure returns null and sets `error` to a negative errno.
  static LoopPoll* open(Environment& environment, int fd, int events, Callback callback, void* context,
                        int& error);
  // Ends the callbacks at once and frees this object later. The descriptor may be closed right away.
  void close();

  int await(int events) { return uv_poll_start(&handle_, events, on_event); }
  void ref() { uv_ref(handle()); }
  void unref() { uv_unref(handle()); }

 private:
  LoopPoll(Environment& environment, Callback callback, void* context)
      : environment_(environment), callback_(callback), context_(context) {
    handle_.data = this;
  }
  uv_handle_t* handle() { return reinterpret_cast<uv_handle_t*>(&handle_); }
  static void on_event(uv_poll_t* handle, int status, int events);

  uv_poll_t handle_;
  Environment& environment_;
  Callback callback_;
  void* context_;
};

}  // namespace lunport
