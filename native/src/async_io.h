// How operations run while the event loop does something else: by io_uring, or by threads where that is
// forbidden. Only the environment's own thread calls these.
#pragma once

#include "operation.h"

namespace lunport {

class AsyncIo {
 public:
  virtual ~AsyncIo() = default;
  virtual const char* mode() const = 0;
  // Whether it can move data from and to buffers of the kernel.
  virtual bool borrows() { return false; }
  // Readable when `reap` has something to say.
  virtual int ready_fd() const = 0;
  // Queues an operation; it may run from now on, and must by the next flush.
  virtual void start(Operation& operation, Finished& finished) = 0;
  virtual void flush(Finished& finished) = 0;
  virtual void reap(Finished& finished) = 0;
  // Asks for an early end of a started operation, which is still reported by `reap`.
  virtual void cancel(Operation& operation) = 0;
  // Blocks until something has finished. Only for the end of the environment.
  virtual void wait(Finished& finished) = 0;
};

}  // namespace lunport
