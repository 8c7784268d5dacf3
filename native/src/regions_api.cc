// Regions as JavaScript sees them: ids, and windows of external memory.
#include <algorithm>
#include <cerrno>
#include <limits>

#include "arguments.h"
#include "environment.h"
#include "exports.h"

namespace lunport {

namespace {

// Node.js 20 aborts on an external ArrayBuffer over 4 GiB. Windows overlap by half, so that any range up to
// kWindowStep lies whole in one of them.
constexpr uint64_t kWindowStep = uint64_t{1} << 30;
constexpr uint64_t kWindowLength = 2 * kWindowStep;

// A buffer's number has 16 bits.
constexpr uint32_t kMaxBuffers = 1 << 16;

Region* region_argument(const Napi::CallbackInfo& info) {
  return Environment::of(info.Env()).regions.find(info[0].As<Napi::Number>().DoubleValue());
}

Napi::Value map_region(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  uint64_t offset;
  uint64_t length;
  if (fd < 0) return number(info.Env(), -EBADF);
  if (!unsigned_argument(info, 1, offset) || !unsigned_argument(info, 2, length)) {
    return number(info.Env(), -EINVAL);
  }
  return number(info.Env(), Environment::of(info.Env()).regions.map(fd, offset, length, info[3].ToBoolean()));
}

// A function of its own, so that no failed call's -1 is taken for a wish for private memory.
Napi::Value map_anonymous(const Napi::CallbackInfo& info) {
  uint64_t length;
  if (!unsigned_argument(info, 0, length)) return number(info.Env(), -EINVAL);
  RegionTable& regions = Environment::of(info.Env()).regions;
  return number(info.Env(), regions.map(kAnonymous, 0, length, info[1].ToBoolean()));
}

Napi::Value map_read_only(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  uint64_t length;
  if (fd < 0) return number(info.Env(), -EBADF);
  if (!unsigned_argument(info, 1, length)) return number(info.Env(), -EINVAL);
  return number(info.Env(), Environment::of(info.Env()).regions.map_read_only(fd, length));
}

// (fd, number of buffers, bytes each, command to borrow one, command to give it back)
Napi::Value lend_kernel_buffers(const Napi::CallbackInfo& info) {
  KernelBuffers buffers;
  uint32_t count;
  uint32_t each;
  buffers.fd = descriptor_argument(info, 0);
  if (buffers.fd < 0) return number(info.Env(), -EBADF);
  if (!index_argument(info, 1, kMaxBuffers + 1, count) || count == 0 ||
      !index_argument(info, 2, std::numeric_limits<uint32_t>::max(), each) || each == 0 ||
      !index_argument(info, 3, std::numeric_limits<uint32_t>::max(), buffers.borrow_command) ||
      !index_argument(info, 4, std::numeric_limits<uint32_t>::max(), buffers.give_back_command)) {
    return number(info.Env(), -EINVAL);
  }
  buffers.each = each;
  buffers.length = uint64_t{count} * each;
  return number(info.Env(), Environment::of(info.Env()).regions.lend(buffers));
}

uint32_t window_count(const Region& region) {
  const uint64_t length = region.mapping.length();
  return length <= kWindowLength ? 1 : static_cast<uint32_t>((length - kWindowLength - 1) / kWindowStep) + 2;
}

// The window was collected.
void let_go(Napi::Env, void*, SharedRange* held) { delete held; }

// Makes the window when it is first asked for: to V8 it looks like 2 GiB allocated, and it answers each such
// with a full garbage collection.
Napi::ArrayBuffer window_of(Napi::Env env, Region& region, uint32_t index) {
  if (region.windows.empty()) region.windows.resize(window_count(region));
  Napi::Reference<Napi::ArrayBuffer>& window = region.windows[index];
  if (window.IsEmpty()) {
    const uint64_t start = index * kWindowStep;
    const uint64_t size = std::min(kWindowLength, region.mapping.length() - start);
    SharedRange* const held = new SharedRange(region.mapping.range());
    uint8_t* const data = region.mapping.data() + start;
    window = Napi::Persistent(Napi::ArrayBuffer::New(env, data, size, let_go, held));
  }
  return window.Value();
}

Napi::Value region_window(const Napi::CallbackInfo& info) {
  Region* const region = region_argument(info);
  uint32_t index;
  if (region == nullptr || region->is_kernel() || !index_argument(info, 1, window_count(*region), index)) {
    return info.Env().Undefined();
  }
  return window_of(info.Env(), *region, index);
}

Napi::Value region_windows(const Napi::CallbackInfo& info) {
  Region* const region = region_argument(info);
  Napi::Array windows = Napi::Array::New(info.Env());
  if (region == nullptr || region->is_kernel()) return windows;
  for (uint32_t i = 0; i < window_count(*region); i++) windows.Set(i, window_of(info.Env(), *region, i));
  return windows;
}

Napi::Value unmap_region(const Napi::CallbackInfo& info) {
  Region* const region = region_argument(info);
  if (region == nullptr) return number(info.Env(), -EINVAL);
  if (region->users > 0) return number(info.Env(), -EBUSY);
  const uint32_t id = info[0].As<Napi::Number>().Uint32Value();
  return number(info.Env(), Environment::of(info.Env()).regions.unmap(id));
}

Napi::Value region_broken(const Napi::CallbackInfo& info) {
  const Region* const region = region_argument(info);
  return Napi::Boolean::New(info.Env(), region != nullptr && !region->is_kernel() && region->mapping.broken());
}

}  // namespace

void export_regions(Napi::Object exports) {
  add<map_region>(exports, "mapRegion");
  add<map_anonymous>(exports, "mapAnonymous");
  add<map_read_only>(exports, "mapReadOnly");
  add<lend_kernel_buffers>(exports, "lendKernelBuffers");
  add<region_window>(exports, "regionWindow");
  add<region_windows>(exports, "regionWindows");
  add<unmap_region>(exports, "unmapRegion");
  add<region_broken>(exports, "regionBroken");
  std::atomic<uint32_t>& counter = fault_guard::fault_counter();
  exports.Set("faultCounter", Napi::ArrayBuffer::New(exports.Env(), &counter, sizeof counter));
}

}  // namespace lunport
