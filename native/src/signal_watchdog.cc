#include "signal_watchdog.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "background_thread.h"

namespace lunport {

namespace {

// A write that does not sleep takes well under a microsecond; one that does is interrupted after one to two of
// these. The peer that caused it loses its connection.
constexpr timespec kInterval = {0, 5'000'000};
// Ignored by default, and used by nobody for what it was made for.
constexpr int kInterrupt = SIGURG;

}  // namespace

// Process-wide, since a thread can be interrupted only by the process's signals; never destroyed, since its
// thread runs to the end of the process.
class SignalWatchdog {
 public:
  static SignalWatchdog& instance() {
    static SignalWatchdog* const self = new SignalWatchdog();
    return *self;
  }

  void add(WatchedWriter& writer) {
    const std::lock_guard lock(mutex_);
    writers_.push_back({&writer, 0});
  }

  // After it, the writer's thread gets no signal.
  void remove(WatchedWriter& writer) {
    const std::lock_guard lock(mutex_);
    std::erase_if(writers_, [&writer](const Watched& watched) { return watched.writer == &writer; });
  }

  // To be called within a write. The watchdog says that it sleeps before it looks a last time, and the writer
  // says that it writes before it asks: one of the two sees the other.
  void wake() {
    if (!sleeps_.load(std::memory_order_seq_cst)) return;
    const std::lock_guard lock(mutex_);
    sleeps_.store(false, std::memory_order_relaxed);
    wanted_.notify_one();
  }

 private:
  struct Watched {
    WatchedWriter* writer;
    uint32_t seen;
  };

  SignalWatchdog() {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(kInterrupt, &action, nullptr);  // without SA_RESTART: an interrupted write ends
    // A process that may have no more threads does without.
    start_detached("lunport-signal", [this] { work(); });
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      if (!look()) {
        sleeps_.store(true, std::memory_order_seq_cst);
        if (!look()) wanted_.wait(lock, [this] { return !sleeps_.load(std::memory_order_relaxed); });
        sleeps_.store(false, std::memory_order_relaxed);
      }
      lock.unlock();
      nanosleep(&kInterval, nullptr);
      lock.lock();
    }
  }

  // Interrupts writes that are the same as last time; false when nobody has written since.
  bool look() {
    bool active = false;
    for (Watched& watched : writers_) {
      const uint32_t writes = watched.writer->writes_.load(std::memory_order_seq_cst);
      const bool writing = (writes & 1) != 0;
      // Once it has ended meanwhile, the signal interrupts nothing that is not begun again.
      if (writing && writes == watched.seen) pthread_kill(watched.writer->thread_, kInterrupt);
      active = active || writing || writes != watched.seen;
      watched.seen = writes;
    }
    return active;
  }

  std::mutex mutex_;
  std::condition_variable wanted_;
  std::vector<Watched> writers_;
  std::atomic<bool> sleeps_{false};
};

WatchedWriter::WatchedWriter() : thread_(pthread_self()) {
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, kInterrupt);
  pthread_sigmask(SIG_UNBLOCK, &interrupt, nullptr);
  SignalWatchdog::instance().add(*this);
}

WatchedWriter::~WatchedWriter() { SignalWatchdog::instance().remove(*this); }

int WatchedWriter::signal(int fd) {
  const uint64_t one = 1;
  writes_.fetch_add(1, std::memory_order_seq_cst);
  SignalWatchdog::instance().wake();
  const ssize_t n = write(fd, &one, sizeof one);
  const int error = n < 0 ? errno : 0;
  writes_.fetch_add(1, std::memory_order_release);
  if (error == EINTR) return -EBUSY;  // only a write that sleeps can be interrupted
  return error == EAGAIN ? 0 : -error;
}

}  // namespace lunport
