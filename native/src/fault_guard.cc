#include "fault_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <cerrno>
#include <mutex>

namespace lunport::fault_guard {

namespace {

constexpr int kGuards = 16384;

struct Guard {
  std::atomic<bool> taken{false};
  // Odd while the fields below change. The guard of a faulting thread never changes meanwhile (it belongs to
  // that thread), so the handler may pass over a changing one; it must only never mix two mappings.
  std::atomic<uint32_t> sequence{0};
  std::atomic<uintptr_t> start{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<bool> broken{false};
};

Guard guards[kGuards];
std::atomic<int> used{0};  // guards at and above this were never taken
std::atomic<uint32_t> faults{0};
struct sigaction previous;

static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

void set_range(Guard& guard, uintptr_t start, uintptr_t end) {
  guard.sequence.fetch_add(1, std::memory_order_acq_rel);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  guard.start.store(start, std::memory_order_relaxed);
  guard.end.store(end, std::memory_order_relaxed);
  guard.sequence.fetch_add(1, std::memory_order_release);
}

// Replaces the mapping that holds `address`; false when it is none of ours.
bool repair(uintptr_t address) {
  const int count = used.load(std::memory_order_acquire);
  for (int i = 0; i < count; i++) {
    Guard& guard = guards[i];
    const uint32_t sequence = guard.sequence.load(std::memory_order_acquire);
    const uintptr_t start = guard.start.load(std::memory_order_relaxed);
    const uintptr_t end = guard.end.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if ((sequence & 1) != 0 || guard.sequence.load(std::memory_order_relaxed) != sequence) continue;
    if (address < start || address >= end) continue;
    void* const mapped = mmap(reinterpret_cast<void*>(start), end - start, PROT_READ | PROT_WRITE,
                              MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return false;
    guard.broken.store(true, std::memory_order_release);
    faults.fetch_add(1, std::memory_order_acq_rel);
    return true;
  }
  return false;
}

void pass_on(int signal, siginfo_t* info, void* context) {
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler == SIG_IGN && info->si_code <= 0) {
    return;  // sent by a process, not raised by an access
  } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
    // The default action, with the core dump showing the fault itself: an access faults again on return;
    // a signal that was sent must be sent again.
    struct sigaction standard = {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
    if (info->si_code <= 0) raise(signal);
  } else {
    previous.sa_handler(signal);
  }
}

void handle(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  // Codes ≤ 0 come from kill() and friends: then si_addr means nothing.
  if (info->si_code <= 0 || !repair(reinterpret_cast<uintptr_t>(info->si_addr))) {
    pass_on(signal, info, context);
  }
  errno = saved;
}

void install() {
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, &previous);
}

}  // namespace

int watch(void* start, size_t length) {
  static std::once_flag installed;
  std::call_once(installed, install);
  for (int i = 0; i < kGuards; i++) {
    if (guards[i].taken.exchange(true, std::memory_order_acq_rel)) continue;
    guards[i].broken.store(false, std::memory_order_relaxed);
    set_range(guards[i], reinterpret_cast<uintptr_t>(start), reinterpret_cast<uintptr_t>(start) + length);
    int seen = used.load(std::memory_order_relaxed);
    while (seen < i + 1 && !used.compare_exchange_weak(seen, i + 1, std::memory_order_acq_rel)) {
    }
    return i;
  }
  return kNone;
}

void unwatch(int guard) {
  if (guard == kNone) return;
  set_range(guards[guard], 0, 0);
  guards[guard].taken.store(false, std::memory_order_release);
}

bool broken(int guard) {
  return guard != kNone && guards[guard].broken.load(std::memory_order_acquire);
}

std::atomic<uint32_t>& fault_counter() { return faults; }

}  // namespace lunport::fault_guard
