/*
 * What each option of io_uring saves on this machine, alone: `io-uring-options FILE [DEPTH] [ROUNDS] [PART]`, FILE at
 * least 64 MiB long; its contents are overwritten. PART: only options with this in their name. The loop is the io engine's: submit a batch, take what has completed,
 * else sleep in epoll_wait on the ring's descriptor. Options take turns, and the answer is the median of CPU time
 * per request, all threads of the process included, which other work on the machine disturbs least.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096u
#define MAX_DEPTH 256
#define MAX_ROUNDS 64
#define ROUND_SECONDS 0.25

enum { FILE_REGISTERED = 1, RING_REGISTERED = 2, BUFFERS_REGISTERED = 4, SPIN = 8, NO_RING = 16, EVENTFD = 32 };
enum durability { CACHED, DSYNC, LINKED_FSYNC, FSYNC_AFTER };

struct variant {
  const char *name;
  unsigned setup;
  unsigned use;
  int open_flags;
  int write;
  enum durability durability;
  double cpu[MAX_ROUNDS]; /* microseconds per request */
  double iops[MAX_ROUNDS];
  int rounds;
  int error;
};

#define COOP (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)
#define ENGINE (COOP | IORING_SETUP_SINGLE_ISSUER)
#define DEFER (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

static struct variant variants[] = {
    {.name = "O_DIRECT read: no options", .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: COOP_TASKRUN", .setup = COOP, .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: COOP_TASKRUN, SINGLE_ISSUER", .setup = ENGINE, .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: DEFER_TASKRUN", .setup = DEFER, .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: DEFER_TASKRUN, eventfd", .setup = DEFER, .use = EVENTFD, .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: the same, registered file", .setup = ENGINE, .use = FILE_REGISTERED, .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: the same, registered ring", .setup = ENGINE, .use = RING_REGISTERED, .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: the same, registered buffers", .setup = ENGINE, .use = BUFFERS_REGISTERED, .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: the same, spinning", .setup = ENGINE, .use = SPIN, .open_flags = O_DIRECT},
    {.name = "O_DIRECT read: IOPOLL", .setup = IORING_SETUP_IOPOLL, .use = SPIN, .open_flags = O_DIRECT},
    {.name = "page cache read: preadv2, no ring", .use = NO_RING},
    {.name = "page cache read: ring", .setup = ENGINE},
    {.name = "page cache read: ring, all registered", .setup = ENGINE,
     .use = FILE_REGISTERED | RING_REGISTERED | BUFFERS_REGISTERED},
    {.name = "page cache write: pwritev2, no ring", .use = NO_RING, .write = 1},
    {.name = "page cache write: ring", .setup = ENGINE, .write = 1},
    {.name = "durable write: RWF_DSYNC", .setup = ENGINE, .write = 1, .durability = DSYNC},
    {.name = "durable write: linked fsync", .setup = ENGINE, .write = 1, .durability = LINKED_FSYNC},
    {.name = "durable write: fsync after it", .setup = ENGINE, .write = 1, .durability = FSYNC_AFTER},
    {.name = "durable O_DIRECT write: RWF_DSYNC", .setup = ENGINE, .open_flags = O_DIRECT, .write = 1,
     .durability = DSYNC},
    {.name = "durable O_DIRECT write: linked fsync", .setup = ENGINE, .open_flags = O_DIRECT, .write = 1,
     .durability = LINKED_FSYNC},
};
#define VARIANTS (sizeof variants / sizeof *variants)

struct ring {
  int fd;
  int enter_fd;
  unsigned enter_flags;
  unsigned setup;
  int eventfd; /* or -1 */
  void *rings;
  size_t rings_length;
  struct io_uring_sqe *entries;
  size_t entries_length;
  unsigned *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
  unsigned sq_mask, cq_mask, tail;
  struct io_uring_cqe *completions;
};

