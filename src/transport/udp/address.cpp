// SPDX-License-Identifier: Apache-2.0
#include "transport/udp/address.hpp"

#include <netdb.h>

#include <array>
#include <cstring>
#include <memory>

namespace grainfabric::transport::udp {
namespace {

constexpr std::size_t kWire4 = 8;
constexpr std::size_t kWire6 = 20;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::protocol, "The peer's address for udp " + why);
}

bool is_usable(const SocketAddress& address) {
  if (address.family() == AF_INET) {
    const std::uint32_t host = ntohl(address.v4.sin_addr.s_addr);
    return address.v4.sin_port != 0 && host != INADDR_ANY && host != INADDR_BROADCAST &&
           !IN_MULTICAST(host);
  }
  return address.v6.sin6_port != 0 && !IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr) &&
         !IN6_IS_ADDR_MULTICAST(&address.v6.sin6_addr);
}

}  // namespace

bool SocketAddress::same_as(const SocketAddress& other) const noexcept {
  if (family() != other.family()) return false;
  if (family() == AF_INET) {
    return v4.sin_port == other.v4.sin_port && v4.sin_addr.s_addr == other.v4.sin_addr.s_addr;
  }
  return v6.sin6_port == other.v6.sin6_port &&
         std::memcmp(&v6.sin6_addr, &other.v6.sin6_addr, sizeof v6.sin6_addr) == 0;
}

SocketAddress parse_local(const std::string& address) {
  SocketAddress local;
  if (address.empty()) {
    local.v6.sin6_family = AF_INET6;
    local.size = sizeof local.v6;
    return local;
  }
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int result = ::getaddrinfo(address.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  if (result != 0 || found->ai_addrlen > sizeof local.v6) {
    throw Error(ErrorCode::invalid_argument,
                "udp cannot use \"" + address + "\" as a local address",
                "Give an IPv4 or IPv6 address of this host in digits.");
  }
  std::memcpy(&local.v6, found->ai_addr, found->ai_addrlen);
  local.size = found->ai_addrlen;
  return local;
}

Address to_wire(const SocketAddress& address) {
  if (!is_usable(address)) {
    throw Error(ErrorCode::invalid_argument,
                "udp would listen on all interfaces, which is no address for a peer",
                "Set the interface or local address for data connections.");
  }
  Address wire{kAddressFormat, {}};
  const bool is_v4 = address.family() == AF_INET;
  wire.bytes.resize(is_v4 ? kWire4 : kWire6);
  wire.bytes[0] = std::byte{is_v4 ? std::uint8_t{4} : std::uint8_t{6}};
  if (is_v4) {
    std::memcpy(&wire.bytes[2], &address.v4.sin_port, 2);
    std::memcpy(&wire.bytes[4], &address.v4.sin_addr, 4);
  } else {
    std::memcpy(&wire.bytes[2], &address.v6.sin6_port, 2);
    std::memcpy(&wire.bytes[4], &address.v6.sin6_addr, 16);
  }
  return wire;
}

SocketAddress from_wire(const Address& wire, const SocketAddress& own) {
  if (wire.format != kAddressFormat) {
    throw Error(ErrorCode::protocol, "The peer's data address is none of udp's",
                "Use the same provider on both sides.");
  }
  SocketAddress address;
  if (wire.bytes.size() == kWire4 && wire.bytes[0] == std::byte{4}) {
    address.v4.sin_family = AF_INET;
    address.size = sizeof address.v4;
    std::memcpy(&address.v4.sin_port, &wire.bytes[2], 2);
    std::memcpy(&address.v4.sin_addr, &wire.bytes[4], 4);
  } else if (wire.bytes.size() == kWire6 && wire.bytes[0] == std::byte{6}) {
    address.v6.sin6_family = AF_INET6;
    address.size = sizeof address.v6;
    std::memcpy(&address.v6.sin6_port, &wire.bytes[2], 2);
    std::memcpy(&address.v6.sin6_addr, &wire.bytes[4], 16);
  } else {
    refuse("has not the form of one");
  }
  if (!is_usable(address)) refuse(describe(address) + " is none that one can connect to");
  const bool is_any = own.family() == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&own.v6.sin6_addr);
  if (!is_any && own.family() != address.family()) {
    throw Error(ErrorCode::protocol,
                "The peer's data address " + describe(address) +
                    " is of another IP version than this side's " + describe(own),
                "Use the same IP version on both sides.");
  }
  if (address.family() == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&address.v6.sin6_addr)) {
    address.v6.sin6_scope_id = own.family() == AF_INET6 ? own.v6.sin6_scope_id : 0;
    if (address.v6.sin6_scope_id == 0) {
      throw Error(ErrorCode::protocol,
                  "The peer's data address " + describe(address) +
                      " is link-local and this side does not know on which link",
                  "Name the interface here too, or use global addresses.");
    }
  }
  return address;
}

std::string describe(const SocketAddress& address) {
  std::array<char, NI_MAXHOST> host;
  std::array<char, NI_MAXSERV> port;
  if (::getnameinfo(&address.any, address.size, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "(no address)";
  }
  const std::string name = host.data();
  return (address.family() == AF_INET6 ? "[" + name + "]" : name) + ":" + port.data();
}

}  // namespace grainfabric::transport::udp
