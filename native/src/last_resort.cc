// killAfter: the kernel ends this process some time later. Node.js waits at its end for worker threads, on the main
// thread and without its event loop; so nothing in the process is sure to run then.
#include <signal.h>
#include <time.h>

#include <cerrno>

#include "arguments.h"
#include "exports.h"

namespace lunport {

namespace {

int kill_after(uint32_t seconds) {
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return -errno;
  itimerspec when = {};
  when.it_value.tv_sec = seconds;
  return timer_settime(timer, 0, &when, nullptr) == 0 ? 0 : -errno;
}

// (seconds): 0 or -errno. It cannot be taken back.
Napi::Value kill_after_call(const Napi::CallbackInfo& info) {
  uint32_t seconds;
  // No time at all would disarm the timer.
  if (!index_argument(info, 0, 1 << 16, seconds) || seconds == 0) return number(info.Env(), -EINVAL);
  return number(info.Env(), kill_after(seconds));
}

}  // namespace

void export_last_resort(Napi::Object exports) { add<kill_after_call>(exports, "killAfter"); }

}  // namespace lunport
