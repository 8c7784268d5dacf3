// The io engine of one shard: reads the submission table, does at once what will not block, hands over the
// rest, and fills the completion table.
#pragma once

#include <memory>
#include <vector>

#include "async_io.h"
#include "environment.h"
#include "inline_policy.h"
#include "operation.h"
#include "ram_io.h"
#include "vector_copy.h"

namespace lunport {

class LoopPoll;

class Engine {
 public:
  enum class Mode { AUTO, IO_URING, THREADS };
  struct Options {
    uint32_t depth = 0;
    uint32_t copies = 0;  // slots from `depth` on, for RAM_ kinds only: these end in the call that submits them
    uint32_t max_vectors = 0;
    Mode mode = Mode::AUTO;
    uint32_t threads = 0;
  };
  // The three tables; they belong to JavaScript and outlive the engine.
  struct Tables {
    const double* submissions = nullptr;
    const double* vectors = nullptr;
    int32_t* completions = nullptr;
  };
  using Ready = void (*)(void* context, int events);

  // Returns null and sets `error` to a negative errno when it cannot be made.
  static std::unique_ptr<Engine> open(Environment& environment, const Options& options, Tables tables,
                                      Ready ready, void* context, int& error);
  ~Engine();

  const char* mode() const { return io_->mode(); }
  bool idle() const { return running_ == 0; }

  // These return the number of completions. `submit` returns kBadSlot, and has done nothing, when a row names
  // no slot or one that is in use.
  static constexpr int kBadSlot = -1;
  int submit(uint32_t count);
  int reap();

  void cancel(uint32_t slot);
  void map_reads(int fd) { policy_.map(fd); }
  void forget_file(int fd) { policy_.forget(fd); }
  // Ends all operations, waiting for those that cannot be cancelled. Afterwards only the destructor may be
  // called, and it no longer touches the environment.
  void shut_down();

 private:
  Engine(Environment& environment, const Options& options, Tables tables);
  int open_io(const Options& options);
  Ahead ahead(const double* row, uint64_t most) const;
  Ahead itself(const double* row) const;
  bool claim(uint32_t count);
  int prepare(const double* row, Operation& operation);
  void run(const double* row, Operation& operation, const Ahead& next);
  void hand_over(Operation& operation);
  int report();
  void hold_loop();

  Environment& environment_;
  const Options options_;
  const Tables tables_;
  const uint32_t slots_;
  std::unique_ptr<Operation[]> operations_;
  std::unique_ptr<AsyncIo> io_;
  LoopPoll* poll_ = nullptr;
  InlinePolicy policy_;
  RamIo ram_;
  Finished finished_;
  uint32_t running_ = 0;  // handed over and not reported
  bool holds_loop_ = false;
};

}  // namespace lunport
