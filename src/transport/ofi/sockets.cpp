// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/sockets.hpp"

#include <charconv>
#include <filesystem>
#include <string>
#include <vector>

namespace grainfabric::transport::ofi {
namespace {

using SocketCall = int (*)(int, sockaddr*, socklen_t*) noexcept;

bool is_called(int fd, SocketCall name_of, const SocketAddress& expected) noexcept {
  SocketAddress found;
  auto size = static_cast<socklen_t>(found.size);
  return name_of(fd, reinterpret_cast<sockaddr*>(&found.storage), &size) == 0 && found == expected;
}

bool is_connected(int fd) noexcept {
  SocketAddress peer;
  auto size = static_cast<socklen_t>(peer.size);
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &size) == 0;
}

/// This process's, with that address of its own.
std::vector<int> sockets_at(const SocketAddress& own) {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string name = entry.path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (is_called(fd, ::getsockname, own)) found.push_back(fd);
  }
  return found;
}

}  // namespace

bool SocketAddress::has_host_of(const SocketAddress& other) const noexcept {
  if (storage.ss_family != other.storage.ss_family) return false;
  if (storage.ss_family == AF_INET) return ipv4().sin_addr.s_addr == other.ipv4().sin_addr.s_addr;
  return storage.ss_family == AF_INET6 &&
         IN6_ARE_ADDR_EQUAL(&ipv6().sin6_addr, &other.ipv6().sin6_addr);
}

bool SocketAddress::is_loopback() const noexcept {
  if (storage.ss_family == AF_INET) return ntohl(ipv4().sin_addr.s_addr) >> 24U == IN_LOOPBACKNET;
  return storage.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&ipv6().sin6_addr);
}

bool SocketAddress::operator==(const SocketAddress& other) const noexcept {
  // The port is at the same place in both families.
  return has_host_of(other) && ipv4().sin_port == other.ipv4().sin_port;
}

int socket_between(const SocketAddress& own, const SocketAddress& peer) {
  for (const int fd : sockets_at(own)) {
    if (is_called(fd, ::getpeername, peer)) return fd;
  }
  return -1;
}

bool shut_down_accepted_at(const SocketAddress& listener) {
  bool any = false;
  for (const int fd : sockets_at(listener)) {
    if (is_connected(fd) && ::shutdown(fd, SHUT_RDWR) == 0) any = true;
  }
  return any;
}

}  // namespace grainfabric::transport::ofi
