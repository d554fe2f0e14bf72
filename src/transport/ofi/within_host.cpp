// SPDX-License-Identifier: Apache-2.0
#include "transport/ofi/within_host.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <rdma/fi_cm.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "base/log.hpp"

namespace grainfabric::transport::ofi {
namespace {

/// Reno is the one that every kernel has and lets anybody choose. It does not pace.
constexpr std::string_view kUnpaced = "reno";

struct SocketAddress {
  sockaddr_storage storage{};
  std::size_t size = sizeof(sockaddr_storage);

  [[nodiscard]] const sockaddr_in& ipv4() const noexcept {
    return reinterpret_cast<const sockaddr_in&>(storage);
  }
  [[nodiscard]] const sockaddr_in6& ipv6() const noexcept {
    return reinterpret_cast<const sockaddr_in6&>(storage);
  }
  [[nodiscard]] bool has_host_of(const SocketAddress& other) const noexcept {
    if (storage.ss_family != other.storage.ss_family) return false;
    if (storage.ss_family == AF_INET) return ipv4().sin_addr.s_addr == other.ipv4().sin_addr.s_addr;
    return storage.ss_family == AF_INET6 &&
           IN6_ARE_ADDR_EQUAL(&ipv6().sin6_addr, &other.ipv6().sin6_addr);
  }
  bool operator==(const SocketAddress& other) const noexcept {
    // The port is at the same place in both.
    return has_host_of(other) && ipv4().sin_port == other.ipv4().sin_port;
  }
};

using SocketCall = int (*)(int, sockaddr*, socklen_t*) noexcept;

bool is_called(int fd, SocketCall name_of, const SocketAddress& expected) noexcept {
  SocketAddress found;
  auto size = static_cast<socklen_t>(found.size);
  return name_of(fd, reinterpret_cast<sockaddr*>(&found.storage), &size) == 0 && found == expected;
}

/// This process's socket between the two, -1 if there is none.
int find_socket(const SocketAddress& own, const SocketAddress& peer) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const std::string name = entry.path().filename();
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (is_called(fd, ::getsockname, own) && is_called(fd, ::getpeername, peer)) return fd;
  }
  return -1;
}

}  // namespace

void unpace_within_host(fid_ep* endpoint) noexcept {
  SocketAddress own;
  SocketAddress peer;
  if (fi_getname(&endpoint->fid, &own.storage, &own.size) != 0 ||
      fi_getpeer(endpoint, &peer.storage, &peer.size) != 0 || !own.has_host_of(peer)) {
    return;
  }
  try {
    const int fd = find_socket(own, peer);
    if (fd >= 0 &&
        ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kUnpaced.data(), kUnpaced.size()) != 0) {
      log(LogLevel::debug, "ofi",
          "TCP within this host stays paced: " +
              std::error_code(errno, std::generic_category()).message());
    }
  } catch (const std::exception& error) {
    log(LogLevel::debug, "ofi",
        std::string("TCP within this host may stay paced: ") + error.what());
  }
}

}  // namespace grainfabric::transport::ofi
