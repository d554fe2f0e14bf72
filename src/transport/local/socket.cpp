// SPDX-License-Identifier: Apache-2.0
#include "transport/local/socket.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "base/token.hpp"

namespace grainfabric::transport::local {
namespace {

constexpr const char* kFormat = "grainfabric-local";
constexpr std::size_t kIdLength = 32;
constexpr int kBacklog = 16;

UniqueFd new_socket() {
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) {
    throw Error::from_errno(errno, "Cannot create a socket (local)",
                            "Raise the limit on open files (ulimit -n).");
  }
  return fd;
}

}  // namespace

SocketName::SocketName(const std::string& directory, std::string id) : id_(std::move(id)) {
  const std::string name = "grainfabric-" + id_;
  address_.sun_family = AF_UNIX;
  if (!directory.empty()) path_ = directory + "/" + name + ".socket";
  const std::string raw = path_.empty() ? std::string(1, '\0') + name : path_ + '\0';
  if (raw.size() > sizeof address_.sun_path) {
    throw Error(ErrorCode::invalid_argument,
                "The name of the socket directory " + directory + " is too long (local)",
                "At most " +
                    std::to_string(sizeof address_.sun_path - (raw.size() - directory.size())) +
                    " characters are possible.");
  }
  std::memcpy(address_.sun_path, raw.data(), raw.size());
  size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + raw.size());
}

SocketName SocketName::random(const std::string& directory) {
  return {directory, Token::random().hex()};
}

SocketName SocketName::of(const Address& address, const std::string& directory) {
  const auto* text = reinterpret_cast<const char*>(address.bytes.data());
  const std::string id(text, address.bytes.size());
  if (address.format != kFormat || id.size() != kIdLength ||
      id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw Error(ErrorCode::protocol, "The target's address (" + address.format + ", " +
                                         std::to_string(id.size()) + " bytes) is none of local");
  }
  return {directory, id};
}

Address SocketName::to_wire() const {
  const auto bytes = std::as_bytes(std::span(id_));
  return {kFormat, {bytes.begin(), bytes.end()}};
}

std::string SocketName::text() const {
  return path_.empty() ? "@grainfabric-" + id_ : path_;
}

UniqueFd SocketName::listen() const {
  UniqueFd fd = new_socket();
  // Other users may come in, whatever the umask: who finds the socket is for its directory to say,
  // and who is served, for the token.
  constexpr mode_t kAnybody = 0666;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address_), size_) != 0 ||
      (!path_.empty() && ::chmod(path_.c_str(), kAnybody) != 0) ||
      ::listen(fd.get(), kBacklog) != 0) {
    throw Error::from_errno(errno, "Cannot listen at " + text() + " (local)",
                            "Does the socket-directory exist, and may this user write there?");
  }
  return fd;
}

UniqueFd SocketName::connect() const {
  UniqueFd fd = new_socket();
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address_), size_) != 0) {
    const int error_number = errno;
    throw Error(error_number == EACCES || error_number == EPERM ? ErrorCode::permission
                                                                : ErrorCode::unreachable,
                "Nobody answers at " + text() + " (local): " + std::strerror(error_number),
                "local needs both sides on one host and in one network namespace, or a "
                "socket-directory that they share; use another provider otherwise.");
  }
  return fd;
}

void SocketName::remove() const noexcept {
  if (!path_.empty()) ::unlink(path_.c_str());
}

// ---- packets ----------------------------------------------------------------------------------

bool send_packet(int socket, std::span<const std::byte> bytes, int file) noexcept {
  iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::byte control[CMSG_SPACE(sizeof(int))]{};
  if (file >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof file);
    std::memcpy(CMSG_DATA(header), &file, sizeof file);
  }
  return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}

std::optional<Packet> receive_packet(int socket, std::span<std::byte> bytes) noexcept {
  iovec data{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::byte control[CMSG_SPACE(sizeof(int))]{};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::nullopt;
    return Packet{};
  }
  Packet packet{static_cast<std::size_t>(size), {}};
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    // The padding has room for another, and what has come is open: more than one are none.
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int file = -1;
      std::memcpy(&file, CMSG_DATA(header) + i * sizeof file, sizeof file);
      packet.file = UniqueFd(file);
    }
    if (count != 1) packet.file.reset();
  }
  return packet;
}

}  // namespace grainfabric::transport::local
