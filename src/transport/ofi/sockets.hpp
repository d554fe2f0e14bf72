// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

/// The sockets of libfabric's tcp, which it tells nobody. They are found among those of this
/// process
/// (/proc/self/fd) by their addresses; a std::filesystem::filesystem_error says that it cannot be
/// read.
namespace grainfabric::transport::ofi {

struct SocketAddress {
  sockaddr_storage storage{};
  std::size_t size = sizeof(sockaddr_storage);

  [[nodiscard]] bool has_host_of(const SocketAddress& other) const noexcept;
  /// 127.0.0.0/8 or ::1.
  [[nodiscard]] bool is_loopback() const noexcept;
  bool operator==(const SocketAddress& other) const noexcept;

 private:
  [[nodiscard]] const sockaddr_in& ipv4() const noexcept {
    return reinterpret_cast<const sockaddr_in&>(storage);
  }
  [[nodiscard]] const sockaddr_in6& ipv6() const noexcept {
    return reinterpret_cast<const sockaddr_in6&>(storage);
  }
};

/// The one between the two, -1 if there is none. It stays libfabric's.
int socket_between(const SocketAddress& own, const SocketAddress& peer);

/// Shuts down all that were accepted at `listener`, so that libfabric reads their end and closes
/// them. Returns whether there were any.
bool shut_down_accepted_at(const SocketAddress& listener);

}  // namespace grainfabric::transport::ofi
