#include "command_ring.h"

#include <cerrno>
#include <cstring>
#include <vector>

#include "loop_poll.h"
#include "numbers.h"

namespace lunport {

namespace {

// The kernel lacks memory, or wants completions collected: both pass quickly or not at all.
constexpr int kMaxRefusals = 1000;

// Both ublksrv_io_cmd and ublksrv_ctrl_cmd begin so (linux/ublk_cmd.h).
struct Payload {
  uint32_t words[2];
  uint64_t address;
  uint64_t data;
};
static_assert(sizeof(Payload) == 24);

}  // namespace

CommandRing::CommandRing(Environment& environment, uint32_t depth, Tables tables)
    : environment_(environment), depth_(depth), tables_(tables), slots_(new Slot[depth]) {
  environment_.command_rings.push_back(this);
}

std::unique_ptr<CommandRing> CommandRing::open(Environment& environment, uint32_t depth, Tables tables,
                                               Ready ready, void* context, int& error) {
  std::unique_ptr<CommandRing> self(new CommandRing(environment, depth, tables));
  error = self->queues_.open(depth, 2 * depth, IORING_SETUP_SQE128);
  if (error == 0) {
    self->poll_ = LoopPoll::open(environment, self->queues_.fd(), UV_READABLE, ready, context, error);
  }
  if (self->poll_ == nullptr) self.reset();
  return self;
}

CommandRing::~CommandRing() { shut_down(); }

void CommandRing::shut_down() {
  if (ended_) return;
  ended_ = true;
  std::erase(environment_.command_rings, this);
  if (poll_ != nullptr) poll_->close();
  poll_ = nullptr;
  queues_.close();
}

// Whether every row names a free slot and memory of its own.
int CommandRing::check(uint32_t count) {
  int error = 0;
  uint32_t row = 0;
  for (; row < count && error == 0; row++) {
    const double* const numbers = tables_.submissions + row * kCommandColumns;
    uint32_t slot;
    if (!to_index(numbers[0], depth_, slot) || slots_[slot].busy) {
      error = -EINVAL;
      break;
    }
    Region* region = nullptr;
    if (numbers[5] >= 0) {
      uint64_t offset;
      uint64_t length;
      region = environment_.regions.find(numbers[5]);
      if (region == nullptr || !to_unsigned(numbers[6], offset) || !to_unsigned(numbers[7], length) ||
          RegionTable::resolve(*region, offset, length) == nullptr) {
        error = -EFAULT;
        break;
      }
    }
    slots_[slot] = {true, region};
  }
  if (error == 0) return 0;
  for (uint32_t i = 0; i < row; i++) {
    slots_[static_cast<uint32_t>(tables_.submissions[i * kCommandColumns])] = {};
  }
  return error;
}

// Of a row that was checked.
void CommandRing::describe(const double* row, io_uring_sqe& entry) {
  const uint32_t slot = static_cast<uint32_t>(row[0]);
  Region* const region = slots_[slot].region;
  const auto word = [](double number) { return static_cast<uint32_t>(static_cast<int64_t>(number)); };
  const Payload payload = {
      {word(row[3]), word(row[4])},
      region == nullptr ? 0 : reinterpret_cast<uintptr_t>(region->mapping.data()) + static_cast<uint64_t>(row[6]),
      static_cast<uint64_t>(row[8]),
  };
  entry.opcode = IORING_OP_URING_CMD;
  entry.fd = static_cast<int32_t>(row[1]);
  entry.cmd_op = word(row[2]);
  entry.user_data = slot;
  memcpy(entry.cmd, &payload, sizeof payload);
  if (region != nullptr) region->users++;
  running_++;
}

int CommandRing::exchange(uint32_t count) {
  const int error = check(count);
  if (error != 0) return error;
  int filled = 0;
  for (uint32_t row = 0; row < count; row++) {
    // There is an entry for each slot, and every call leaves the ring empty.
    describe(tables_.submissions + row * kCommandColumns, *queues_.next());
  }
  int refusals = 0;
  while (queues_.unsubmitted() > 0) {
    const int taken = queues_.enter(0);
    if (taken > 0 || taken == -EINTR) continue;
    filled = collect(filled);
    if (++refusals < kMaxRefusals) continue;
    // Refused for good: whoever waits for the command hears of it.
    const uint32_t slot = static_cast<uint32_t>(queues_.take_back());
    int32_t* const completion = tables_.completions + filled++ * kCommandResultColumns;
    completion[0] = static_cast<int32_t>(slot);
    completion[1] = taken < 0 ? taken : -EIO;
    running_--;
    if (slots_[slot].region != nullptr) slots_[slot].region->users--;
    slots_[slot] = {};
  }
  if (count == 0 && queues_.has_more()) queues_.enter(0);
  return collect(filled);
}

int CommandRing::collect(int filled) {
  io_uring_cqe result;
  while (static_cast<uint32_t>(filled) < depth_ && queues_.pop(result)) {
    int32_t* const completion = tables_.completions + filled++ * kCommandResultColumns;
    Slot& slot = slots_[result.user_data];
    completion[0] = static_cast<int32_t>(result.user_data);
    completion[1] = result.res;
    if (slot.region != nullptr) slot.region->users--;
    slot = {};
    running_--;
  }
  return filled;
}

}  // namespace lunport
