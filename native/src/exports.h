// What each file adds to the addon's exports.
#pragma once

#include <napi.h>

namespace lunport {

void export_block_device(Napi::Object exports);
void export_crc32c(Napi::Object exports);
void export_command_ring(Napi::Object exports);
void export_descriptors(Napi::Object exports);
void export_detached(Napi::Object exports);
void export_engine(Napi::Object exports);
void export_file_copy(Napi::Object exports);
void export_file_locks(Napi::Object exports);
void export_foreign_descriptors(Napi::Object exports);
void export_last_resort(Napi::Object exports);
void export_poll(Napi::Object exports);
void export_program(Napi::Object exports);
void export_regions(Napi::Object exports);
void export_stream_socket(Napi::Object exports);
void export_supervisor(Napi::Object exports);
void export_unix_socket(Napi::Object exports);

}  // namespace lunport
