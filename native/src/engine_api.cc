// createEngine: the engine as a JavaScript object.
#include <cerrno>

#include "arguments.h"
#include "call_back.h"
#include "engine.h"
#include "exports.h"
#include "numbers.h"
#include "uring_queues.h"

namespace lunport {

namespace {

constexpr uint32_t kMaxDepth = 16384;
constexpr uint32_t kMaxVectors = 1u << 20;
constexpr uint32_t kMaxThreads = 256;

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Engine",
                       {
                           InstanceMethod<&EngineObject::cancel>("cancel"),
                           InstanceMethod<&EngineObject::map_reads>("mapReads"),
                           InstanceMethod<&EngineObject::close>("close"),
                       });
  }

  explicit EngineObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineObject>(info) {}

  // Returns 0 or a negative errno.
  int open(const Engine::Options& options, Napi::Function ready) {
    const Napi::Env env = Env();
    const auto table = [&env](size_t rows, size_t row) { return Napi::ArrayBuffer::New(env, rows * row); };
    const uint32_t slots = options.depth + options.copies;
    Napi::ArrayBuffer submissions = table(slots, kSubmissionColumns * sizeof(double));
    Napi::ArrayBuffer vectors = table(options.max_vectors, kVectorColumns * sizeof(double));
    Napi::ArrayBuffer completions = table(slots, kCompletionColumns * sizeof(int32_t));
    const Engine::Tables tables = {static_cast<const double*>(submissions.Data()),
                                   static_cast<const double*>(vectors.Data()),
                                   static_cast<int32_t*>(completions.Data())};
    int error;
    engine_ = Engine::open(Environment::of(env), options, tables, on_ready, this, error);
    if (engine_ == nullptr) return error;
    // Plain properties: they keep the tables as long as this object, and reading one calls nothing.
    Napi::Object self = Value();
    self.Set("mode", engine_->mode());
    self.Set("submissions", submissions);
    self.Set("vectors", vectors);
    self.Set("completions", completions);
    self.Set("submit", bound<&EngineObject::submit>("submit"));
    self.Set("reap", bound<&EngineObject::reap>("reap"));
    self.Freeze();
    tables_[0] = Napi::Persistent(submissions);
    tables_[1] = Napi::Persistent(vectors);
    tables_[2] = Napi::Persistent(completions);
    ready_ = Napi::Persistent(ready);
    depth_ = options.depth;
    slots_ = slots;
    Ref();  // lives until close(), even if JavaScript forgets it
    return 0;
  }

 private:
  static void on_ready(void* self, int) {
    EngineObject* const object = static_cast<EngineObject*>(self);
    const Napi::HandleScope scope(object->Env());
    call_back(object->Env(), object->Value(), object->ready_.Value(), 0);
  }

  Engine& engine(Napi::Env env) {
    if (engine_ == nullptr) throw Napi::Error::New(env, "lunport: this io engine is closed");
    return *engine_;
  }

  using Method = Napi::Value (EngineObject::*)(const Napi::CallbackInfo&);

  template <Method method>
  static Napi::Value call(const Napi::CallbackInfo& info) {
    return (static_cast<EngineObject*>(info.Data())->*method)(info);
  }

  // A function that has the object at hand: to look it up in the receiver, as methods do, takes longer than the call.
  template <Method method>
  Napi::Function bound(const char* name) {
    Napi::Function function = Napi::Function::New<call<method>>(Env(), name, this);
    function.Set("engine", Value());  // lives as long as the function
    return function;
  }

  Napi::Value submit(const Napi::CallbackInfo& info) {
    uint32_t count;
    if (!index_argument(info, 0, slots_ + 1, count)) {
      throw Napi::RangeError::New(info.Env(), "lunport: more submissions than the table has rows");
    }
    const int completions = engine(info.Env()).submit(count);
    if (completions == Engine::kBadSlot) {
      throw Napi::RangeError::New(info.Env(), "lunport: a submission names no slot, or one in use");
    }
    return Napi::Number::New(info.Env(), completions);
  }

  Napi::Value reap(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), engine(info.Env()).reap());
  }

  Napi::Value cancel(const Napi::CallbackInfo& info) {
    uint32_t slot;
    if (index_argument(info, 0, depth_, slot)) engine(info.Env()).cancel(slot);
    return info.Env().Undefined();
  }

  Napi::Value map_reads(const Napi::CallbackInfo& info) {
    engine(info.Env()).map_reads(descriptor_argument(info, 0));
    return info.Env().Undefined();
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    if (engine_ == nullptr) return info.Env().Undefined();
    if (!engine_->idle()) {
      throw Napi::Error::New(info.Env(), "lunport: operations of this io engine still run");
    }
    engine_.reset();
    ready_.Reset();
    for (auto& table : tables_) table.Reset();
    Unref();
    return info.Env().Undefined();
  }

  std::unique_ptr<Engine> engine_;
  uint32_t depth_ = 0;
  uint32_t slots_ = 0;
  Napi::FunctionReference ready_;
  Napi::Reference<Napi::ArrayBuffer> tables_[3];
};

