/*
 * The physical limit of a machine: a vhost-user-scsi back-end that walks the ring and copies, and does nothing
 * else. No checks, no SCSI but READ(10) and WRITE(10), one thread. For benchmarks only: it trusts its front-end.
 *
 *   minimal-responder --socket PATH [--ram MEBIBYTES | --null] [--poll | --eventfd]
 *
 * --poll spins and never asks for a kick; --eventfd sleeps in poll() when the rings are empty.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  GET_FEATURES = 1, SET_FEATURES = 2, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR = 9,
  SET_VRING_BASE = 10, GET_VRING_BASE = 11, SET_VRING_KICK = 12, SET_VRING_CALL = 13, SET_VRING_ERR = 14,
  GET_PROTOCOL_FEATURES = 15, SET_PROTOCOL_FEATURES = 16, GET_QUEUE_NUM = 17, SET_VRING_ENABLE = 18,
  GET_MAX_MEM_SLOTS = 36, ADD_MEM_REG = 37,
};
enum { FLAG_VERSION = 1, FLAG_REPLY = 4, FLAG_NEED_REPLY = 8 };
enum { MAX_QUEUES = 10, MAX_REGIONS = 64, MAX_FDS = 8 };
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
enum { CDB_OFFSET = 19, RESPONSE_FIELDS = 12, RESPONSE_LENGTH = 108, READ_10 = 0x28, WRITE_10 = 0x2a };
/* Ring passes between two looks at the socket while polling. */
enum { PASSES_PER_SOCKET_CHECK = 1 << 16 };

#define BIT(n) (1ULL << (n))
/* EVENT_IDX, INDIRECT_DESC, PROTOCOL_FEATURES, VERSION_1 */
#define EVENT_IDX BIT(29)
#define FEATURES (BIT(28) | BIT(30) | BIT(32))
/* MQ, REPLY_ACK, CONFIGURE_MEM_SLOTS */
#define PROTOCOL_FEATURES (BIT(0) | BIT(3) | BIT(15))

struct desc { uint64_t addr; uint32_t len; uint16_t flags, next; };
struct avail { uint16_t flags; _Atomic uint16_t idx; uint16_t ring[]; };
struct used_elem { uint32_t id, len; };
struct used { uint16_t flags; _Atomic uint16_t idx; struct used_elem ring[]; };

struct region { uint64_t guest, size, user; uint8_t *base; };

struct queue {
  uint32_t size;
  struct desc *desc;
  struct avail *avail;
  struct used *used;
  uint64_t addresses[3];
  uint16_t last;
  int kick, call;
  bool enabled;
};

struct message {
  uint32_t request, flags, size;
  union {
    uint64_t u64;
    struct { uint32_t index, value; } state;
    struct { uint32_t index, flags; uint64_t desc, used, avail, log; } addr;
    struct { uint32_t count, padding; struct { uint64_t guest, size, user, offset; } at[8]; } table;
  } body;
} __attribute__((packed));
_Static_assert(sizeof(struct desc) == 16 && sizeof(struct used_elem) == 8, "virtio 1.2, 2.7");
enum { HEADER = 12 };

static struct region regions[MAX_REGIONS];
static int region_count;
static struct queue queues[MAX_QUEUES];
static uint8_t *disk;
static uint64_t disk_size;
static bool polling = true;
static bool event_idx;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void *from_guest(uint64_t address) {
  for (int i = 0; i < region_count; i++)
    if (address - regions[i].guest < regions[i].size) return regions[i].base + (address - regions[i].guest);
  fprintf(stderr, "address %#lx is outside guest memory\n", (unsigned long)address);
  exit(1);
}

static void *from_user(uint64_t address) {
  for (int i = 0; i < region_count; i++)
    if (address - regions[i].user < regions[i].size) return regions[i].base + (address - regions[i].user);
  return NULL;
}

static void add_region(uint64_t guest, uint64_t size, uint64_t user, uint64_t offset, int fd) {
  if (region_count == MAX_REGIONS) die("too many regions");
  uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
  if (base == MAP_FAILED) die("mmap");
  close(fd);
  regions[region_count++] = (struct region){guest, size, user, base};
}

