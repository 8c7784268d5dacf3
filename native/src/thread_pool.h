// Asynchronous operations by threads that block, where io_uring is forbidden. Threads come when those there are have
// work, up to a limit, and stay. One file may have a sixteenth of them: one that hangs leaves the rest to others.
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
  ThreadPool(unsigned threads, unsigned depth);
  int start_thread();
  void work();
  Operation* take();  // with the lock held; null when nothing may run now
  struct File {
    unsigned present = 0;  // operations that wait or run
    unsigned running = 0;
  };
  File& file(int fd);
  void leave(int fd);
  void report(Operation& operation);  // with the lock held

  const unsigned max_threads_;
  const unsigned max_per_file_;
  int eventfd_ = -1;
  std::vector<Operation*> staged_;    // the loop's thread only
  std::vector<std::thread> threads_;  // the loop's thread only
  std::mutex mutex_;                  // guards what follows
  std::condition_variable wanted_;
  std::condition_variable reported_;
  std::vector<Operation*> queue_;  // oldest first, from `next_` on
  size_t next_ = 0;
  std::vector<Operation*> done_;
  std::vector<File> files_;  // by descriptor
  unsigned useful_ = 0;      // how many threads could work now, were there enough
  bool stopping_ = false;
};

}  // namespace lunport
