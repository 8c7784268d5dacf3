// One slot of an engine: an operation from its submission to its completion.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <vector>

#include "engine_spec.h"

namespace lunport {

struct KernelBuffers;
struct Region;

inline constexpr unsigned kMaxVectorsPerCall = 1024;  // IOV_MAX: longer lists go in several calls

struct Operation {
  uint32_t slot = 0;
  bool busy = false;         // from its submission to its report
  bool handed_over = false;  // to AsyncIo
  Kind kind = Kind::CANCELLED;
  uint8_t flags = 0;
  uint16_t refusals = 0;  // EAGAIN and EINTR in a row
  int fd = -1;
  uint64_t offset = 0;     // of the next byte to move
  uint64_t remaining = 0;  // bytes still to move; the range's length for kinds that move none
  int32_t moved = 0;
  int32_t result = 0;
  std::atomic<bool> cancelled{false};
  // Kept from use to use, so that nothing is allocated once a slot has seen its longest list.
  std::vector<iovec> vectors;
  size_t first = 0;              // vectors before this one are done
  // Whose buffer the data is in, when it is in no memory of ours; then there is one vector, from the buffer's start.
  const KernelBuffers* lender = nullptr;
  uint32_t lent_buffer = 0;
  unsigned lent_parts = 0;  // how many of the two have not ended: moving the data, and giving the buffer back
  int lent_result = 0;      // of moving the data, kept until both have
  std::vector<Region*> regions;  // those whose `users` this operation counts in

  Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  bool moves_data() const { return kind == Kind::READ_FILE || kind == Kind::WRITE_FILE; }
  const iovec* next_vectors() const { return vectors.data() + first; }
  unsigned next_vector_count() const {
    const size_t left = vectors.size() - first;
    return left < kMaxVectorsPerCall ? static_cast<unsigned>(left) : kMaxVectorsPerCall;
  }

  // Takes the outcome of one attempt (bytes or a negative errno). True: the operation has ended with
  // `result`; false: the rest is to be attempted.
  bool settle(int64_t outcome);
  // One blocking attempt by plain system calls, for `settle`. `extra` are RWF_ flags.
  int64_t attempt(int extra) const;
  // The mode argument of fallocate for this kind.
  int fallocate_mode() const;
  bool is_fallocate() const {
    return kind == Kind::PUNCH_HOLE || kind == Kind::ZERO_RANGE || kind == Kind::PREALLOCATE;
  }
  // RWF_ flags that the operation's own flags ask for.
  int write_flags() const { return (flags & flag::FUA) != 0 ? RWF_DSYNC : 0; }

 private:
  void advance(uint64_t bytes);
};

// Operations that have ended and are to be reported. Has room for every slot.
class Finished {
 public:
  explicit Finished(size_t slots) { list_.reserve(slots); }
  void add(Operation& operation) { list_.push_back(&operation); }
  void clear() { list_.clear(); }
  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }

 private:
  std::vector<Operation*> list_;
};

}  // namespace lunport
