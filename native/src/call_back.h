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

// Resolves a promise from the event loop: microtasks run afterwards, too. In a worker that is being terminated nothing
// happens, and least of all an exception, which nobody would catch here.
inline void resolve_back(napi_env env, napi_deferred deferred, double result) {
  const Napi::HandleScope handles(env);
  napi_value name;
  napi_value value;
  napi_async_context context;
  if (napi_create_string_utf8(env, "lunport", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_double(env, result, &value) != napi_ok ||
      napi_async_init(env, nullptr, name, &context) != napi_ok) {
    return;
  }
  napi_callback_scope scope;
  if (napi_open_callback_scope(env, nullptr, context, &scope) == napi_ok) {
    napi_resolve_deferred(env, deferred, value);
    napi_close_callback_scope(env, scope);
  }
  napi_async_destroy(env, context);
}

}  // namespace lunport
