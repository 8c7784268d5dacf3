// createCommandRing: the command ring as a JavaScript object.
#include <cerrno>

#include "arguments.h"
#include "call_back.h"
#include "command_ring.h"
#include "exports.h"

namespace lunport {

namespace {

constexpr uint32_t kMaxDepth = 4096;

class CommandRingObject : public Napi::ObjectWrap<CommandRingObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "CommandRing",
                       {
                           InstanceMethod<&CommandRingObject::exchange>("exchange"),
                           InstanceMethod<&CommandRingObject::close>("close"),
                       });
  }

  explicit CommandRingObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CommandRingObject>(info) {}

  // Returns 0 or a negative errno.
  int open(uint32_t depth, Napi::Function ready) {
    const Napi::Env env = Env();
    Napi::ArrayBuffer submissions = Napi::ArrayBuffer::New(env, depth * kCommandColumns * sizeof(double));
    Napi::ArrayBuffer completions =
        Napi::ArrayBuffer::New(env, depth * kCommandResultColumns * sizeof(int32_t));
    const CommandRing::Tables tables = {static_cast<const double*>(submissions.Data()),
                                        static_cast<int32_t*>(completions.Data())};
    int error;
    ring_ = CommandRing::open(Environment::of(env), depth, tables, on_ready, this, error);
    if (ring_ == nullptr) return error;
    Napi::Object self = Value();
    self.Set("submissions", submissions);
    self.Set("completions", completions);
    self.Freeze();
    tables_[0] = Napi::Persistent(submissions);
    tables_[1] = Napi::Persistent(completions);
    ready_ = Napi::Persistent(ready);
    depth_ = depth;
    Ref();  // lives until close(), even if JavaScript forgets it
    return 0;
  }

 private:
  static void on_ready(void* self, int) {
    CommandRingObject* const object = static_cast<CommandRingObject*>(self);
    const Napi::HandleScope scope(object->Env());
    call_back(object->Env(), object->Value(), object->ready_.Value(), 0);
  }

  Napi::Value exchange(const Napi::CallbackInfo& info) {
    uint32_t count;
    if (ring_ == nullptr || !index_argument(info, 0, depth_ + 1, count)) return number(info.Env(), -EINVAL);
    return Napi::Number::New(info.Env(), ring_->exchange(count));
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    if (ring_ == nullptr) return number(info.Env(), 0);
    if (!ring_->idle()) return number(info.Env(), -EBUSY);
    ring_.reset();
    ready_.Reset();
    for (auto& table : tables_) table.Reset();
    Unref();
    return number(info.Env(), 0);
  }

  std::unique_ptr<CommandRing> ring_;
  uint32_t depth_ = 0;
  Napi::FunctionReference ready_;
  Napi::Reference<Napi::ArrayBuffer> tables_[2];
};

Napi::Value create_command_ring(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uint32_t depth;
  if (!index_argument(info, 0, kMaxDepth + 1, depth) || depth == 0 || !info[1].IsFunction()) {
    return number(env, -EINVAL);
  }
  Napi::Object ring = Environment::of(env).command_ring_class.New({});
  const int error = CommandRingObject::Unwrap(ring)->open(depth, info[1].As<Napi::Function>());
  if (error != 0) return number(env, error);
  return ring;
}

}  // namespace

void export_command_ring(Napi::Object exports) {
  Environment::of(exports.Env()).command_ring_class =
      Napi::Persistent(CommandRingObject::define(exports.Env()));
  add<create_command_ring>(exports, "createCommandRing");
}

}  // namespace lunport
