// Asynchronous operations by threads that block, where io_uring is forbidden.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "async_io.h"

namespace lunport {

class ThreadPool final : public AsyncIo {
 public:
  static std::unique_ptr<ThreadPool> open(unsigned threads, unsigned depth, int& error);
  ~ThreadPool() override;

  const char* mode() const override { return "threads"; }
  int ready_fd() const override { return eventfd_; }
  void start(Operation& operation, Finished& finished) override;
  void flush(Finished& finished) override;
  void reap(Finished& finished) override;
  void cancel(Operation& operation) override;
  void wait(Finished& finished) override;

 private:
  explicit ThreadPool(unsigned depth);
  int start_threads(unsigned count);
  void work();
  void report(Operation& operation);  // with the lock held

  int eventfd_ = -1;
  std::vector<Operation*> staged_;  // the loop's thread only
  std::mutex mutex_;                // guards what follows
  std::condition_variable wanted_;
  std::condition_variable reported_;
  std::vector<Operation*> queue_;  // oldest first, from `next_` on
  size_t next_ = 0;
  std::vector<Operation*> done_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace lunport
