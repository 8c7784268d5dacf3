// The addon's entry: one set of state and exports for each environment that loads it.
#include <napi.h>

#include "environment.h"
#include "exports.h"

namespace lunport {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr char kBuild[] = "sanitized";
#else
constexpr char kBuild[] = "release";
#endif

Napi::Object start(Napi::Env env, Napi::Object exports) {
  Environment::create(env);
  export_block_device(exports);
  export_crc32c(exports);
  export_command_ring(exports);
  export_descriptors(exports);
  export_detached(exports);
  export_engine(exports);
  export_file_copy(exports);
  export_file_locks(exports);
  export_foreign_descriptors(exports);
  export_last_resort(exports);
  export_poll(exports);
  export_program(exports);
  export_regions(exports);
  export_stream_socket(exports);
  export_supervisor(exports);
  export_unix_socket(exports);
  exports.Set("build", kBuild);
  return exports;
}

}  // namespace

NODE_API_MODULE(lunport, start)

}  // namespace lunport
