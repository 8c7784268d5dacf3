// copy_file_range: bytes from one file to another without passing through this process. It may share blocks
// instead of copying them. Runs on libuv's threads, for it may take as long as the disks do.
#include <napi.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "arguments.h"
#include "exports.h"

namespace lunport {

namespace {

struct Range {
  int from_fd;
  int to_fd;
  uint64_t from;
  uint64_t to;
  uint64_t length;
};

// Bytes copied; less than the range when the kernel could not go on, or -errno when it could not begin.
int64_t copy(const Range& range) {
  uint64_t done = 0;
  while (done < range.length) {
    auto from = static_cast<off64_t>(range.from + done);
    auto to = static_cast<off64_t>(range.to + done);
    const ssize_t copied = copy_file_range(range.from_fd, &from, range.to_fd, &to, range.length - done, 0);
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && done == 0) return -int64_t{errno};
    if (copied <= 0) break;
    done += static_cast<uint64_t>(copied);
  }
  return static_cast<int64_t>(done);
}

class CopyWork : public Napi::AsyncWorker {
 public:
  CopyWork(Napi::Env env, const Range& range)
      : Napi::AsyncWorker(env, "copyFileRange"), range_(range), deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { result_ = copy(range_); }
  void OnOK() override { deferred_.Resolve(number(Env(), result_)); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Range range_;
  int64_t result_ = 0;
  Napi::Promise::Deferred deferred_;
};

Napi::Value copy_file_range_argument(const Napi::CallbackInfo& info) {
  Range range{descriptor_argument(info, 0), descriptor_argument(info, 2), 0, 0, 0};
  if (!unsigned_argument(info, 1, range.from) || !unsigned_argument(info, 3, range.to) ||
      !unsigned_argument(info, 4, range.length)) {
    throw Napi::RangeError::New(info.Env(), "expected offsets and a length in bytes");
  }
  // Frees itself when it has ended.
  auto* work = new CopyWork(info.Env(), range);
  work->Queue();
  return work->promise();
}

}  // namespace

void export_file_copy(Napi::Object exports) { add<copy_file_range_argument>(exports, "copyFileRange"); }

}  // namespace lunport
