// Calls a JavaScript function from the event loop as Node.js calls its own: microtasks run afterwards, and an
// exception becomes an 'uncaughtException'.
#pragma once

#include <napi.h>

namespace lunport {

// Needs an open handle scope.
inline void call_back(Napi::Env env, Napi::Object receiver, Napi::Function function, int argument) {
  const napi_value arguments[] = {Napi::Number::New(env, argument)};
  napi_value result;
  if (napi_make_callback(env, nullptr, receiver, function, 1, arguments, &result) == napi_ok) return;
  // Anything but a pending exception means that a worker is being terminated, and nobody listens any more.
  bool pending = false;
  napi_value exception;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
}

}  // namespace lunport
