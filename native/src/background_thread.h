// Threads of ours beside Node.js's: the process's signals are not for them.
#pragma once

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

namespace lunport {

// Starts `work` on `thread`, under a name of at most 15 characters. Signals that a fault raises stay open to it. Returns 0 or
// a negative errno; then there is no thread.
template <typename Work>
int start_background(std::thread& thread, const char* name, Work work) {
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int fault : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  int error = 0;
  try {
    thread = std::thread(std::move(work));
    pthread_setname_np(thread.native_handle(), name);
  } catch (const std::system_error& failure) {
    error = -failure.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

// The same for a thread that nobody waits for.
template <typename Work>
int start_detached(const char* name, Work work) {
  std::thread thread;
  const int error = start_background(thread, name, std::move(work));
  if (error == 0) thread.detach();
  return error;
}

}  // namespace lunport