/* One request: header, data and response each in any number of descriptors after the header's own. */
static uint32_t respond(struct desc *table, uint16_t head) {
  struct desc *d = &table[head];
  if (d->flags & DESC_INDIRECT) {
    table = from_guest(d->addr);
    d = table;
  }
  const uint8_t *cdb = (uint8_t *)from_guest(d->addr) + CDB_OFFSET;
  uint64_t lba = (uint64_t)cdb[2] << 24 | cdb[3] << 16 | cdb[4] << 8 | cdb[5];
  uint8_t *at = disk == NULL ? NULL : disk + lba * 512 % disk_size;
  uint32_t written = 0;
  bool response = true;
  while (d->flags & DESC_NEXT) {
    d = &table[d->next];
    if (d->flags & DESC_WRITE && response) {
      memset(from_guest(d->addr), 0, RESPONSE_FIELDS);
      written += RESPONSE_LENGTH;
      response = false;
    } else if (d->flags & DESC_WRITE) {
      if (at != NULL) {
        memcpy(from_guest(d->addr), at, d->len);
        at += d->len;
      }
      written += d->len;
    } else if (at != NULL) {
      memcpy(at, from_guest(d->addr), d->len);
      at += d->len;
    }
  }
  return written;
}

static bool need_event(uint16_t event, uint16_t now, uint16_t old) {
  return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

static bool walk(struct queue *q) {
  uint16_t end = atomic_load_explicit(&q->avail->idx, memory_order_acquire);
  uint16_t start = q->last;
  if (start == end) return false;
  for (uint16_t i = start; i != end; i++) {
    uint16_t head = q->avail->ring[i & (q->size - 1)];
    q->used->ring[i & (q->size - 1)] = (struct used_elem){head, respond(q->desc, head)};
  }
  q->last = end;
  /* Sequentially consistent: the driver's wish for a signal must be read after the index is visible. */
  atomic_store(&q->used->idx, end);
  volatile uint16_t *used_event = &q->avail->ring[q->size];
  volatile uint16_t *flags = &q->avail->flags;
  bool signal = event_idx ? need_event(*used_event, end, start) : !(*flags & 1);
  if (signal && q->call >= 0 && write(q->call, &(uint64_t){1}, 8) < 0 && errno != EAGAIN) die("call");
  return true;
}

/* Asks for the next kick; true when requests came meanwhile. */
static bool arm(struct queue *q) {
  volatile uint16_t *avail_event = (void *)&q->used->ring[q->size];
  if (event_idx) *avail_event = q->last;
  else q->used->flags = 0;
  atomic_thread_fence(memory_order_seq_cst);
  return atomic_load(&q->avail->idx) != q->last;
}

static void start(struct queue *q) {
  q->desc = from_user(q->addresses[0]);
  q->used = from_user(q->addresses[1]);
  q->avail = from_user(q->addresses[2]);
  if (polling) q->used->flags = 1;
}

static bool running(struct queue *q) {
  return q->enabled && q->kick >= 0 && q->desc != NULL;
}

/* Receives and answers one message; false at the end of the connection. */
static bool serve_message(int connection) {
  static struct message m;
  int fds[MAX_FDS];
  int fd_count = 0;
  union { char bytes[CMSG_SPACE(sizeof fds)]; struct cmsghdr align; } control;
  struct iovec iov = {&m, HEADER};
  struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(connection, &header, MSG_WAITALL) != HEADER) return false;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
    fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(c), fd_count * sizeof(int));
  }
  if (m.size > sizeof m.body) return false;
  if (m.size > 0 && recv(connection, &m.body, m.size, MSG_WAITALL) != m.size) return false;
  int fd = fd_count > 0 ? fds[0] : -1;
  bool reply = false;
  uint64_t number = m.body.u64;
  struct queue *q = &queues[m.body.state.index % MAX_QUEUES];
  switch (m.request) {
  case GET_FEATURES: m.body.u64 = polling ? FEATURES : FEATURES | EVENT_IDX; reply = true; break;
  case SET_FEATURES: event_idx = number & EVENT_IDX; break;
  case GET_PROTOCOL_FEATURES: m.body.u64 = PROTOCOL_FEATURES; reply = true; break;
  case GET_QUEUE_NUM: m.body.u64 = MAX_QUEUES; reply = true; break;
  case GET_MAX_MEM_SLOTS: m.body.u64 = MAX_REGIONS; reply = true; break;
  case SET_MEM_TABLE:
    for (uint32_t i = 0; i < m.body.table.count && i < (uint32_t)fd_count; i++)
      add_region(m.body.table.at[i].guest, m.body.table.at[i].size, m.body.table.at[i].user,
                 m.body.table.at[i].offset, fds[i]);
    break;
  case ADD_MEM_REG: /* u64 padding, then a region: the table's layout, as luck has it */
    add_region(m.body.table.at[0].guest, m.body.table.at[0].size, m.body.table.at[0].user,
               m.body.table.at[0].offset, fd);
    break;
  case SET_VRING_NUM: q->size = m.body.state.value; break;
  case SET_VRING_BASE: q->last = m.body.state.value; break;
  case GET_VRING_BASE: q->enabled = false; m.body.state.value = q->last; reply = true; break;
  case SET_VRING_ADDR:
    q->addresses[0] = m.body.addr.desc;
    q->addresses[1] = m.body.addr.used;
    q->addresses[2] = m.body.addr.avail;
    start(q);
    break;
  case SET_VRING_KICK: queues[number & 0xff].kick = fd; break;
  case SET_VRING_CALL: queues[number & 0xff].call = fd; break;
  case SET_VRING_ENABLE: q->enabled = m.body.state.value; break;
  default: break;
  }
  if (reply) {
    m.size = m.request == GET_VRING_BASE ? sizeof m.body.state : sizeof m.body.u64;
  } else if (m.flags & FLAG_NEED_REPLY) {
    m.body.u64 = 0;
    m.size = sizeof m.body.u64;
    reply = true;
  }
  m.flags = FLAG_VERSION | FLAG_REPLY;
  return !reply || send(connection, &m, HEADER + m.size, MSG_NOSIGNAL) == HEADER + m.size;
}