static uint8_t *buffers;
static off_t places;
static uint32_t state = 0x9e3779b9;

static off_t next_offset(void) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return (off_t)(state % (uint32_t)places) * BLOCK;
}

static double seconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int registration(int fd, unsigned what, void *argument, unsigned count) {
  return (int)syscall(SYS_io_uring_register, fd, what, argument, count);
}

static int open_ring(struct ring *ring, const struct variant *variant, int file, unsigned depth) {
  struct io_uring_params params = {.flags = variant->setup | IORING_SETUP_CLAMP};
  memset(ring, 0, sizeof *ring);
  ring->eventfd = -1;
  ring->fd = ring->enter_fd = (int)syscall(SYS_io_uring_setup, 2 * depth, &params);
  if (ring->fd < 0) return -errno;
  ring->setup = variant->setup;
  size_t sq = params.sq_off.array + params.sq_entries * sizeof(unsigned);
  size_t cq = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  ring->rings_length = sq > cq ? sq : cq;
  ring->rings = mmap(NULL, ring->rings_length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                     IORING_OFF_SQ_RING);
  ring->entries_length = params.sq_entries * sizeof(struct io_uring_sqe);
  ring->entries = mmap(NULL, ring->entries_length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
                       IORING_OFF_SQES);
  if (ring->rings == MAP_FAILED || ring->entries == MAP_FAILED) return -errno;
  uint8_t *base = ring->rings;
  ring->sq_head = (unsigned *)(base + params.sq_off.head);
  ring->sq_tail = (unsigned *)(base + params.sq_off.tail);
  ring->sq_flags = (unsigned *)(base + params.sq_off.flags);
  ring->sq_mask = *(unsigned *)(base + params.sq_off.ring_mask);
  ring->cq_head = (unsigned *)(base + params.cq_off.head);
  ring->cq_tail = (unsigned *)(base + params.cq_off.tail);
  ring->cq_mask = *(unsigned *)(base + params.cq_off.ring_mask);
  ring->completions = (struct io_uring_cqe *)(base + params.cq_off.cqes);
  unsigned *order = (unsigned *)(base + params.sq_off.array);
  for (unsigned i = 0; i < params.sq_entries; i++) order[i] = i;
  if (variant->use & EVENTFD) {
    ring->eventfd = eventfd(0, EFD_NONBLOCK);
    if (registration(ring->fd, IORING_REGISTER_EVENTFD, &ring->eventfd, 1) < 0) return -errno;
  }
  if (variant->use & FILE_REGISTERED && registration(ring->fd, IORING_REGISTER_FILES, &file, 1) < 0) {
    return -errno;
  }
  if (variant->use & BUFFERS_REGISTERED) {
    struct iovec all = {buffers, (size_t)MAX_DEPTH * BLOCK};
    if (registration(ring->fd, IORING_REGISTER_BUFFERS, &all, 1) < 0) return -errno;
  }
  if (variant->use & RING_REGISTERED) {
    struct io_uring_rsrc_update update = {.offset = ~0u, .data = (uint64_t)ring->fd};
    if (registration(ring->fd, IORING_REGISTER_RING_FDS, &update, 1) < 0) return -errno;
    ring->enter_fd = (int)update.offset;
    ring->enter_flags = IORING_ENTER_REGISTERED_RING;
  }
  return 0;
}

static void close_ring(struct ring *ring) {
  if (ring->rings) munmap(ring->rings, ring->rings_length);
  if (ring->entries) munmap(ring->entries, ring->entries_length);
  if (ring->fd >= 0) close(ring->fd);
  if (ring->eventfd >= 0) close(ring->eventfd);
}

static struct io_uring_sqe *entry(struct ring *ring) {
  struct io_uring_sqe *sqe = &ring->entries[ring->tail++ & ring->sq_mask];
  memset(sqe, 0, sizeof *sqe);
  return sqe;
}

