#include "arguments.h"

#include <limits>

#include "numbers.h"

namespace lunport {

namespace {

double number_argument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Value value = info[index];
  if (!value.IsNumber()) {
    throw Napi::TypeError::New(info.Env(), "Expected a number as argument " + std::to_string(index + 1));
  }
  return value.As<Napi::Number>().DoubleValue();
}

}  // namespace

int descriptor_argument(const Napi::CallbackInfo& info, size_t index) {
  uint32_t fd;
  const double value = number_argument(info, index);
  return to_index(value, std::numeric_limits<int32_t>::max(), fd) ? static_cast<int>(fd) : -1;
}

bool unsigned_argument(const Napi::CallbackInfo& info, size_t index, uint64_t& out) {
  return to_unsigned(number_argument(info, index), out);
}

bool index_argument(const Napi::CallbackInfo& info, size_t index, uint32_t limit, uint32_t& out) {
  return to_index(number_argument(info, index), limit, out);
}

ByteRange bytes_argument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Value value = info[index];
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(info.Env(), "Expected a Uint8Array as argument " + std::to_string(index + 1));
  }
  Napi::Uint8Array array = value.As<Napi::Uint8Array>();
  uint64_t at;
  uint64_t length;
  if (!unsigned_argument(info, index + 1, at) || !unsigned_argument(info, index + 2, length)) return {};
  const size_t size = array.ByteLength();
  if (at > size || length > size - at) return {};
  // An empty array may have no address; one past nothing is still a valid empty range.
  static uint8_t empty;
  return {size == 0 ? &empty : array.Data() + at, length};
}

}  // namespace lunport