// An option in [1, most], or 0.
uint32_t count_option(const Napi::Object& options, const char* name, uint32_t most) {
  const Napi::Value value = options.Get(name);
  uint32_t count;
  return value.IsNumber() && to_index(value.As<Napi::Number>().DoubleValue(), most + 1, count) ? count : 0;
}

bool mode_option(const Napi::Object& options, Engine::Mode& mode) {
  const std::string name = options.Get("mode").ToString();
  if (name == "auto") {
    mode = Engine::Mode::AUTO;
  } else if (name == "io_uring") {
    mode = Engine::Mode::IO_URING;
  } else if (name == "threads") {
    mode = Engine::Mode::THREADS;
  } else {
    return false;
  }
  return true;
}

Napi::Value create_engine(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object object = info[0].As<Napi::Object>();
  const Napi::Value ready = object.Get("onReady");
  Engine::Options options;
  options.depth = count_option(object, "depth", kMaxDepth);
  options.copies = count_option(object, "copies", kMaxDepth);
  options.max_vectors = count_option(object, "maxVectors", kMaxVectors);
  options.threads = count_option(object, "threads", kMaxThreads);
  const bool complete = options.depth > 0 && options.max_vectors > 0 && options.threads > 0;
  if (!complete || !mode_option(object, options.mode) || !ready.IsFunction()) return number(env, -EINVAL);
  Napi::Object engine = Environment::of(env).engine_class.New({});
  const int error = EngineObject::Unwrap(engine)->open(options, ready.As<Napi::Function>());
  if (error != 0) return number(env, error);
  return engine;
}

Napi::Value probe_io_uring(const Napi::CallbackInfo& info) {
  UringQueues queues;
  return number(info.Env(), queues.open(1, 2));
}

Napi::Object numbers(Napi::Env env, std::initializer_list<std::pair<const char*, unsigned>> list) {
  Napi::Object object = Napi::Object::New(env);
  for (const auto& [name, value] : list) object.Set(name, value);
  return object;
}

// The numbers of engine_spec.h, for the test that compares them with engine-spec.ts.
Napi::Object engine_spec(Napi::Env env) {
  Napi::Object spec = Napi::Object::New(env);
#define LUNPORT_PAIR(name, value) {#name, value},
  spec.Set("kinds", numbers(env, {LUNPORT_KINDS(LUNPORT_PAIR)}));
  spec.Set("flags", numbers(env, {LUNPORT_FLAGS(LUNPORT_PAIR)}));
#undef LUNPORT_PAIR
  spec.Set("columns", numbers(env, {{"SUBMISSION", kSubmissionColumns},
                                    {"VECTOR", kVectorColumns},
                                    {"COMPLETION", kCompletionColumns}}));
  return spec;
}

}  // namespace

void export_engine(Napi::Object exports) {
  Environment::of(exports.Env()).engine_class = Napi::Persistent(EngineObject::define(exports.Env()));
  add<create_engine>(exports, "createEngine");
  add<probe_io_uring>(exports, "probeIoUring");
  exports.Set("engineSpec", engine_spec(exports.Env()));
}

}  // namespace lunport
