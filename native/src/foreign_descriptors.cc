#include "foreign_descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <mutex>

#include "arguments.h"
#include "background_thread.h"
#include "descriptors.h"
#include "exports.h"

namespace lunport {

namespace {

// Threads that close, at most: so many descriptors may hang before the others have to wait, open, for one of them.
constexpr unsigned kMostThreads = 32;

// The process's, since a thread that hangs outlives whoever made it; never destroyed for the same reason.
class Closer {
 public:
  static Closer& instance() {
    static Closer* const self = new Closer();
    return *self;
  }

  void add(int fd) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(fd);
      if (threads_ == kMostThreads) return;
      threads_++;
    }
    if (start_detached("lunport-close", [this] { work(); }) != 0) work();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (!waiting_.empty()) {
      const int fd = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      close(fd);
      lock.lock();
    }
    threads_--;
  }

  std::mutex mutex_;
  std::deque<int> waiting_;
  unsigned threads_ = 0;
};

Napi::Value close_foreign_argument(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  if (fd < 0) return number(info.Env(), -EBADF);
  close_foreign(fd);
  return number(info.Env(), 0);
}

Napi::Value is_unix_stream(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  const bool is_socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
                         getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
  return Napi::Boolean::New(info.Env(), is_socket && domain == AF_UNIX && type == SOCK_STREAM);
}

}  // namespace

void close_foreign(int fd) {
  if (is_eventfd(fd) || fcntl(fd, F_GET_SEALS) >= 0) {
    close(fd);
  } else {
    Closer::instance().add(fd);
  }
}

void export_foreign_descriptors(Napi::Object exports) {
  add<close_foreign_argument>(exports, "closeForeign");
  add<is_unix_stream>(exports, "isUnixStream");
}

}  // namespace lunport