static bool walk_all(void) {
  bool any = false;
  for (int i = 0; i < MAX_QUEUES; i++)
    if (running(&queues[i])) any |= walk(&queues[i]);
  return any;
}

/* Sleeps until a kick or a message; true when the socket has something. */
static bool wait_for_work(int connection) {
  struct pollfd fds[1 + MAX_QUEUES] = {{connection, POLLIN, 0}};
  int count = 1;
  for (int i = 0; i < MAX_QUEUES; i++) {
    if (!running(&queues[i])) continue;
    if (arm(&queues[i])) return false;
    fds[count++] = (struct pollfd){queues[i].kick, POLLIN, 0};
  }
  if (poll(fds, count, -1) < 0 && errno != EINTR) die("poll");
  uint64_t ignored;
  for (int i = 1; i < count; i++)
    if (fds[i].revents & POLLIN && read(fds[i].fd, &ignored, 8) < 0 && errno != EAGAIN) die("kick");
  return fds[0].revents != 0;
}

static void serve_connection(int connection) {
  for (;;) {
    if (polling) {
      for (int i = 0; i < PASSES_PER_SOCKET_CHECK; i++) {
        if (!walk_all() && (i & 1023) == 1023) break;
      }
      struct pollfd fd = {connection, POLLIN, 0};
      if (poll(&fd, 1, 0) == 0) continue;
    } else {
      if (walk_all()) continue;
      if (!wait_for_work(connection)) continue;
    }
    if (!serve_message(connection)) return;
  }
}

static void reset(void) {
  for (int i = 0; i < region_count; i++) munmap(regions[i].base, regions[i].size);
  region_count = 0;
  for (int i = 0; i < MAX_QUEUES; i++) {
    if (queues[i].kick > 0) close(queues[i].kick);
    if (queues[i].call > 0) close(queues[i].call);
    queues[i] = (struct queue){.kick = -1, .call = -1};
  }
}

int main(int argc, char **argv) {
  const char *path = NULL;
  uint64_t mebibytes = 1024;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--socket") && i + 1 < argc) path = argv[++i];
    else if (!strcmp(argv[i], "--ram") && i + 1 < argc) mebibytes = strtoull(argv[++i], NULL, 10);
    else if (!strcmp(argv[i], "--null")) mebibytes = 0;
    else if (!strcmp(argv[i], "--poll")) polling = true;
    else if (!strcmp(argv[i], "--eventfd")) polling = false;
    else { fprintf(stderr, "%s: what is %s?\n", argv[0], argv[i]); return 2; }
  }
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path == NULL || strlen(path) >= sizeof address.sun_path) {
    fprintf(stderr, "%s: --socket PATH is needed\n", argv[0]);
    return 2;
  }
  strcpy(address.sun_path, path);
  if (mebibytes > 0) {
    disk_size = mebibytes << 20;
    disk = mmap(NULL, disk_size + (1 << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (disk == MAP_FAILED) die("mmap");
    madvise(disk, disk_size, MADV_HUGEPAGE);
    memset(disk, 1, disk_size);
  }
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0) die(path);
  for (;;) {
    reset();
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) die("accept");
    serve_connection(connection);
    close(connection);
  }
}
