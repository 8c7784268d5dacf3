// Asynchronous operations by io_uring. The ring's own descriptor is what the loop polls: unlike an eventfd it
// needs no read to be silenced, and completions that were collected during a submission wake nobody.
#pragma once

#include <memory>
#include <vector>

#include "async_io.h"
#include "uring_queues.h"

namespace lunport {

class Uring final : public AsyncIo {
 public:
  // `operations` is the engine's array of `depth` slots.
  static std::unique_ptr<Uring> open(Operation* operations, unsigned depth, int& error);

  const char* mode() const override { return "io_uring"; }
  bool borrows() override;
  int ready_fd() const override { return queues_.fd(); }
  void start(Operation& operation, Finished& finished) override;
  void flush(Finished& finished) override;
  void reap(Finished& finished) override;
  void cancel(Operation& operation) override;
  void wait(Finished& finished) override;

 private:
  Uring(Operation* operations, unsigned depth) : operations_(operations), depth_(depth) { again_.reserve(depth); }
  void make_room(unsigned entries, Finished& finished);
  void borrow_and_move(Operation& operation, Finished& finished);
  void submit(Finished& finished);
  void collect(Finished& finished);
  void end_attempt(Operation& operation, int result, Finished& finished);

  UringQueues queues_;
  Operation* operations_;
  const unsigned depth_;
  bool has_buffer_table_ = false;
  bool may_borrow_ = true;
  std::vector<Operation*> again_;  // came back with something left to do
};

}  // namespace lunport
