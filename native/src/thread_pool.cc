#include "thread_pool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace lunport {

std::unique_ptr<ThreadPool> ThreadPool::open(unsigned threads, unsigned depth, int& error) {
  std::unique_ptr<ThreadPool> self(new ThreadPool(depth));
  error = self->start_threads(threads);
  if (error != 0) self.reset();
  return self;
}

ThreadPool::ThreadPool(unsigned depth) {
  staged_.reserve(depth);
  queue_.reserve(depth);
  done_.reserve(depth);
}

int ThreadPool::start_threads(unsigned count) {
  eventfd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (eventfd_ < 0) return -errno;
  // The process's signals are for Node.js's main thread. Those that a fault raises stay open.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int fault : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  int error = 0;
  try {
    for (unsigned i = 0; i < count; i++) {
      threads_.emplace_back([this] { work(); });
      pthread_setname_np(threads_.back().native_handle(), "lunport-io");
    }
  } catch (const std::system_error& failure) {
    error = -failure.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  if (eventfd_ >= 0) close(eventfd_);
}

void ThreadPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wanted_.wait(lock, [this] { return stopping_ || next_ < queue_.size(); });
    if (stopping_) return;
    Operation& operation = *queue_[next_++];
    lock.unlock();
    while (!operation.settle(operation.attempt(0))) {
    }
    lock.lock();
    report(operation);
  }
}

void ThreadPool::report(Operation& operation) {
  done_.push_back(&operation);
  // Exactly one write for each time the list fills, so that one read silences it.
  if (done_.size() == 1) eventfd_write(eventfd_, 1);
  reported_.notify_one();
}

void ThreadPool::start(Operation& operation, Finished&) { staged_.push_back(&operation); }

void ThreadPool::flush(Finished&) {
  if (staged_.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
    queue_.insert(queue_.end(), staged_.begin(), staged_.end());
  }
  if (staged_.size() == 1) {
    wanted_.notify_one();
  } else {
    wanted_.notify_all();
  }
  staged_.clear();
}

void ThreadPool::reap(Finished& finished) {
  const std::lock_guard lock(mutex_);
  if (done_.empty()) return;
  eventfd_t count;
  eventfd_read(eventfd_, &count);
  for (Operation* operation : done_) finished.add(*operation);
  done_.clear();
}

void ThreadPool::cancel(Operation& operation) {
  operation.cancelled = true;
  const std::lock_guard lock(mutex_);
  const auto first = queue_.begin() + static_cast<std::ptrdiff_t>(next_);
  const auto waiting = std::find(first, queue_.end(), &operation);
  if (waiting == queue_.end()) return;
  queue_.erase(waiting);
  operation.result = -ECANCELED;
  report(operation);
}

void ThreadPool::wait(Finished& finished) {
  {
    std::unique_lock lock(mutex_);
    reported_.wait(lock, [this] { return !done_.empty(); });
  }
  reap(finished);
}

}  // namespace lunport
