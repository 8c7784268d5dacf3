#include "uring_queues.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace lunport {

namespace {

// COOP_TASKRUN: no interrupt of our JavaScript for each completion; they are posted when we next enter the
// kernel, and waiting for events is such an entry. TASKRUN_FLAG tells who spins that it has to.
// SINGLE_ISSUER: only this thread submits. Not DEFER_TASKRUN: it saved nothing measurable, and under it
// polling the ring's descriptor by epoll lost wake-ups (Linux 6.18).
constexpr unsigned kCooperative = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
constexpr unsigned kBaseFlags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
constexpr unsigned kFlagChoices[] = {
    kBaseFlags | kCooperative | IORING_SETUP_SINGLE_ISSUER,  // Linux 6.0
    kBaseFlags | kCooperative,                               // 5.19
    kBaseFlags,
};

constexpr unsigned kNeededOperations[] = {
    IORING_OP_NOP,  IORING_OP_READV, IORING_OP_WRITEV,    IORING_OP_READ,    IORING_OP_WRITE,
    IORING_OP_FSYNC, IORING_OP_FALLOCATE, IORING_OP_FADVISE, IORING_OP_ASYNC_CANCEL,
};

// Shared with the kernel: what it writes is acquired, what it reads is released.
uint32_t load(const uint32_t* shared) { return __atomic_load_n(shared, __ATOMIC_ACQUIRE); }
void store(uint32_t* shared, uint32_t value) { __atomic_store_n(shared, value, __ATOMIC_RELEASE); }

}  // namespace

int UringQueues::setup(unsigned submissions, unsigned completions, unsigned flags, io_uring_params& params) {
  params = {};
  params.flags = flags;
  params.cq_entries = completions;
  const long fd = syscall(SYS_io_uring_setup, submissions, &params);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

int UringQueues::open(unsigned submissions, unsigned completions, unsigned more_flags) {
  io_uring_params params;
  int fd = -EINVAL;
  for (const unsigned flags : kFlagChoices) {
    if (fd == -EINVAL) fd = setup(submissions, completions, flags | more_flags, params);
  }
  entry_stride_ = (more_flags & IORING_SETUP_SQE128) != 0 ? 2 : 1;
  if (fd < 0) return fd;
  fd_ = fd;
  // One mapping for both rings is Linux 5.4, kept overflows 5.5, stable submissions 5.5.
  constexpr unsigned kFeatures = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE;
  int error = (params.features & kFeatures) == kFeatures ? 0 : -ENOSYS;
  if (error == 0) error = map(params);
  if (error == 0) error = check_operations();
  if (error == 0) error = check_round_trip();
  if (error != 0) close();
  return error;
}

int UringQueues::map(const io_uring_params& params) {
  const size_t submission_end = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
  const size_t completion_end = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
  const auto map_at = [this](size_t length, off_t offset) {
    return mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, offset);
  };
  rings_length_ = std::max(submission_end, completion_end);
  rings_ = map_at(rings_length_, IORING_OFF_SQ_RING);
  if (rings_ == MAP_FAILED) {
    rings_ = nullptr;
    return -errno;
  }
  entries_length_ = params.sq_entries * entry_stride_ * sizeof(io_uring_sqe);
  void* const entries = map_at(entries_length_, IORING_OFF_SQES);
  if (entries == MAP_FAILED) return -errno;
  entries_ = static_cast<io_uring_sqe*>(entries);

  uint8_t* const base = static_cast<uint8_t*>(rings_);
  const auto field = [base](uint32_t offset) { return reinterpret_cast<uint32_t*>(base + offset); };
  submission_head_ = field(params.sq_off.head);
  submission_tail_ = field(params.sq_off.tail);
  submission_flags_ = field(params.sq_off.flags);
  submission_mask_ = *field(params.sq_off.ring_mask);
  completion_head_ = field(params.cq_off.head);
  completion_tail_ = field(params.cq_off.tail);
  completion_mask_ = *field(params.cq_off.ring_mask);
  completions_ = reinterpret_cast<io_uring_cqe*>(base + params.cq_off.cqes);
  // The ring of indices is there to submit entries out of order, which we never do.
  uint32_t* const order = field(params.sq_off.array);
  for (uint32_t i = 0; i < params.sq_entries; i++) order[i] = i;
  tail_ = *submission_tail_;
  return 0;
}

