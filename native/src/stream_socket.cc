// TCP sockets, and sends and receives of several buffers at once over stream sockets of any kind. All are
// close-on-exec and never block.
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "arguments.h"
#include "exports.h"

namespace lunport {

namespace {

constexpr uint32_t kMaxChunks = 256;

int set_option(int fd, int level, int name) {
  const int on = 1;
  return setsockopt(fd, level, name, &on, sizeof on);
}

// What connections must have is set here: they inherit it.
int prepare_and_listen(int fd, const addrinfo& address, int backlog) {
  if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) != 0 || set_option(fd, IPPROTO_TCP, TCP_NODELAY) != 0) return -1;
  // `::` is every IPv6 address, and leaves the IPv4 ones to another socket.
  if (address.ai_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0) return -1;
  if (bind(fd, address.ai_addr, address.ai_addrlen) != 0) return -1;
  return listen(fd, backlog);
}

int listen_on(const std::string& host, const std::string& port, int backlog) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return -EINVAL;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> address(found, freeaddrinfo);
  const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (prepare_and_listen(fd, *address, backlog) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

// Rows of `ranges` are (offset, length) in the Uint8Array of the same index. False: a row lies outside its array.
bool gather(const Napi::CallbackInfo& info, iovec* vectors, uint32_t& count) {
  const Napi::Env env = info.Env();
  const Napi::Value ranges_value = info[2];
  if (!info[1].IsArray() || !ranges_value.IsTypedArray() ||
      ranges_value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw Napi::TypeError::New(env, "Expected an array of Uint8Arrays and a Float64Array");
  }
  const Napi::Float64Array ranges = ranges_value.As<Napi::Float64Array>();
  if (!index_argument(info, 3, kMaxChunks + 1, count) || size_t{count} * 2 > ranges.ElementLength()) return false;
  const double* const rows = ranges.Data();
  for (uint32_t i = 0; i < count; i++) {
    napi_value element;
    napi_typedarray_type type;
    size_t size;
    void* data;
    if (napi_get_element(env, info[1], i, &element) != napi_ok ||
        napi_get_typedarray_info(env, element, &type, &size, &data, nullptr, nullptr) != napi_ok ||
        type != napi_uint8_array) {
      throw Napi::TypeError::New(env, "Expected a Uint8Array in each row");
    }
    const double at = rows[2 * i];
    const double length = rows[2 * i + 1];
    if (!(at >= 0 && length >= 0 && at + length <= static_cast<double>(size))) return false;
    vectors[i] = {static_cast<uint8_t*>(data) + static_cast<size_t>(at), static_cast<size_t>(length)};
  }
  return true;
}

Napi::Value tcp_listen(const Napi::CallbackInfo& info) {
  uint32_t port;
  uint32_t backlog;
  if (!index_argument(info, 1, 65536, port) || !index_argument(info, 2, 65536, backlog)) {
    return number(info.Env(), -EINVAL);
  }
  const std::string host = info[0].As<Napi::String>();
  return number(info.Env(), listen_on(host, std::to_string(port), static_cast<int>(backlog)));
}

// One end of a socket, as `get` (getsockname or getpeername) has it.
template <typename Get>
Napi::Value end_of(const Napi::CallbackInfo& info, Get get) {
  sockaddr_storage address;
  socklen_t length = sizeof address;
  if (get(descriptor_argument(info, 0), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return number(info.Env(), -errno);
  }
  // Others have no number for a port.
  if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return number(info.Env(), -EAFNOSUPPORT);
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(reinterpret_cast<sockaddr*>(&address), length, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return number(info.Env(), -EAFNOSUPPORT);
  }
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("host", static_cast<const char*>(host));
  result.Set("port", std::stoi(port));
  return result;
}

Napi::Value local_address(const Napi::CallbackInfo& info) { return end_of(info, getsockname); }

Napi::Value peer_address(const Napi::CallbackInfo& info) { return end_of(info, getpeername); }

// Calls recvmsg or sendmsg with the chunks that the arguments name.
template <typename Transfer>
Napi::Value transfer(const Napi::CallbackInfo& info, Transfer call) {
  iovec vectors[kMaxChunks];
  uint32_t count;
  if (!gather(info, vectors, count)) return number(info.Env(), -EINVAL);
  msghdr message = {};
  message.msg_iov = vectors;
  message.msg_iovlen = count;
  const int fd = descriptor_argument(info, 0);
  ssize_t n;
  do {
    n = call(fd, &message);
  } while (n < 0 && errno == EINTR);
  return number(info.Env(), or_errno(n));
}

Napi::Value receive_vector(const Napi::CallbackInfo& info) {
  return transfer(info, [](int fd, msghdr* message) { return recvmsg(fd, message, MSG_DONTWAIT); });
}

Napi::Value send_vector(const Napi::CallbackInfo& info) {
  return transfer(info, [](int fd, msghdr* message) { return sendmsg(fd, message, MSG_NOSIGNAL | MSG_DONTWAIT); });
}

Napi::Value shutdown_write(const Napi::CallbackInfo& info) {
  return number(info.Env(), or_errno(shutdown(descriptor_argument(info, 0), SHUT_WR)));
}

}  // namespace

void export_stream_socket(Napi::Object exports) {
  add<tcp_listen>(exports, "tcpListen");
  add<local_address>(exports, "localAddress");
  add<peer_address>(exports, "peerAddress");
  add<receive_vector>(exports, "receiveVector");
  add<send_vector>(exports, "sendVector");
  add<shutdown_write>(exports, "shutdownWrite");
}

}  // namespace lunport
