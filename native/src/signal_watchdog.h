// Writes to eventfds that a peer sent, without being held up by it.
//
// O_NONBLOCK belongs to the open file, so to the peer as well: it can clear it, fill the counter, and a write
// would sleep for ever. No check before the write helps, since the peer can be quicker. So a thread of its own
// looks, while there are writes, whether one takes longer than it may, and interrupts it by a signal. It sleeps
// while there are none.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

namespace lunport {

// One for each thread that writes; made, used and destroyed on that thread.
class WatchedWriter {
 public:
  WatchedWriter();
  ~WatchedWriter();
  WatchedWriter(const WatchedWriter&) = delete;
  WatchedWriter& operator=(const WatchedWriter&) = delete;

  // Adds 1 to the eventfd. Returns 0, also when the counter is full, which means that the other side has been
  // told and does not listen; -EBUSY when the write had to be interrupted; or another negative errno.
  int signal(int fd);

 private:
  friend class SignalWatchdog;
  // Even between writes, odd within one.
  std::atomic<uint32_t> writes_{0};
  const pthread_t thread_;
};

}  // namespace lunport
