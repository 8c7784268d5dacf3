#include "uring.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace lunport {

namespace {

// A fuller ring is submitted in parts: entries beyond this save no measurable time.
constexpr unsigned kMaxSubmissions = 128;
constexpr unsigned kMinCompletions = 64;
// The kernel refuses for want of memory, or until completions are collected: both pass quickly or not at all.
constexpr int kMaxRefusals = 1000;
// The kernel's own limit is four workers per processor, and a file server that hangs would hold all of them. One
// file may have a fifth of the slots, a second one a fifth of the rest (file-share.ts): half of the slots is more
// than three that hang can hold. Workers come when others block and go when idle.
constexpr unsigned kWorkerPart = 2;
constexpr unsigned kMinWorkers = 16;
constexpr uint64_t kCancellation = ~uint64_t{0};  // user_data of an entry that no slot waits for

void describe(const Operation& operation, io_uring_sqe& entry) {
  entry.fd = operation.fd;
  entry.off = operation.offset;
  entry.user_data = operation.slot;
  // Once it could not be done without blocking, ask for a worker rather than for another refusal.
  if (operation.refusals > 0 || (operation.flags & flag::WORKER) != 0) entry.flags = IOSQE_ASYNC;
  const bool is_read = operation.kind == Kind::READ_FILE;
  if (operation.moves_data()) {
    const iovec* const vectors = operation.next_vectors();
    const unsigned count = operation.next_vector_count();
    const bool single = count == 1 && vectors->iov_len <= std::numeric_limits<uint32_t>::max();
    entry.opcode = single ? (is_read ? IORING_OP_READ : IORING_OP_WRITE)
                          : (is_read ? IORING_OP_READV : IORING_OP_WRITEV);
    entry.addr = reinterpret_cast<uintptr_t>(single ? vectors->iov_base : vectors);
    entry.len = single ? static_cast<uint32_t>(vectors->iov_len) : count;
    entry.rw_flags = is_read ? 0 : operation.write_flags();
  } else if (operation.kind == Kind::FSYNC) {
    entry.opcode = IORING_OP_FSYNC;
    entry.off = 0;
    entry.fsync_flags = IORING_FSYNC_DATASYNC;
  } else if (operation.is_fallocate()) {
    entry.opcode = IORING_OP_FALLOCATE;
    entry.addr = operation.remaining;
    entry.len = static_cast<uint32_t>(operation.fallocate_mode());
  } else {
    entry.opcode = IORING_OP_FADVISE;
    // 32 bits of length, 0 meaning all of the file; it is a hint.
    entry.len = static_cast<uint32_t>(std::min<uint64_t>(operation.remaining, 1u << 30));
    entry.fadvise_advice = POSIX_FADV_WILLNEED;
  }
}

}  // namespace

std::unique_ptr<Uring> Uring::open(Operation* operations, unsigned depth, int& error) {
  std::unique_ptr<Uring> self(new Uring(operations, depth));
  // Every slot may complete, and be cancelled besides, before we look.
  error = self->queues_.open(std::min(depth, kMaxSubmissions), std::max(2 * depth, kMinCompletions));
  if (error != 0) {
    self.reset();
  } else {
    self->queues_.allow_workers(std::max(depth / kWorkerPart, kMinWorkers));
  }
  return self;
}

io_uring_sqe& Uring::entry(Finished& finished) {
  io_uring_sqe* free = queues_.next();
  while (free == nullptr) {
    submit(finished);
    free = queues_.next();
  }
  return *free;
}

void Uring::start(Operation& operation, Finished& finished) { describe(operation, entry(finished)); }

void Uring::submit(Finished& finished) {
  int refusals = 0;
  while (queues_.unsubmitted() > 0) {
    const int taken = queues_.enter(0);
    if (taken > 0 || taken == -EINTR) continue;
    if (++refusals < kMaxRefusals) {
      collect(finished);
      continue;
    }
    const uint64_t taken_back = queues_.take_back();
    if (taken_back == kCancellation) continue;
    Operation& operation = operations_[taken_back];
    operation.result = taken < 0 ? taken : -EAGAIN;
    finished.add(operation);
  }
}

void Uring::flush(Finished& finished) {
  if (queues_.unsubmitted() == 0) return;
  submit(finished);
  reap(finished);  // what needed no waiting has completed already
}

void Uring::collect(Finished& finished) {
  io_uring_cqe completion;
  while (queues_.pop(completion)) {
    if (completion.user_data == kCancellation) continue;
    Operation& operation = operations_[completion.user_data];
    if (operation.settle(completion.res)) {
      finished.add(operation);
    } else {
      again_.push_back(&operation);
    }
  }
}

void Uring::reap(Finished& finished) {
  collect(finished);
  while (!again_.empty() || queues_.has_more()) {
    while (!again_.empty()) {
      Operation& operation = *again_.back();
      again_.pop_back();
      start(operation, finished);
    }
    submit(finished);
    if (queues_.has_more()) queues_.enter(0);
    collect(finished);
  }
}

void Uring::cancel(Operation& operation) {
  operation.cancelled = true;
  // Every flush leaves the ring empty, so there is an entry. A refusal only means that the operation takes
  // its time: collecting completions here, to make room, would lose the wake-up that belongs to them.
  io_uring_sqe* const entry = queues_.next();
  entry->opcode = IORING_OP_ASYNC_CANCEL;
  entry->addr = operation.slot;
  entry->user_data = kCancellation;
  queues_.enter(0);
  if (queues_.unsubmitted() > 0) queues_.take_back();
}

void Uring::wait(Finished& finished) {
  queues_.enter(1);
  reap(finished);
}

}  // namespace lunport
