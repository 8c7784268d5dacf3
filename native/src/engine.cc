#include "engine.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "loop_poll.h"
#include "numbers.h"
#include "thread_pool.h"
#include "uring.h"
#include "vector_rows.h"

namespace lunport {

namespace {

// A completion's result is an int32.
constexpr uint64_t kMaxTransfer = std::numeric_limits<int32_t>::max();

bool is_ram(Kind kind) { return kind == Kind::RAM_READ || kind == Kind::RAM_WRITE || kind == Kind::RAM_ZERO; }

bool has_vectors(Kind kind) {
  return kind == Kind::READ_FILE || kind == Kind::WRITE_FILE || kind == Kind::RAM_READ ||
         kind == Kind::RAM_WRITE;
}

}  // namespace

Engine::Engine(Environment& environment, const Options& options, Tables tables)
    : environment_(environment),
      options_(options),
      tables_(tables),
      slots_(options.depth + options.copies),
      operations_(new Operation[slots_]),
      finished_(slots_) {
  for (uint32_t slot = 0; slot < slots_; slot++) operations_[slot].slot = slot;
}

std::unique_ptr<Engine> Engine::open(Environment& environment, const Options& options, Tables tables,
                                     Ready ready, void* context, int& error) {
  std::unique_ptr<Engine> self(new Engine(environment, options, tables));
  error = self->open_io(options);
  if (error != 0) return nullptr;
  self->poll_ = LoopPoll::open(environment, self->io_->ready_fd(), UV_READABLE, ready, context, error);
  if (error != 0) return nullptr;
  self->poll_->unref();
  environment.engines.push_back(self.get());
  return self;
}

int Engine::open_io(const Options& options) {
  int error = -ENOSYS;
  if (options.mode != Mode::THREADS) io_ = Uring::open(operations_.get(), options.depth, error);
  if (io_ == nullptr && options.mode != Mode::IO_URING) {
    io_ = ThreadPool::open(options.threads, options.depth, error);
  }
  return error;
}

Engine::~Engine() { shut_down(); }

int Engine::submit(uint32_t count) {
  if (!claim(count)) return kBadSlot;
  finished_.clear();
  policy_.new_round();
  const double* row = tables_.submissions;
  for (uint32_t i = 0; i < count; i++, row += kSubmissionColumns) {
    Ahead next;
    if (count == 1) {
      next = itself(row);
    } else if (i + 1 < count) {
      next = ahead(row + kSubmissionColumns, kApproach);
    }
    run(row, operations_[static_cast<uint32_t>(row[1])], next);
  }
  ram_.settle();
  if (running_ > 0) io_->flush(finished_);
  return report();
}

// The row is next: what it reads is fetched while the one before it is copied. A wrong row is refused when its turn
// comes. Writes gain nothing: the store buffer waits for them.
Ahead Engine::ahead(const double* row, uint64_t most) const {
  const bool from_ram = row[0] == static_cast<double>(Kind::RAM_READ);
  if (!from_ram && row[0] != static_cast<double>(Kind::READ_FILE)) return {};
  uint64_t offset;
  uint64_t length;
  if (!to_unsigned(row[4], offset) || !to_unsigned(row[5], length)) return {};
  if (from_ram) {
    const Region* const disk = environment_.regions.find(row[2]);
    if (disk != nullptr) return RamIo::ahead(*disk, offset, std::min(length, most));
  } else if (uint32_t fd; to_index(row[2], std::numeric_limits<int32_t>::max(), fd)) {
    policy_.approach(static_cast<int>(fd), offset, length);
  }
  return {};
}

// Of a short read that comes alone, which nobody fetched: its own start is, before anything else is done for it, and the
// rest while it is copied.
Ahead Engine::itself(const double* row) const {
  if (row[0] != static_cast<double>(Kind::RAM_READ) || !(row[5] <= RamIo::kShort)) return {};
  const Ahead own = ahead(row, RamIo::kShort);
  if (own.bytes <= RamIo::kLead) return {};
  approach(own.from, RamIo::kLead);
  return {own.from + RamIo::kLead, own.bytes - RamIo::kLead};
}

bool Engine::claim(uint32_t count) {
  const double* const rows = tables_.submissions;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t slot;
    if (to_index(rows[i * kSubmissionColumns + 1], slots_, slot) && !operations_[slot].busy) {
      operations_[slot].busy = true;
      continue;
    }
    while (i-- > 0) operations_[static_cast<uint32_t>(rows[i * kSubmissionColumns + 1])].busy = false;
    return false;
  }
  return true;
}