int UringQueues::check_operations() const {
  constexpr unsigned kMost = 256;
  alignas(io_uring_probe) uint8_t bytes[sizeof(io_uring_probe) + kMost * sizeof(io_uring_probe_op)] = {};
  io_uring_probe* const probe = reinterpret_cast<io_uring_probe*>(bytes);
  if (syscall(SYS_io_uring_register, fd_, IORING_REGISTER_PROBE, probe, kMost) < 0) return -errno;
  for (const unsigned operation : kNeededOperations) {
    if (operation > probe->last_op) return -ENOSYS;
    if ((probe->ops[operation].flags & IO_URING_OP_SUPPORTED) == 0) return -ENOSYS;
  }
  return 0;
}

// A seccomp filter may let a ring be made and not be used.
int UringQueues::check_round_trip() {
  next()->opcode = IORING_OP_NOP;
  const int taken = enter(1);
  io_uring_cqe completion;
  if (taken < 0) return taken;
  return taken == 1 && pop(completion) ? 0 : -EIO;
}

void UringQueues::allow_workers(unsigned count) {
  // First for files and block devices, then for all else.
  uint32_t limits[2] = {count, count};
  syscall(SYS_io_uring_register, fd_, IORING_REGISTER_IOWQ_MAX_WORKERS, limits, 2);
}

int UringQueues::make_buffer_table(unsigned count) {
  io_uring_rsrc_register table = {};
  table.nr = count;
  table.flags = IORING_RSRC_REGISTER_SPARSE;
  const long result = syscall(SYS_io_uring_register, fd_, IORING_REGISTER_BUFFERS2, &table, sizeof table);
  return result < 0 ? -errno : 0;
}

void UringQueues::close() {
  if (entries_ != nullptr) munmap(entries_, entries_length_);
  if (rings_ != nullptr) munmap(rings_, rings_length_);
  if (fd_ >= 0) ::close(fd_);
  entries_ = nullptr;
  rings_ = nullptr;
  fd_ = -1;
}

io_uring_sqe* UringQueues::next() {
  if (unsubmitted() > submission_mask_) return nullptr;
  io_uring_sqe* const cleared = entry(tail_++);
  memset(cleared, 0, entry_stride_ * sizeof *cleared);
  return cleared;
}

unsigned UringQueues::unsubmitted() const { return tail_ - load(submission_head_); }

int UringQueues::enter(unsigned wait_for) {
  store(submission_tail_, tail_);
  const unsigned flags = wait_for > 0 || has_more() ? IORING_ENTER_GETEVENTS : 0;
  const long taken = syscall(SYS_io_uring_enter, fd_, unsubmitted(), wait_for, flags, nullptr, 0);
  return taken < 0 ? -errno : static_cast<int>(taken);
}

uint64_t UringQueues::take_back() {
  // The kernel reads the ring only inside `enter`, so until then the tail may go back.
  tail_--;
  store(submission_tail_, tail_);
  return entry(tail_)->user_data;
}

bool UringQueues::pop(io_uring_cqe& out) {
  const uint32_t head = *completion_head_;
  if (head == load(completion_tail_)) return false;
  out = completions_[head & completion_mask_];
  store(completion_head_, head + 1);
  return true;
}

bool UringQueues::has_more() const {
  const uint32_t flags = __atomic_load_n(submission_flags_, __ATOMIC_RELAXED);
  return (flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN)) != 0;
}

}  // namespace lunport
