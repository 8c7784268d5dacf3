// Survives SIGBUS in mapped memory.
//
// Who shares memory with us can truncate its file; touching the lost pages raises SIGBUS, which would end the
// process and every guest in it. The handler puts anonymous zero pages over the *whole* mapping that holds
// the fault, so that one fault costs one signal, and marks the guard broken. The owner of the mapping finds
// out by `broken()`, or cheaper by `fault_counter()` having moved, and gives up that one connection.
//
// This table is the addon's only process-wide state: a signal handler has no environment. It is lock-free,
// because a fault may happen anywhere, and a thread changes only guards of its own mappings.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lunport::fault_guard {

inline constexpr int kNone = -1;

// Guards the mapping [start, start + length), which must be whole pages of its file system's page size.
// Returns a guard number, or kNone when the table is full.
int watch(void* start, size_t length);

// To be called before munmap: afterwards the addresses may belong to somebody else.
void unwatch(int guard);

bool broken(int guard);

// Counts faults that hit a guarded mapping of this process.
std::atomic<uint32_t>& fault_counter();

}  // namespace lunport::fault_guard
