// Commands to a device's driver by io_uring (IORING_OP_URING_CMD): how ublk talks to its server. The ring knows
// nothing of what a command means; it puts an address where both of ublk's command structures have one, and keeps
// the memory behind it mapped until the command has come back.
#pragma once

#include <cstdint>
#include <memory>

#include "environment.h"
#include "uring_queues.h"

namespace lunport {

class LoopPoll;

// submissions: slot, fd, command, word 0, word 1 (32 bits each), region or -1, offset, length, data (64 bits)
inline constexpr unsigned kCommandColumns = 9;
// completions: slot, result
inline constexpr unsigned kCommandResultColumns = 2;

class CommandRing {
 public:
  // They belong to JavaScript and outlive the ring; `depth` rows each.
  struct Tables {
    const double* submissions = nullptr;
    int32_t* completions = nullptr;
  };
  using Ready = void (*)(void* context, int events);

  // Returns null and sets `error` to a negative errno when it cannot be made.
  static std::unique_ptr<CommandRing> open(Environment& environment, uint32_t depth, Tables tables, Ready ready,
                                           void* context, int& error);
  ~CommandRing();

  bool idle() const { return running_ == 0; }
  // Sends the first `count` rows and collects what has completed: the number of completions. A negative errno when
  // a row is no command, and then nothing was sent.
  int exchange(uint32_t count);
  // The environment ends: the kernel takes back what it has, and the memory may go. Afterwards only the destructor
  // may be called, and it no longer touches the environment.
  void shut_down();

 private:
  struct Slot {
    bool busy = false;
    Region* region = nullptr;
  };

  CommandRing(Environment& environment, uint32_t depth, Tables tables);
  int check(uint32_t count);
  void describe(const double* row, io_uring_sqe& entry);
  int collect(int count);

  Environment& environment_;
  const uint32_t depth_;
  const Tables tables_;
  std::unique_ptr<Slot[]> slots_;
  UringQueues queues_;
  LoopPoll* poll_ = nullptr;
  uint32_t running_ = 0;
  bool ended_ = false;
};

}  // namespace lunport
