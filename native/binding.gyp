{
  # `node-gyp rebuild -C native` builds build/Release/lunport.node.
  # `-- -Dsanitize=1` builds with AddressSanitizer and UBSan: see test/run-sanitized.sh.
  'variables': { 'sanitize%': 0 },
  'targets': [
    {
      'target_name': 'lunport',
      'sources': [
        'src/addon.cc',
        'src/address_range.cc',
        'src/arguments.cc',
        'src/block_device.cc',
        'src/crc32c.cc',
        'src/command_ring.cc',
        'src/command_ring_api.cc',
        'src/descriptors.cc',
        'src/detached.cc',
        'src/engine.cc',
        'src/engine_api.cc',
        'src/environment.cc',
        'src/fault_guard.cc',
        'src/file_copy.cc',
        'src/file_locks.cc',
        'src/foreign_descriptors.cc',
        'src/inline_policy.cc',
        'src/last_resort.cc',
        'src/loop_poll.cc',
        'src/mapped_area.cc',
        'src/mapped_file.cc',
        'src/mapping.cc',
        'src/operation.cc',
        'src/poll_api.cc',
        'src/program.cc',
        'src/ram_io.cc',
        'src/region_table.cc',
        'src/regions_api.cc',
        'src/signal_watchdog.cc',
        'src/stream_socket.cc',
        'src/supervisor.cc',
        'src/thread_pool.cc',
        'src/unix_socket.cc',
        'src/uring.cc',
        'src/uring_queues.cc',
        'src/vector_rows.cc',
      ],
      'include_dirs': ["<!(node -p \"require('node-addon-api').include_dir\")"],
      # Node-API 8: every Node.js from 20 on can load the same binary.
      # A worker that is being terminated takes no exception any more: to insist would abort the process.
      'defines': [
        'NAPI_VERSION=8', 'NAPI_CPP_EXCEPTIONS', 'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
        'NODE_ADDON_API_DISABLE_DEPRECATED', '_GNU_SOURCE',
      ],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++20', '-fexceptions', '-fvisibility=hidden', '-Wall', '-Wextra', '-Werror'],
      'cflags': ['-O2'],
      # A worker thread's end closes the library. It must stay: the process-wide SIGBUS handler lives in it.
      'ldflags': ['-Wl,-z,nodelete', '-Wl,-z,relro', '-Wl,-z,now'],
      'conditions': [
        ['sanitize==1', {
          'cflags': [
            '-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer', '-g', '-O1',
          ],
          'ldflags': ['-fsanitize=address,undefined'],
        }],
      ],
    },
  ],
}