static void add_fsync(struct ring *ring, int file, unsigned slot) {
  struct io_uring_sqe *sqe = entry(ring);
  sqe->opcode = IORING_OP_FSYNC;
  sqe->fsync_flags = IORING_FSYNC_DATASYNC;
  sqe->fd = file;
  sqe->user_data = slot;
}

/* user_data of a request's last entry is its slot; of those before it MAX_DEPTH and more. */
static void add(struct ring *ring, const struct variant *variant, int file, unsigned slot) {
  struct io_uring_sqe *sqe = entry(ring);
  const int fixed = (variant->use & BUFFERS_REGISTERED) != 0;
  if (variant->write) sqe->opcode = fixed ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE;
  else sqe->opcode = fixed ? IORING_OP_READ_FIXED : IORING_OP_READ;
  sqe->fd = file;
  if (variant->use & FILE_REGISTERED) {
    sqe->fd = 0;
    sqe->flags |= IOSQE_FIXED_FILE;
  }
  sqe->addr = (uintptr_t)(buffers + (size_t)slot * BLOCK);
  sqe->len = BLOCK;
  sqe->off = (uint64_t)next_offset();
  sqe->user_data = variant->durability == FSYNC_AFTER ? slot + MAX_DEPTH : slot;
  if (variant->durability == DSYNC) sqe->rw_flags = RWF_DSYNC;
  if (variant->durability != LINKED_FSYNC) return;
  sqe->flags |= IOSQE_IO_LINK;
  sqe->user_data = slot + 2 * MAX_DEPTH;
  add_fsync(ring, file, slot);
}

static int enter(struct ring *ring, unsigned flags) {
  __atomic_store_n(ring->sq_tail, ring->tail, __ATOMIC_RELEASE);
  const unsigned count = ring->tail - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
  const long taken =
      syscall(SYS_io_uring_enter, ring->enter_fd, count, 0, flags | ring->enter_flags, NULL, (size_t)0);
  return taken < 0 ? -errno : (int)taken;
}

static int unsubmitted(const struct ring *ring) {
  return ring->tail != __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
}

/* Returns requests completed or a negative errno; makes each anew while `more`. */
static int collect(struct ring *ring, const struct variant *variant, int file, int more) {
  int count = 0;
  unsigned head = *ring->cq_head;
  while (head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE)) {
    const struct io_uring_cqe cqe = ring->completions[head++ & ring->cq_mask];
    __atomic_store_n(ring->cq_head, head, __ATOMIC_RELEASE);
    if (cqe.res < 0) return cqe.res;
    if (cqe.user_data >= 2 * MAX_DEPTH) continue;
    if (cqe.user_data >= MAX_DEPTH) {
      add_fsync(ring, file, (unsigned)cqe.user_data - MAX_DEPTH);
      continue;
    }
    count++;
    if (more) add(ring, variant, file, (unsigned)cqe.user_data);
  }
  return count;
}

static int run_ring(const struct variant *variant, int file, unsigned depth, double until, long *requests) {
  struct ring ring;
  int error = open_ring(&ring, variant, file, depth);
  const int epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  if (error == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, ring.eventfd < 0 ? ring.fd : ring.eventfd, &event) < 0) error = -errno;
  for (unsigned slot = 0; error == 0 && slot < depth; slot++) add(&ring, variant, file, slot);
  unsigned in_flight = depth;
  while (error >= 0 && in_flight > 0) {
    while (error >= 0 && unsubmitted(&ring)) error = enter(&ring, 0);
    if (error < 0) break;
    const int more = seconds(CLOCK_MONOTONIC) < until;
    const unsigned flags = __atomic_load_n(ring.sq_flags, __ATOMIC_RELAXED);
    const int fetch = flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW) || ring.setup & IORING_SETUP_IOPOLL;
    if (fetch) error = enter(&ring, IORING_ENTER_GETEVENTS);
    if (error < 0) break;
    const int done = error = collect(&ring, variant, file, more);
    if (done < 0) break;
    *requests += done;
    if (!more) in_flight -= (unsigned)done;
    if (done > 0 || fetch || unsubmitted(&ring) || variant->use & SPIN) continue;
    epoll_wait(epoll, &event, 1, 100);
    eventfd_t count;
    if (ring.eventfd >= 0) eventfd_read(ring.eventfd, &count);
  }
  close(epoll);
  close_ring(&ring);
  return error < 0 ? error : 0;
}

