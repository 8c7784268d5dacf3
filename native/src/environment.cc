#include "environment.h"

#include <algorithm>

#include "command_ring.h"
#include "engine.h"
#include "loop_poll.h"

namespace lunport {

Environment::Environment(Napi::Env env) {
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    throw Napi::Error::New(env, "lunport: this environment has no libuv loop");
  }
}

void Environment::create(Napi::Env env) {
  Environment* const self = new Environment(env);
  env.SetInstanceData(self);
  // Asynchronous, because libuv handles close in a later turn of the loop, and a worker's loop must be empty
  // when it is destroyed. It also keeps the environment, and so this object, until we remove the hook.
  napi_add_async_cleanup_hook(env, shut_down, self, &self->cleanup_);
}

void Environment::shut_down(napi_async_cleanup_hook_handle, void* data) {
  Environment* const self = static_cast<Environment*>(data);
  self->ending_ = true;
  while (!self->engines.empty()) self->engines.back()->shut_down();  // which removes it
  while (!self->command_rings.empty()) self->command_rings.back()->shut_down();
  for (LoopPoll* poll : self->polls) poll->close();
  self->regions.unmap_all();
  self->finish_if_closed();
}

void Environment::poll_closed(LoopPoll* poll) {
  polls.erase(std::find(polls.begin(), polls.end(), poll));
  if (ending_) finish_if_closed();
}

void Environment::finish_if_closed() {
  if (!polls.empty()) return;
  napi_remove_async_cleanup_hook(cleanup_);  // may free this object
}

}  // namespace lunport