// Fills the operation from its row. Returns 0 or the negative errno that it completes with.
int Engine::prepare(const double* row, Operation& operation) {
  uint32_t kind;
  uint32_t flags;
  uint32_t fd = 0;
  operation.vectors.clear();
  operation.regions.clear();
  operation.lender = nullptr;
  if (!to_index(row[0], kLastKind + 1, kind) || !to_index(row[3], flag::ALL + 1, flags) ||
      !to_unsigned(row[4], operation.offset) || !to_unsigned(row[5], operation.remaining)) {
    return -EINVAL;
  }
  operation.kind = static_cast<Kind>(kind);
  if (!is_ram(operation.kind)) {
    if (operation.slot >= options_.depth && operation.kind != Kind::CANCELLED) return -EINVAL;
    if (!to_index(row[2], std::numeric_limits<int32_t>::max(), fd)) return -EBADF;
  }
  operation.fd = static_cast<int>(fd);
  operation.flags = static_cast<uint8_t>(flags);
  operation.refusals = 0;
  operation.moved = 0;
  operation.first = 0;
  operation.cancelled.store(false, std::memory_order_relaxed);
  if (!has_vectors(operation.kind)) return 0;
  uint32_t first;
  uint32_t count;
  if (operation.remaining > kMaxTransfer || !to_index(row[6], options_.max_vectors + 1, first) ||
      !to_index(row[7], options_.max_vectors + 1 - first, count)) {
    return -EINVAL;
  }
  const double* const rows = tables_.vectors + size_t{first} * kVectorColumns;
  const int error = gather(environment_.regions, rows, count, operation.remaining, operation);
  if (error != 0 || operation.lender == nullptr) return error;
  return operation.moves_data() && io_->borrows() ? 0 : -EFAULT;
}

void Engine::run(const double* row, Operation& operation, const Ahead& next) {
  operation.result = prepare(row, operation);
  if (operation.result == 0) {
    if (operation.kind == Kind::CANCELLED) {
      operation.result = -ECANCELED;
    } else if (is_ram(operation.kind)) {
      Region* const disk = environment_.regions.find(row[2]);
      operation.result = disk == nullptr ? -EFAULT : ram_.transfer(*disk, operation, next);
    } else if (operation.remaining > 0 || operation.kind == Kind::FSYNC) {
      const bool may_try =
          (operation.flags & (flag::INLINE | flag::DIRECT)) == flag::INLINE && operation.lender == nullptr;
      if (!may_try || !policy_.try_now(operation)) return hand_over(operation);
    }
  }
  operation.regions.clear();
  finished_.add(operation);
}

void Engine::hand_over(Operation& operation) {
  for (Region* region : operation.regions) region->users++;
  running_++;
  operation.handed_over = true;
  io_->start(operation, finished_);
}

int Engine::reap() {
  finished_.clear();
  if (running_ > 0) io_->reap(finished_);
  return report();
}

int Engine::report() {
  int count = 0;
  int32_t* row = tables_.completions;
  for (Operation* operation : finished_) {
    if (operation->handed_over) {
      for (Region* region : operation->regions) region->users--;
      operation->handed_over = false;
      running_--;
    }
    operation->busy = false;
    row[0] = static_cast<int32_t>(operation->slot);
    row[1] = operation->result;
    row += kCompletionColumns;
    count++;
  }
  hold_loop();
  return count;
}

// The process must not end while operations run, and need not live on because there is an engine.
void Engine::hold_loop() {
  const bool hold = running_ > 0;
  if (hold == holds_loop_ || poll_ == nullptr) return;
  holds_loop_ = hold;
  if (hold) {
    poll_->ref();
  } else {
    poll_->unref();
  }
}

void Engine::cancel(uint32_t slot) {
  if (slot < options_.depth && operations_[slot].handed_over) io_->cancel(operations_[slot]);
}

void Engine::shut_down() {
  if (io_ == nullptr) return;
  for (uint32_t slot = 0; slot < options_.depth; slot++) cancel(slot);
  while (running_ > 0) {
    finished_.clear();
    io_->wait(finished_);
    report();
  }
  if (poll_ != nullptr) poll_->close();
  poll_ = nullptr;
  io_.reset();
  std::erase(environment_.engines, this);
}

}  // namespace lunport
