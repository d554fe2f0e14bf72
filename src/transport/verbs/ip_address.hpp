// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <infiniband/verbs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>

#include "transport/transport.hpp"

namespace grainfabric::transport::verbs {

/// An IPv4 or IPv6 address with port and scope, by which the RDMA connection manager finds devices.
/// Travels as the raw sockaddr. A value; any thread.
class IpAddress {
 public:
  /// Of numeric text, with %scope where needed. Throws Error(invalid_argument).
  static IpAddress parse(const std::string& text);
  /// Of what librdmacm says; nothing for another family (native InfiniBand).
  static std::optional<IpAddress> from(const sockaddr& address);
  /// The address a RoCE GID stands for; `interface` is its scope where it is link-local.
  static IpAddress from_gid(const ibv_gid& gid, std::uint32_t interface);
  /// Of what a peer gave, for a side that is bound to `own`, whose family and link it must share.
  /// Throws Error: protocol for what is no address, invalid_argument for one that cannot be reached
  /// from `own`.
  static IpAddress validated(const Address& peer, const IpAddress& own);

  [[nodiscard]] Address to_wire() const;
  /// "10.0.0.1:4242", "[fe80::1%eth0]:4242"; without the port where it is 0.
  [[nodiscard]] std::string text() const;
  /// For librdmacm, which takes them without const and does not write.
  [[nodiscard]] sockaddr* raw() const noexcept;
  [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
  [[nodiscard]] bool is_link_local() const noexcept;
  [[nodiscard]] IpAddress with_port(std::uint16_t network_order) const noexcept;
  /// Whether both are the same host address, ports aside.
  [[nodiscard]] bool same_host(const IpAddress& other) const noexcept;

 private:
  IpAddress() = default;
  [[nodiscard]] std::size_t size() const noexcept {
    return family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  }
  [[nodiscard]] sockaddr_in& v4() noexcept;
  [[nodiscard]] sockaddr_in6& v6() noexcept;
  [[nodiscard]] const sockaddr_in& v4() const noexcept;
  [[nodiscard]] const sockaddr_in6& v6() const noexcept;

  sockaddr_storage storage_{};
};

}  // namespace grainfabric::transport::verbs
