// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>

#include "transport/transport.hpp"

namespace grainfabric::transport::udp {

/// An IPv4 or IPv6 address and port, as the kernel takes them.
struct SocketAddress {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t size = 0;

  SocketAddress() noexcept : v6{} {}
  [[nodiscard]] int family() const noexcept { return any.sa_family; }
  /// Whether it is the same host and port.
  [[nodiscard]] bool same_as(const SocketAddress& other) const noexcept;
};

/// The format of an Address of this transport: the socket address as it travels.
///
/// | at | size | what |
/// |---|---|---|
/// | 0 | 1 | 4 or 6 |
/// | 1 | 1 | 0 |
/// | 2 | 2 | port, network order |
/// | 4 | 4 or 16 | address |
inline constexpr const char* kAddressFormat = "UDP";

/// Port 0 of a numeric address (with %scope); of any address of IPv6 and IPv4 where it is empty.
/// Throws Error(invalid_argument).
SocketAddress parse_local(const std::string& address);
/// Throws Error(invalid_argument) for a wildcard, which no peer could connect to.
Address to_wire(const SocketAddress& address);
/// Checks what a peer gave as its address. A link-local one gets the scope of `own`, since the
/// peer's number of its interface says nothing here. Throws Error: protocol for bytes that are no
/// address, invalid_argument for one that cannot be reached from `own`.
SocketAddress from_wire(const Address& address, const SocketAddress& own);

/// "10.0.0.1:4242", "[fe80::1%eth0]:4242".
std::string describe(const SocketAddress& address);

}  // namespace grainfabric::transport::udp
