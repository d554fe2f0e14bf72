// SPDX-License-Identifier: Apache-2.0
#include "transport/verbs/ip_address.hpp"

#include <netdb.h>

#include <array>
#include <cstring>
#include <memory>

namespace grainfabric::transport::verbs {
namespace {

constexpr const char* kIpv4 = "verbs-ipv4";
constexpr const char* kIpv6 = "verbs-ipv6";

}  // namespace

sockaddr_in& IpAddress::v4() noexcept {
  return reinterpret_cast<sockaddr_in&>(storage_);
}
sockaddr_in6& IpAddress::v6() noexcept {
  return reinterpret_cast<sockaddr_in6&>(storage_);
}
const sockaddr_in& IpAddress::v4() const noexcept {
  return reinterpret_cast<const sockaddr_in&>(storage_);
}
const sockaddr_in6& IpAddress::v6() const noexcept {
  return reinterpret_cast<const sockaddr_in6&>(storage_);
}

sockaddr* IpAddress::raw() const noexcept {
  return const_cast<sockaddr*>(reinterpret_cast<const sockaddr*>(&storage_));
}

IpAddress IpAddress::parse(const std::string& text) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int result = ::getaddrinfo(text.c_str(), nullptr, &hints, &list); result != 0) {
    throw Error(ErrorCode::invalid_argument,
                "\"" + text + "\" is no local address: " + ::gai_strerror(result));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  return *from(*list->ai_addr);  // without a name there are no other families
}

std::optional<IpAddress> IpAddress::from(const sockaddr& address) {
  if (address.sa_family != AF_INET && address.sa_family != AF_INET6) return std::nullopt;
  IpAddress made;
  made.storage_.ss_family = address.sa_family;
  std::memcpy(&made.storage_, &address, made.size());
  return made;
}

IpAddress IpAddress::from_gid(const ibv_gid& gid, std::uint32_t interface) {
  IpAddress made;
  in6_addr ip;
  std::memcpy(&ip, gid.raw, sizeof ip);
  if (IN6_IS_ADDR_V4MAPPED(&ip)) {
    made.storage_.ss_family = AF_INET;
    std::memcpy(&made.v4().sin_addr, gid.raw + 12, sizeof(in_addr));
    return made;
  }
  made.storage_.ss_family = AF_INET6;
  made.v6().sin6_addr = ip;
  if (made.is_link_local()) made.v6().sin6_scope_id = interface;
  return made;
}

IpAddress IpAddress::validated(const Address& peer, const IpAddress& own) {
  const bool is_v4 = peer.format == kIpv4;
  const std::size_t expected = is_v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if ((!is_v4 && peer.format != kIpv6) || peer.bytes.size() != expected) {
    throw Error(ErrorCode::protocol, "What the peer gave as its data address is none of verbs'");
  }
  IpAddress made;
  std::memcpy(&made.storage_, peer.bytes.data(), expected);
  bool can_be = made.family() == (is_v4 ? AF_INET : AF_INET6);
  if (can_be && is_v4) {
    const std::uint32_t host = ntohl(made.v4().sin_addr.s_addr);
    can_be = made.v4().sin_port != 0 && host != INADDR_ANY && host != INADDR_BROADCAST &&
             !IN_MULTICAST(host);
    std::memset(made.v4().sin_zero, 0, sizeof made.v4().sin_zero);
  } else if (can_be) {
    const in6_addr* host = &made.v6().sin6_addr;
    can_be =
        made.v6().sin6_port != 0 && !IN6_IS_ADDR_UNSPECIFIED(host) && !IN6_IS_ADDR_MULTICAST(host);
    made.v6().sin6_flowinfo = 0;
    made.v6().sin6_scope_id = 0;
  }
  if (!can_be) {
    throw Error(ErrorCode::protocol, "The peer's data address is none that one can connect to");
  }
  if (made.family() != own.family()) {
    throw Error(ErrorCode::invalid_argument,
                "The peer's data address " + made.text() + " is of another IP version than " +
                    own.text() + " of this side",
                "Use the same IP version on both sides (interface).");
  }
  // The peer's number of its interface says nothing here.
  if (made.is_link_local()) {
    if (!own.is_link_local()) {
      throw Error(ErrorCode::invalid_argument,
                  "The peer's data address " + made.text() + " is link-local, " + own.text() +
                      " of this side is not",
                  "Use link-local addresses on both sides, or on none.");
    }
    made.v6().sin6_scope_id = own.v6().sin6_scope_id;
  }
  return made;
}

Address IpAddress::to_wire() const {
  Address address;
  address.format = family() == AF_INET ? kIpv4 : kIpv6;
  const auto* bytes = reinterpret_cast<const std::byte*>(&storage_);
  address.bytes.assign(bytes, bytes + size());
  return address;
}

std::string IpAddress::text() const {
  std::array<char, NI_MAXHOST> host{};
  if (::getnameinfo(raw(), static_cast<socklen_t>(size()), host.data(), host.size(), nullptr, 0,
                    NI_NUMERICHOST) != 0) {
    return "an unknown address";
  }
  const std::uint16_t port = ntohs(family() == AF_INET ? v4().sin_port : v6().sin6_port);
  if (port == 0) return host.data();
  const std::string name = family() == AF_INET ? host.data() : "[" + std::string(host.data()) + "]";
  return name + ":" + std::to_string(port);
}

bool IpAddress::is_link_local() const noexcept {
  return family() == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6().sin6_addr);
}

IpAddress IpAddress::with_port(std::uint16_t network_order) const noexcept {
  IpAddress made = *this;
  (family() == AF_INET ? made.v4().sin_port : made.v6().sin6_port) = network_order;
  return made;
}

bool IpAddress::same_host(const IpAddress& other) const noexcept {
  if (family() != other.family()) return false;
  if (family() == AF_INET) return v4().sin_addr.s_addr == other.v4().sin_addr.s_addr;
  return IN6_ARE_ADDR_EQUAL(&v6().sin6_addr, &other.v6().sin6_addr) &&
         (!is_link_local() || v6().sin6_scope_id == other.v6().sin6_scope_id);
}

}  // namespace grainfabric::transport::verbs
