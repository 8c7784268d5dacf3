#include "loop_poll.h"

#include "environment.h"

namespace lunport {

static_assert(UV_READABLE == 1 && UV_WRITABLE == 2);

LoopPoll* LoopPoll::open(Environment& environment, int fd, int events, Callback callback, void* context,
                         int& error) {
  LoopPoll* const poll = new LoopPoll(environment, callback, context);
  error = uv_poll_init(environment.loop, &poll->handle_, fd);
  if (error != 0) {
    delete poll;  // libuv does not know the handle yet
    return nullptr;
  }
  environment.polls.push_back(poll);
  error = poll->await(events);
  if (error == 0) return poll;
  poll->close();
  return nullptr;
}

void LoopPoll::close() {
  callback_ = nullptr;
  if (uv_is_closing(handle())) return;
  uv_close(handle(), [](uv_handle_t* handle) {
    LoopPoll* const self = static_cast<LoopPoll*>(handle->data);
    self->environment_.poll_closed(self);
    delete self;
  });
}

void LoopPoll::on_event(uv_poll_t* handle, int status, int events) {
  LoopPoll* const self = static_cast<LoopPoll*>(handle->data);
  if (self->callback_ != nullptr) self->callback_(self->context_, status < 0 ? status : events);
}

}  // namespace lunport
