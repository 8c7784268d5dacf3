// CRC-32C by the processor's instruction, for iSCSI's digests; JavaScript has tables for processors without it.
#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "exports.h"

namespace lunport {

namespace {

#if defined(__x86_64__)

bool supported() { return __builtin_cpu_supports("sse4.2") != 0; }

__attribute__((target("sse4.2"))) uint32_t crc32c(const uint8_t* bytes, size_t length, uint32_t crc) {
  uint64_t value = static_cast<uint32_t>(~crc);
  for (; length >= 8; bytes += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    value = __builtin_ia32_crc32di(value, word);
  }
  uint32_t rest = static_cast<uint32_t>(value);
  for (; length > 0; bytes++, length--) rest = __builtin_ia32_crc32qi(rest, *bytes);
  return ~rest;
}

#else

bool supported() { return false; }

uint32_t crc32c(const uint8_t*, size_t, uint32_t) { return 0; }

#endif

// Of bytes[at, at + length), continuing from the last argument.
Napi::Value crc32c_of(const Napi::CallbackInfo& info) {
  const ByteRange bytes = bytes_argument(info, 0);
  uint64_t seed;
  if (bytes.data == nullptr || !unsigned_argument(info, 3, seed)) return number(info.Env(), -EINVAL);
  return number(info.Env(), crc32c(bytes.data, bytes.length, static_cast<uint32_t>(seed)));
}

}  // namespace

void export_crc32c(Napi::Object exports) {
  exports.Set("hasCrc32c", supported());
  add<crc32c_of>(exports, "crc32c");
}

}  // namespace lunport
