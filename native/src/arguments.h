// Reads the arguments of a call. A wrong type throws a TypeError (our own defect); a number that names
// nothing becomes a value that the system call refuses.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>

namespace lunport {

// A file descriptor, or -1 for NaN, a fraction and all else that is none: never somebody else's descriptor.
int descriptor_argument(const Napi::CallbackInfo& info, size_t index);

// False unless the argument is an integer in [0, 2^53).
bool unsigned_argument(const Napi::CallbackInfo& info, size_t index, uint64_t& out);

// False unless the argument is an integer in [0, limit).
bool index_argument(const Napi::CallbackInfo& info, size_t index, uint32_t limit, uint32_t& out);

// The bytes [at, at + length) of a Uint8Array, `at` and `length` being the two arguments behind it.
// data is null when they lie outside.
struct ByteRange {
  uint8_t* data = nullptr;
  size_t length = 0;
};
ByteRange bytes_argument(const Napi::CallbackInfo& info, size_t index);

inline Napi::Value number(Napi::Env env, int64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

// The value of a system call that returns -1 and sets errno.
template <typename T>
inline int64_t or_errno(T result) {
  return result < 0 ? -int64_t{errno} : int64_t{result};
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
void add(Napi::Object& exports, const char* name) {
  exports.Set(name, Napi::Function::New<function>(exports.Env(), name));
}

}  // namespace lunport
