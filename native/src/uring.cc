#include "uring.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <limits>

#include "region_table.h"

namespace lunport {

namespace {

// A fuller ring is submitted in parts: entries beyond this save no measurable time.
constexpr unsigned kMaxSubmissions = 128;
constexpr unsigned kMinCompletions = 64;
// Of a submission of more entries than this the kernel keeps all from the disk until it has seen the last.
constexpr unsigned kUnplugged = 2;
// The kernel refuses for want of memory, or until completions are collected: both pass quickly or not at all.
constexpr int kMaxRefusals = 1000;
// The kernel's own limit is four workers per processor, and a file server that hangs would hold all of them. One
// file may have a fifth of the slots, a second one a fifth of the rest (file-share.ts): half of the slots is more
// than three that hang can hold. Workers come when others block and go when idle.
constexpr unsigned kWorkerPart = 2;
constexpr unsigned kMinWorkers = 16;
constexpr uint64_t kNobody = ~uint64_t{0};  // user_data of an entry that no slot waits for
// Beside the slot in the user_data of the entry that gives a buffer back.
constexpr uint64_t kGivesBack = uint64_t{1} << 32;

// A command to a driver about one of its buffers, which has the place in the ring's table that the operation's slot
// says: queue (2), buffer (2), result (4), place (8), as ublk's commands have it.
void describe_loan(const Operation& operation, uint32_t command, io_uring_sqe& entry) {
  const struct {
    uint16_t queue;
    uint16_t buffer;
    int32_t result;
    uint64_t place;
  } payload = {0, static_cast<uint16_t>(operation.lent_buffer), 0, operation.slot};
  static_assert(sizeof payload == sizeof(io_uring_sqe) - offsetof(io_uring_sqe, cmd));
  entry.opcode = IORING_OP_URING_CMD;
  entry.fd = operation.lender->fd;
  entry.cmd_op = command;
  memcpy(entry.cmd, &payload, sizeof payload);
}

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
    if (operation.lender != nullptr) {
      entry.opcode = is_read ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
      entry.buf_index = static_cast<uint16_t>(operation.slot);
    }
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
  // Every slot may complete, and be cancelled or give a buffer back besides, before we look.
  error = self->queues_.open(std::min(depth, kMaxSubmissions), std::max(2 * depth, kMinCompletions));
  if (error != 0) {
    self.reset();
  } else {
    self->queues_.allow_workers(std::max(depth / kWorkerPart, kMinWorkers));
  }
  return self;
}

void Uring::make_room(unsigned entries, Finished& finished) {
  while (queues_.room() < entries) submit(finished);
}

bool Uring::borrows() {
  if (may_borrow_ && !has_buffer_table_) has_buffer_table_ = may_borrow_ = queues_.make_buffer_table(depth_) == 0;
  return may_borrow_;
}

void Uring::start(Operation& operation, Finished& finished) {
  if (operation.lender != nullptr) return borrow_and_move(operation, finished);
  make_room(1, finished);
  describe(operation, *queues_.next());
  if ((operation.flags & flag::DIRECT) != 0 && queues_.unsubmitted() >= kUnplugged) submit(finished);
}

// In one submission. Borrowing is done when it is submitted, so the second entry finds the buffer; without a loan the
// second fails. Giving back waits for the second, whatever becomes of it, and may come much later, by way of a worker;
// only then does the operation end, for who borrowed again for the same slot would find the former request's pages.
// A kernel that lacks memory may take the third entry later than the second, and then it waits for nothing: the buffer
// stays whole for who uses it, but which of the two ends first nobody knows.
void Uring::borrow_and_move(Operation& operation, Finished& finished) {
  make_room(3, finished);
  operation.lent_parts = 2;
  io_uring_sqe& borrow = *queues_.next();
  describe_loan(operation, operation.lender->borrow_command, borrow);
  borrow.flags = IOSQE_CQE_SKIP_SUCCESS;
  borrow.user_data = kNobody;
  io_uring_sqe& move = *queues_.next();
  describe(operation, move);
  move.flags |= IOSQE_IO_HARDLINK;
  io_uring_sqe& give_back = *queues_.next();
  describe_loan(operation, operation.lender->give_back_command, give_back);
  give_back.user_data = kGivesBack | operation.slot;
}

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
    if (taken_back == kNobody) continue;
    if ((taken_back & kGivesBack) != 0) {
      // A place in the table stays taken, unless the move is taken back as well.
      may_borrow_ = false;
      Operation& operation = operations_[taken_back ^ kGivesBack];
      if (--operation.lent_parts == 0) end_attempt(operation, operation.lent_result, finished);
      continue;
    }
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
    if (completion.user_data == kNobody) continue;
    Operation& operation = operations_[completion.user_data & ~kGivesBack];
    if (operation.lender != nullptr) {
      if ((completion.user_data & kGivesBack) == 0) operation.lent_result = completion.res;
      if (--operation.lent_parts > 0) continue;
      completion.res = operation.lent_result;
    }
    end_attempt(operation, completion.res, finished);
  }
}

void Uring::end_attempt(Operation& operation, int result, Finished& finished) {
  if (operation.settle(result)) {
    finished.add(operation);
  } else {
    again_.push_back(&operation);
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
  entry->user_data = kNobody;
  queues_.enter(0);
  if (queues_.unsubmitted() > 0) queues_.take_back();
}

void Uring::wait(Finished& finished) {
  queues_.enter(1);
  reap(finished);
}

}  // namespace lunport