static int run_calls(const struct variant *variant, int file, double until, long *requests) {
  const struct iovec vector = {buffers, BLOCK};
  while (seconds(CLOCK_MONOTONIC) < until) {
    const ssize_t moved = variant->write ? pwritev2(file, &vector, 1, next_offset(), 0)
                                         : preadv2(file, &vector, 1, next_offset(), 0);
    if (moved < 0) return -errno;
    ++*requests;
  }
  return 0;
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void measure(struct variant *variant, const char *path, unsigned depth) {
  if (variant->error != 0) return;
  const int file = open(path, O_RDWR | variant->open_flags);
  if (file < 0) {
    variant->error = -errno;
    return;
  }
  fdatasync(file);
  long requests = 0;
  const double cpu = cpu_seconds();
  const double begin = seconds(CLOCK_MONOTONIC);
  const double until = begin + ROUND_SECONDS;
  variant->error = variant->use & NO_RING ? run_calls(variant, file, until, &requests)
                                          : run_ring(variant, file, depth, until, &requests);
  close(file);
  if (requests == 0) return;
  variant->cpu[variant->rounds] = 1e6 * (cpu_seconds() - cpu) / (double)requests;
  variant->iops[variant->rounds++] = (double)requests / (seconds(CLOCK_MONOTONIC) - begin);
}

static int ascending(const void *a, const void *b) {
  const double difference = *(const double *)a - *(const double *)b;
  return (difference > 0) - (difference < 0);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, ascending);
  return values[count / 2];
}

int main(int argc, char **argv) {
  const char *path = argc > 1 ? argv[1] : "";
  const unsigned depth = argc > 2 ? (unsigned)atoi(argv[2]) : 32;
  const int rounds = argc > 3 ? atoi(argv[3]) : 5;
  const char *part = argc > 4 ? argv[4] : "";
  const int file = open(path, O_RDWR);
  const off_t size = file < 0 ? 0 : lseek(file, 0, SEEK_END);
  if (size < 64 << 20 || depth < 1 || depth > MAX_DEPTH || rounds < 1 || rounds > MAX_ROUNDS) {
    fprintf(stderr, "usage: %s FILE [DEPTH 1-%d] [ROUNDS 1-%d] [PART OF A NAME]\n", argv[0], MAX_DEPTH, MAX_ROUNDS);
    return 2;
  }
  places = size / BLOCK;
  buffers = mmap(NULL, (size_t)MAX_DEPTH * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffers == MAP_FAILED) return 1;
  memset(buffers, 0x5a, (size_t)MAX_DEPTH * BLOCK);
  for (int round = 0; round < rounds; round++) {
    for (size_t i = 0; i < VARIANTS; i++) {
      if (strstr(variants[i].name, part)) measure(&variants[i], path, depth);
    }
  }
  printf("%s, depth %u, %d rounds\n%-46s %10s %12s\n", path, depth, rounds, "", "CPU/IO us", "IOPS");
  for (size_t i = 0; i < VARIANTS; i++) {
    struct variant *variant = &variants[i];
    if (variant->error != 0) {
      printf("%-46s %s\n", variant->name, strerror(-variant->error));
    } else if (variant->rounds > 0) {
      printf("%-46s %10.2f %12.0f\n", variant->name, median(variant->cpu, variant->rounds),
             median(variant->iops, variant->rounds));
    }
  }
  return 0;
}
