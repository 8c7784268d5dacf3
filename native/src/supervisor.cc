// sd_notify: one datagram to the socket that systemd names in NOTIFY_SOCKET. Node.js has no datagram sockets
// of this family.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "exports.h"

namespace lunport {

namespace {

int notify(const std::string& path, const std::string& message) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || (path[0] != '/' && path[0] != '@')) return -EINVAL;
  if (path.size() >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const socklen_t length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const ssize_t sent = sendto(fd, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                              reinterpret_cast<const sockaddr*>(&address), length);
  const int error = sent < 0 ? -errno : 0;
  close(fd);
  return error;
}

Napi::Value notify_supervisor(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  const std::string message = info[1].As<Napi::String>();
  return number(info.Env(), notify(path, message));
}

}  // namespace

void export_supervisor(Napi::Object exports) { add<notify_supervisor>(exports, "notifySupervisor"); }

}  // namespace lunport
