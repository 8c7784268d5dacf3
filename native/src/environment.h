// Everything the addon holds for one environment (the main thread or a worker thread), as instance data.
#pragma once

#include <napi.h>
#include <uv.h>

#include <optional>
#include <vector>

#include "region_table.h"
#include "signal_watchdog.h"

namespace lunport {

class CommandRing;
class Engine;
class LoopPoll;

class Environment {
 public:
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
  static void create(Napi::Env env);

  explicit Environment(Napi::Env env);

  RegionTable regions;
  uv_loop_t* loop = nullptr;
  std::vector<Engine*> engines;
  std::vector<CommandRing*> command_rings;
  std::vector<LoopPoll*> polls;  // open or closing
  std::optional<WatchedWriter> writer;  // made for the first signal
  Napi::FunctionReference poll_class;
  Napi::FunctionReference engine_class;
  Napi::FunctionReference command_ring_class;

  // To be called by a poll whose libuv handle has closed.
  void poll_closed(LoopPoll* poll);

 private:
  // The environment ends: engines wait for their operations, polls close, regions go, in this order.
  static void shut_down(napi_async_cleanup_hook_handle handle, void* self);
  void finish_if_closed();

  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  bool ending_ = false;
};

}  // namespace lunport
