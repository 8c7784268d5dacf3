#include "thread_pool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace lunport {

namespace {
// Of all threads, the part that one file may have is 1 / this.
constexpr unsigned kFilePart = 4;
constexpr size_t kMaxDescriptor = 1 << 16;
}  // namespace

std::unique_ptr<ThreadPool> ThreadPool::open(unsigned threads, unsigned depth, int& error) {
  std::unique_ptr<ThreadPool> self(new ThreadPool(threads, depth));
  self->eventfd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  error = self->eventfd_ < 0 ? -errno : self->start_thread();
  if (error != 0) self.reset();
  return self;
}

ThreadPool::ThreadPool(unsigned threads, unsigned depth)
    : max_threads_(threads), max_per_file_(std::max(1u, threads / kFilePart)) {
  threads_.reserve(threads);
  staged_.reserve(depth);
  queue_.reserve(depth);
  done_.reserve(depth);
}

int ThreadPool::start_thread() {
  // The process's signals are for Node.js's main thread. Those that a fault raises stay open.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int fault : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  int error = 0;
  try {
    threads_.emplace_back([this] { work(); });
    pthread_setname_np(threads_.back().native_handle(), "lunport-io");
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
    Operation* operation = nullptr;
    idle_++;
    wanted_.wait(lock, [&] { return stopping_ || (operation = take()) != nullptr; });
    idle_--;
    if (stopping_) return;
    const int fd = operation->fd;
    running_on(fd)++;
    lock.unlock();
    while (!operation->settle(operation->attempt(0))) {
    }
    lock.lock();
    running_on(fd)--;
    report(*operation);
  }
}

// The oldest operation whose file has not all the threads that it may have. Whoever ends one of that file's looks
// here next, so the others need not be woken for it.
Operation* ThreadPool::take() {
  for (size_t at = next_; at < queue_.size(); at++) {
    Operation* const operation = queue_[at];
    if (running_on(operation->fd) >= max_per_file_) continue;
    if (at == next_) {
      next_++;
    } else {
      queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return operation;
  }
  return nullptr;
}

unsigned& ThreadPool::running_on(int fd) {
  // A bound for the table: descriptors above share an entry.
  const size_t index = std::min(static_cast<size_t>(fd), kMaxDescriptor);
  if (index >= running_.size()) running_.resize(index + 1);
  return running_[index];
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
  size_t idle;
  size_t pending;
  {
    const std::lock_guard lock(mutex_);
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
    queue_.insert(queue_.end(), staged_.begin(), staged_.end());
    pending = queue_.size();
    idle = idle_;
  }
  // One that cannot be had is no harm: there is one at least.
  for (; idle < pending && threads_.size() < max_threads_; idle++) {
    if (start_thread() != 0) break;
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
