/*
 * Preloaded into a program of sg3-utils, it answers the program's SG_IO calls through a unix socket instead of
 * the kernel: the tools then talk to the core of a test, in its process, without guest and without root. See
 * sg-io-server.ts for the other side.
 *
 * Request:  cdb length, data-out length, data-in length (32 bits each, native order), cdb, data-out
 * Response: status, sense length, data-in length, sense, data-in
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { DRIVER_SENSE = 0x08, SG_VERSION = 30536, MAX_SENSE = 252, BROKEN = 120 };

static int connection = -1;

static void fail(const char *what) {
  perror(what);
  _exit(BROKEN);
}

static void send_all(const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t sent = write(connection, at, length);
    if (sent <= 0) fail("sg-io-shim: write");
    at += sent;
    length -= (size_t)sent;
  }
}

static void receive_all(void *bytes, size_t length) {
  char *at = bytes;
  while (length > 0) {
    ssize_t received = read(connection, at, length);
    if (received <= 0) fail("sg-io-shim: read");
    at += received;
    length -= (size_t)received;
  }
}

static void connect_once(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *path = getenv("LUNPORT_SG_IO");
  if (connection >= 0) return;
  if (path == NULL || strlen(path) >= sizeof address.sun_path) fail("sg-io-shim: LUNPORT_SG_IO");
  strcpy(address.sun_path, path);
  connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
    fail("sg-io-shim: connect");
  }
}

static int perform(struct sg_io_hdr *io) {
  uint32_t request[3] = {io->cmd_len, 0, 0};
  uint32_t response[3];
  unsigned char sense[MAX_SENSE];
  connect_once();
  if (io->dxfer_direction == SG_DXFER_TO_DEV) request[1] = io->dxfer_len;
  if (io->dxfer_direction == SG_DXFER_FROM_DEV || io->dxfer_direction == SG_DXFER_TO_FROM_DEV) {
    request[2] = io->dxfer_len;
  }
  send_all(request, sizeof request);
  send_all(io->cmdp, io->cmd_len);
  if (request[1] > 0) send_all(io->dxferp, request[1]);
  receive_all(response, sizeof response);
  if (response[1] > sizeof sense || response[2] > request[2]) fail("sg-io-shim: response");
  receive_all(sense, response[1]);
  if (response[2] > 0) receive_all(io->dxferp, response[2]);
  io->sb_len_wr = (unsigned char)(response[1] < io->mx_sb_len ? response[1] : io->mx_sb_len);
  if (io->sb_len_wr > 0) memcpy(io->sbp, sense, io->sb_len_wr);
  io->status = (unsigned char)response[0];
  io->masked_status = (unsigned char)(response[0] >> 1);
  io->host_status = 0;
  io->driver_status = response[1] > 0 ? DRIVER_SENSE : 0;
  io->resid = (int)(request[2] - response[2]);
  io->duration = 0;
  io->info = response[0] != 0 ? SG_INFO_CHECK : SG_INFO_OK;
  return 0;
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*next)(int, unsigned long, ...);
  va_list arguments;
  void *argument;
  va_start(arguments, request);
  argument = va_arg(arguments, void *);
  va_end(arguments);
  if (request == SG_IO) return perform(argument);
  if (request == SG_GET_VERSION_NUM) {
    *(int *)argument = SG_VERSION;
    return 0;
  }
  if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, "ioctl");
  return next(fd, request, argument);
}
