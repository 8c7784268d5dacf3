// The two rings of an io_uring, by raw system calls: liburing is one more library for what we use of it.
#pragma once

#include <linux/io_uring.h>

#include <cstddef>
#include <cstdint>

namespace lunport {

class UringQueues {
 public:
  UringQueues() = default;
  ~UringQueues() { close(); }
  UringQueues(const UringQueues&) = delete;
  UringQueues& operator=(const UringQueues&) = delete;

  // Returns 0 or a negative errno: whatever keeps io_uring from working here, seccomp included. `more_flags`:
  // IORING_SETUP_SQE128, for entries that carry a command.
  int open(unsigned submissions, unsigned completions, unsigned more_flags = 0);
  // How many of the kernel's threads may work at a time on what cannot be done asynchronously. Linux 5.15; where
  // it is refused, the kernel's own limits stay.
  void allow_workers(unsigned count);
  // An empty table of `count` buffers, which drivers put buffers of theirs into. Linux 5.19. 0 or a negative errno.
  int make_buffer_table(unsigned count);
  // Safe to call twice.
  void close();
  int fd() const { return fd_; }

  // A cleared entry of the submission ring, or null when the ring is full.
  io_uring_sqe* next();
  // Entries that `next` can give before the kernel takes some.
  unsigned room() const { return submission_mask_ + 1 - unsubmitted(); }
  // Entries that the kernel has not taken yet.
  unsigned unsubmitted() const;
  // Gives them to the kernel and waits for `wait_for` completions. Returns how many it took or -errno.
  int enter(unsigned wait_for);
  // Takes the newest unsubmitted entry back; its user_data.
  uint64_t take_back();

  // The oldest completion, if there is one; no system call.
  bool pop(io_uring_cqe& out);
  // Completions wait inside the kernel, because the ring was full or this thread has not entered the kernel
  // since: an `enter` fetches them.
  bool has_more() const;

 private:
  int setup(unsigned submissions, unsigned completions, unsigned flags, io_uring_params& params);
  int map(const io_uring_params& params);
  int check_operations() const;
  int check_round_trip();
  io_uring_sqe* entry(uint32_t position) const {
    return &entries_[static_cast<size_t>(position & submission_mask_) * entry_stride_];
  }

  int fd_ = -1;
  void* rings_ = nullptr;
  size_t rings_length_ = 0;
  io_uring_sqe* entries_ = nullptr;
  size_t entries_length_ = 0;
  size_t entry_stride_ = 1;  // in units of entries_: 2 for wide ones
  uint32_t submission_mask_ = 0;
  uint32_t completion_mask_ = 0;
  uint32_t tail_ = 0;  // of the submission ring; published by `enter`
  uint32_t* submission_head_ = nullptr;
  uint32_t* submission_tail_ = nullptr;
  uint32_t* submission_flags_ = nullptr;
  uint32_t* completion_head_ = nullptr;
  uint32_t* completion_tail_ = nullptr;
  io_uring_cqe* completions_ = nullptr;
};

}  // namespace lunport
