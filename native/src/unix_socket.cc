// Unix stream sockets that carry descriptors. All are close-on-exec and never block.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "exports.h"
#include "foreign_descriptors.h"

namespace lunport {

namespace {

constexpr int kMaxDescriptors = 253;  // the kernel's SCM_MAX_FD: one message never carries more

int make_address(const std::string& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.find('\0') != std::string::npos) return -EINVAL;
  if (path.size() >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  return 0;
}

const sockaddr* as_sockaddr(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

int close_with(int fd, int error) {
  close(fd);
  return -error;
}

int listen_on(const std::string& path, int backlog) {
  sockaddr_un address;
  const int error = make_address(path, address);
  if (error != 0) return error;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  // The file that bind makes takes its mode from the socket: 0600 from its first moment, whatever the umask
  // (which is the process's, and so no thread may change it).
  if (fchmod(fd, S_IRUSR | S_IWUSR) != 0) return close_with(fd, errno);
  if (bind(fd, as_sockaddr(address), sizeof address) != 0) return close_with(fd, errno);
  if (listen(fd, backlog) != 0) {
    const int listen_error = errno;
    unlink(path.c_str());
    return close_with(fd, listen_error);
  }
  return fd;
}

int connect_to(const std::string& path) {
  sockaddr_un address;
  const int error = make_address(path, address);
  if (error != 0) return error;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (connect(fd, as_sockaddr(address), sizeof address) != 0) return close_with(fd, errno);
  return fd;
}

// Descriptors received with a message; closes those that nobody took.
class ReceivedDescriptors {
 public:
  ~ReceivedDescriptors() {
    for (int i = 0; i < count_; i++) close_foreign(fds_[i]);
  }
  void collect(msghdr& message) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
      const int count = static_cast<int>((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      for (int i = 0; i < count && count_ < kMaxDescriptors; i++) {
        memcpy(&fds_[count_++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      }
    }
  }
  int count() const { return count_; }
  void take(int32_t* out) {
    std::copy_n(fds_, count_, out);
    count_ = 0;
  }

 private:
  int fds_[kMaxDescriptors];
  int count_ = 0;
};

union Control {
  cmsghdr header;  // for the alignment
  char bytes[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
};

int64_t receive_from(int fd, ByteRange bytes, int32_t* fds, int capacity, int32_t& fd_count) {
  fd_count = 0;
  if (bytes.data == nullptr) return -EINVAL;
  iovec vector = {bytes.data, bytes.length};
  Control control;
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t n;
  do {
    n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return -errno;
  ReceivedDescriptors received;
  received.collect(message);
  // There was room for all a message can carry, so a truncated one means that we ran out of descriptors.
  if ((message.msg_flags & MSG_CTRUNC) != 0) return -EMFILE;
  if (received.count() > capacity) return -EMSGSIZE;
  fd_count = received.count();
  received.take(fds);
  return n;
}

int64_t send_to(int fd, ByteRange bytes, const int32_t* fds, int fd_count) {
  if (bytes.data == nullptr) return -EINVAL;
  iovec vector = {bytes.data, bytes.length};
  Control control;
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (fd_count > 0) {
    const size_t size = static_cast<size_t>(fd_count) * sizeof(int);
    memset(control.bytes, 0, CMSG_SPACE(size));
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), fds, size);
  }
  ssize_t n;
  do {
    n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  return or_errno(n);
}

Napi::Int32Array int32_array(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Value value = info[index];
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    throw Napi::TypeError::New(info.Env(), "Expected an Int32Array as argument " + std::to_string(index + 1));
  }
  return value.As<Napi::Int32Array>();
}

Napi::Value unix_listen(const Napi::CallbackInfo& info) {
  uint32_t backlog;
  if (!index_argument(info, 1, 65536, backlog)) return number(info.Env(), -EINVAL);
  return number(info.Env(), listen_on(info[0].As<Napi::String>(), static_cast<int>(backlog)));
}

Napi::Value unix_connect(const Napi::CallbackInfo& info) {
  return number(info.Env(), connect_to(info[0].As<Napi::String>()));
}

Napi::Value unix_accept(const Napi::CallbackInfo& info) {
  int fd;
  do {
    fd = accept4(descriptor_argument(info, 0), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  return number(info.Env(), or_errno(fd));
}

// The path of a socket that listens and that another process made, or -errno. It never blocks from now on, and
// programs that we start do not get it.
Napi::Value adopt_listener(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info, 0);
  sockaddr_un address = {};
  socklen_t length = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return number(info.Env(), -errno);
  int listens = 0;
  socklen_t size = sizeof listens;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0) return number(info.Env(), -errno);
  // Unnamed and abstract ones have no path.
  const bool named = address.sun_family == AF_UNIX && address.sun_path[0] == '/';
  if (!named || listens == 0) return number(info.Env(), -EINVAL);
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return number(info.Env(), -errno);
  const size_t room = length - offsetof(sockaddr_un, sun_path);
  return Napi::String::New(info.Env(), address.sun_path, strnlen(address.sun_path, room));
}

Napi::Value peer_credentials(const Napi::CallbackInfo& info) {
  ucred peer;
  socklen_t length = sizeof peer;
  if (getsockopt(descriptor_argument(info, 0), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return number(info.Env(), -errno);
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("pid", peer.pid);
  result.Set("uid", peer.uid);
  result.Set("gid", peer.gid);
  return result;
}

Napi::Value receive(const Napi::CallbackInfo& info) {
  const ByteRange bytes = bytes_argument(info, 1);
  Napi::Int32Array fds = int32_array(info, 4);
  Napi::Int32Array count = int32_array(info, 5);
  if (count.ElementLength() < 1) return number(info.Env(), -EINVAL);
  return number(info.Env(), receive_from(descriptor_argument(info, 0), bytes, fds.Data(),
                                         static_cast<int>(fds.ElementLength()), count[0]));
}

Napi::Value send(const Napi::CallbackInfo& info) {
  const ByteRange bytes = bytes_argument(info, 1);
  Napi::Int32Array fds = int32_array(info, 4);
  uint32_t count;
  if (!index_argument(info, 5, kMaxDescriptors + 1, count) || count > fds.ElementLength()) {
    return number(info.Env(), -EINVAL);
  }
  const int fd = descriptor_argument(info, 0);
  return number(info.Env(), send_to(fd, bytes, fds.Data(), static_cast<int>(count)));
}

}  // namespace

void export_unix_socket(Napi::Object exports) {
  add<unix_listen>(exports, "unixListen");
  add<unix_connect>(exports, "unixConnect");
  add<unix_accept>(exports, "unixAccept");
  add<adopt_listener>(exports, "adoptListener");
  add<peer_credentials>(exports, "peerCredentials");
  add<receive>(exports, "receive");
  add<send>(exports, "send");
}

}  // namespace lunport
