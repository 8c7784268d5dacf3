#include "thread_pool.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "background_thread.h"

namespace lunport {

namespace {
// Of all threads, the part that one file may have is 1 / this.
constexpr unsigned kFilePart = 16;
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
  std::thread thread;
  const int error = start_background(thread, "lunport-io", [this] { work(); });
  if (error == 0) threads_.push_back(std::move(thread));
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
    wanted_.wait(lock, [&] { return stopping_ || (operation = take()) != nullptr; });
    if (stopping_) return;
    const int fd = operation->fd;
    file(fd).running++;
    lock.unlock();
    while (!operation->settle(operation->attempt(0))) {
    }
    lock.lock();
    file(fd).running--;
    leave(fd);
    report(*operation);
  }
}

// The oldest operation whose file has not all the threads that it may have. Whoever ends one of that file's looks
// here next, so the others need not be woken for it.
Operation* ThreadPool::take() {
  for (size_t at = next_; at < queue_.size(); at++) {
    Operation* const operation = queue_[at];
    if (file(operation->fd).running >= max_per_file_) continue;
    if (at == next_) {
      next_++;
    } else {
      queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return operation;
  }
  return nullptr;
}

ThreadPool::File& ThreadPool::file(int fd) {
  // A bound for the table: descriptors above share an entry.
  const size_t index = std::min(static_cast<size_t>(fd), kMaxDescriptor);
  if (index >= files_.size()) files_.resize(index + 1);
  return files_[index];
}

void ThreadPool::leave(int fd) {
  if (file(fd).present-- <= max_per_file_) useful_--;
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
  unsigned wake = 0;
  size_t useful;
  {
    const std::lock_guard lock(mutex_);
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
    for (Operation* operation : staged_) {
      queue_.push_back(operation);
      // Beyond that, threads that work for the file find it when they have done what they do.
      if (file(operation->fd).present++ < max_per_file_) wake++;
    }
    useful = useful_ += wake;
  }
  // One that cannot be had is no harm: there is one at least.
  while (threads_.size() < std::min<size_t>(useful, max_threads_) && start_thread() == 0) {
  }
  for (; wake > 0; wake--) wanted_.notify_one();
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
  leave(operation.fd);
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
